"""Runs side by side: several requests at once, none of which supersedes another.

Session state holds requests and phases only; results stay with the engine's queue, where a request
that the forecast page has asked for is the same request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import streamlit as st

from kronos.candles import Candles
from kronos.errors import Busy, KronosError
from kronos.forecast import Forecast
from kronos.serving.jobs import JobStatus
from pages.ui.inputs.model_choices import choice_of
from pages.ui.inputs.request import ForecastSettings
from pages.ui.jobs import caches, queues, session
from pages.ui.jobs.run import Run
from pages.ui.jobs.work import download_work, work_key


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A forecast that stands beside others, and the place it was asked for."""

    place: int
    run: Run
    forecast: Forecast


def is_pending(status: JobStatus | None) -> bool:
    """Whether something is still going to happen."""
    return status is not None and not status.is_final


class SideBySide:
    """What this session has asked for on one of the pages that show several forecasts."""

    def __init__(self, name: str) -> None:
        """Args:
        name: The page's; every page has runs of its own.
        """
        self._name = name
        self._runs, self._shown = f"{name}_runs", f"{name}_shown"
        self._greeted, self._cancelled = f"{name}_greeted", f"{name}_cancelled"
        self._refused = f"{name}_refused"

    def owner(self) -> str:
        """This session on this page; what its other pages ask for is another matter."""
        return f"{session.owner()} {self._name}"

    def runs(self) -> tuple[Run, ...]:
        """What was asked for last."""
        return st.session_state.get(self._runs, ())

    def is_cancelled(self) -> bool:
        """Whether the user took it back."""
        return bool(st.session_state.get(self._cancelled))

    def respond(
        self, settings: Sequence[ForecastSettings], candles: Candles, *, pressed: bool
    ) -> KronosError | None:
        """Start what was asked for: by a press of Run, or unasked on the first visit of a session.

        A model that is not on this machine waits for a click of its own in either case.

        Returns:
            The reason why nothing could be started, if that is so.
        """
        is_first = not st.session_state.get(self._greeted)
        self.greet()
        refused = st.session_state.pop(self._refused, None)
        if not (pressed or is_first):
            return refused
        try:
            self.ask_all(settings, candles)
        except KronosError as error:
            return error
        if pressed:
            session.note_pressed(*(run.request.digest for run in self.runs()))
        return None

    def greet(self) -> None:
        """From now on only a click starts anything."""
        st.session_state[self._greeted] = True

    def expect_visit(self) -> None:
        """The page's next visit counts as a first one: a click elsewhere asked for its runs."""
        st.session_state.pop(self._greeted, None)

    def ask_all(self, settings: Sequence[ForecastSettings], candles: Candles) -> None:
        """Start all forecasts, or join those that are being computed already.

        Raises:
            Busy: the queue has no room for all; what was asked for before goes on.
            KronosError: No request can be made of some settings; likewise.
        """
        new = tuple(
            Run.of(each, candles, "missing" if choice_of(each.model).is_missing else "forecast")
            for each in settings
        )
        begun: list[Run] = []
        try:
            for run in new:
                if run.phase == "forecast":
                    run.submit(owner=self.owner(), supersede=False)
                    begun.append(run)
        except KronosError:
            self._leave(begun, but=self.runs())
            raise
        self._leave(self.runs(), but=new)
        st.session_state[self._runs] = new
        st.session_state[self._cancelled] = False

    def download(self, model: str) -> None:
        """Fetch a model that is missing; the forecasts that want it are started after that."""
        changed = tuple(
            replace(run, phase="download")
            if run.phase == "missing" and run.settings.model == model
            else run
            for run in self.runs()
        )
        try:
            queues.downloads().submit(
                work_key("download", model),
                download_work(model),
                owner=self.owner(),
                supersede=False,
            )
        except Busy as error:
            st.session_state[self._refused] = error
            return
        st.session_state[self._runs] = changed

    def cancel_all(self) -> None:
        """Take everything back that has not ended; nothing starts again by itself."""
        self._leave(self.runs())
        st.session_state[self._cancelled] = True

    def advance(self, data_id: str) -> list[JobStatus | None]:
        """State of every run, None where there is none; downloads that are done become forecasts.

        Once no forecast is pending any more, those that are done become what is shown.

        Returns:
            Nothing at all if nothing was asked for these candles, or it was cancelled.
        """
        if self.is_cancelled() or not self.concern(data_id):
            return []
        moved, statuses = [], []
        for run in self.runs():
            run, status = self._advance_one(run)
            moved.append(run)
            statuses.append(status)
        st.session_state[self._runs] = tuple(moved)
        asked_of_engine = [run.phase == "forecast" for run in moved]
        if not any(map(is_pending, compress(statuses, asked_of_engine))):
            done = tuple(
                (place, run)
                for place, (run, status) in enumerate(zip(moved, statuses, strict=True))
                if run.phase == "forecast" and status is not None and status.state == "done"
            )
            if done:
                st.session_state[self._shown] = done
        return statuses

    def concern(self, data_id: str) -> bool:
        """Whether there are runs, and they are of these candles."""
        return bool(self.runs()) and all(run.settings.data_id == data_id for run in self.runs())

    def shown_keys(self) -> tuple[str, ...]:
        """Keys of what `finished` reads."""
        return tuple(run.request.digest for _, run in st.session_state.get(self._shown, ()))

    def shown_settings(self) -> tuple[ForecastSettings, ...]:
        """Settings of what `finished` reads."""
        return tuple(run.settings for _, run in st.session_state.get(self._shown, ()))

    def finished(self, data_id: str) -> list[Finished]:
        """What this session has last seen finished, if it was made from these candles."""
        found = []
        for place, run in st.session_state.get(self._shown, ()):
            status = queues.forecasts().status(run.request.digest)
            if run.settings.data_id == data_id and status is not None and status.state == "done":
                found.append(Finished(place, run, status.result))
        return found

    def _advance_one(self, run: Run) -> tuple[Run, JobStatus | None]:
        if run.phase == "missing":
            return run, None
        status = run.status(owner=self.owner())
        if run.phase == "forecast" or status is None or status.state != "done":
            return run, status
        caches.models.clear()
        run = replace(run, phase="forecast")
        try:
            return run, run.submit(owner=self.owner(), supersede=False)
        except Busy as error:
            return run, JobStatus(key=run.key, state="failed", error=error)

    def _leave(self, left: Sequence[Run], *, but: Sequence[Run] = ()) -> None:
        kept = {run.key for run in but}
        for run in left:
            if run.key not in kept:
                run.leave(owner=self.owner())


COMPARISON = SideBySide("compare")
"""The runs of the comparison page."""
