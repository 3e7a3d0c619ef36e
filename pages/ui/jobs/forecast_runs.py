"""The forecasts that a page of this session requested: one, or several side by side.

Session state holds settings, requests and phases only; results stay with the forecast service,
where equal requests of two pages are one job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kronos.candles import Candles
from kronos.errors import Busy, KronosError, NotOffered
from kronos.forecast import Forecast
from kronos.request import ForecastRequest
from kronos.serving.jobs import JobStatus, Priority
from pages.ui.jobs import caches, queues, session
from pages.ui.jobs.presence import note_waiting, take_left
from pages.ui.jobs.session_runs import SessionRuns
from pages.ui.jobs.settings import ForecastSettings
from pages.ui.jobs.work import download_work, work_key

Phase = Literal["missing", "download", "forecast"]


@dataclass(frozen=True, slots=True)
class ForecastRun:
    """A requested forecast, and where it is.

    Attributes:
        settings: The controls when it was requested.
        request: The request that they make.
        phase: missing: its model is not on this machine and waits for a click; download: the
            model is being downloaded; forecast: the service has the request.
        priority: Class in which the request waits: that of visits until the user presses Run.
    """

    settings: ForecastSettings
    request: ForecastRequest
    phase: Phase
    priority: Priority = Priority.PERSON

    @classmethod
    def of(
        cls, settings: ForecastSettings, candles: Candles, phase: Phase, priority: Priority
    ) -> ForecastRun:
        """The run of some settings.

        Raises:
            KronosError: No request can be made of them.
        """
        facts = queues.forecasts().facts(settings.model)
        return cls(settings, settings.request(candles, facts), phase, priority)

    @property
    def key(self) -> str:
        """Its key in the queue."""
        if self.phase == "forecast":
            return self.request.digest
        return work_key("download", self.settings.model)

    def submit(self, *, owner: str, supersede: bool) -> JobStatus:
        """Submit the download or the request.

        Raises:
            NotOffered: The model would be downloaded onto a public server.
            Busy: The queue is full.
        """
        caches.require_here(self.settings.model)
        if self.phase == "forecast":
            service = queues.forecasts()
            note_waiting(owner, service)
            return service.submit(
                self.request, owner=owner, priority=self.priority, supersede=supersede
            )
        work = download_work(self.settings.model)
        return queues.downloads().submit(self.key, work, owner=owner, supersede=supersede)

    def status(self, *, owner: str | None = None) -> JobStatus | None:
        """Its progress; naming the `owner` says that this owner still waits."""
        return self._queue.status(self.key, owner=owner)

    def leave(self, *, owner: str) -> None:
        """Stop waiting for it."""
        self._queue.leave(self.key, owner=owner)

    @property
    def _queue(self) -> queues.Queue:
        return queues.forecasts() if self.phase == "forecast" else queues.downloads()


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A finished forecast and its place among those of the page, from 0."""

    place: int
    run: ForecastRun
    forecast: Forecast


def is_pending(status: JobStatus | None) -> bool:
    """Whether a run has not ended yet."""
    return status is not None and not status.is_final


class ForecastRuns(SessionRuns[ForecastRun]):
    """The forecasts that one page of this session requested last.

    Args:
        name: As for `SessionRuns`.
        downloads_on_run: Whether a press of Run downloads a missing model. Otherwise the model
            waits for a click of its own, and the other requests start without it.
        keys: As for `SessionRuns`.
    """

    def __init__(
        self, name: str, *, downloads_on_run: bool = False, keys: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, keys=keys)
        self._downloads_on_run = downloads_on_run

    def runs(self) -> tuple[ForecastRun, ...]:
        """See `SessionRuns`."""
        runs: tuple[ForecastRun, ...] = self._get("runs", ())
        return runs

    def status(self, run: ForecastRun) -> JobStatus | None:
        """See `SessionRuns`."""
        return run.status(owner=self.owner())

    def respond(
        self,
        settings: Sequence[ForecastSettings],
        candles: Candles,
        *,
        pressed: bool,
        renewed: bool = False,
    ) -> KronosError | None:
        """Start the forecasts: after a press of Run, or on the first visit of a session.

        Args:
            settings: What the controls say.
            candles: The bars.
            pressed: Whether Run was pressed.
            renewed: Whether the page follows the bars, and newer ones have come.

        The first visit counts once, so that nothing starts again after a Cancel. It downloads
        nothing: a link must not make this machine fetch a model that no user chose.

        Returns:
            The reason why the last start of these candles was refused, until the next one.
        """
        is_first = self.take_first_visit()
        waits = self._downloads_on_run and any(_is_missing(each) for each in settings)
        if pressed or renewed or (is_first and not waits):
            try:
                self.start(settings, candles, Priority.PERSON if pressed else Priority.VISIT)
            except KronosError as error:
                self._set("refused", (settings[0].data_id, error))
            else:
                if pressed:
                    session.note_pressed(*(run.request.digest for run in self.runs()))
        data_id, refused = self._get("refused") or ("", None)
        return refused if settings and settings[0].data_id == data_id else None

    def start(
        self,
        settings: Sequence[ForecastSettings],
        candles: Candles,
        priority: Priority = Priority.PERSON,
    ) -> None:
        """Start all forecasts, or join those that are under way already.

        Raises:
            Busy: A queue has no room for all; the runs before go on.
            KronosError: No request can be made of some settings; likewise.
        """
        absent: Phase = "download" if self._downloads_on_run else "missing"
        new = tuple(
            ForecastRun.of(each, candles, absent if _is_missing(each) else "forecast", priority)
            for each in settings
        )
        begun: list[ForecastRun] = []
        try:
            for run in new:
                if run.phase != "missing":
                    # Alone it may take the place of the run before, where the queue is full.
                    run.submit(owner=self.owner(), supersede=len(new) == 1)
                    begun.append(run)
        except KronosError:
            self._leave_all(begun, but=() if self.is_cancelled() else self.runs())
            raise
        self._leave_all(self.runs(), but=new)
        self._set("runs", new)
        self._set("cancelled", False)
        self._set("refused", None)

    def download(self, model: str) -> None:
        """Download a missing model; the forecasts that need it start after that."""
        changed = tuple(
            replace(run, phase="download", priority=Priority.PERSON)
            if run.phase == "missing" and run.settings.model == model
            else run
            for run in self.runs()
        )
        key, work = work_key("download", model), download_work(model)
        try:
            caches.require_here(model)
            queues.downloads().submit(key, work, owner=self.owner(), supersede=False)
        except (Busy, NotOffered) as error:
            self._set("refused", (self.runs()[0].settings.data_id, error))
            return
        self._set("refused", None)
        self._set("runs", changed)

    def advance(self, data_id: str) -> list[JobStatus | None]:
        """Progress of every run, None where there is none; starts forecasts after downloads.

        Once no forecast is pending any more, the finished ones become those that are shown.

        Returns:
            An empty list if there are no runs of these candles, or they were cancelled.
        """
        if self.is_cancelled() or not self.concern(data_id):
            return []
        moved, statuses = [], []
        for run in self.runs():
            run, status = self._advance_one(run)
            moved.append(run)
            statuses.append(status)
        self._set("runs", tuple(moved))
        forecasts = [
            (place, run, status)
            for place, (run, status) in enumerate(zip(moved, statuses, strict=True))
            if run.phase == "forecast" and status is not None
        ]
        if not any(is_pending(status) for *_, status in forecasts):
            done = tuple((place, run) for place, run, status in forecasts if status.state == "done")
            if done:
                self._set("shown", done)
        return statuses

    def concern(self, data_id: str) -> bool:
        """Whether there are runs, and they are of these candles."""
        return bool(self.runs()) and all(run.settings.data_id == data_id for run in self.runs())

    def shown_keys(self) -> tuple[str, ...]:
        """Digests of the requests whose forecasts `finished` returns."""
        return tuple(run.key for _, run in self._get("shown", ()))

    def shown_settings(self) -> tuple[ForecastSettings, ...]:
        """Settings of the forecasts that `finished` returns."""
        return tuple(run.settings for _, run in self._get("shown", ()))

    def finished(self, data_id: str) -> list[Finished]:
        """The forecasts that finished last in this session, if they are of these candles."""
        found = []
        for place, run in self._get("shown", ()):
            status = run.status()
            if run.settings.data_id == data_id and status is not None and status.state == "done":
                found.append(Finished(place, run, status.result))
        return found

    def _advance_one(self, run: ForecastRun) -> tuple[ForecastRun, JobStatus | None]:
        if run.phase == "missing":
            return run, None
        status = self.status(run)
        if run.phase == "forecast" and _is_over(status) and take_left(run.key):
            # The connection was lost for so long that this session counted as gone.
            try:
                return run, run.submit(owner=self.owner(), supersede=len(self.runs()) == 1)
            except Busy as error:
                return run, JobStatus(key=run.key, state="failed", error=error)
        if run.phase == "forecast" or status is None or status.state != "done":
            return run, status
        caches.models.clear()
        ready = replace(run, phase="forecast")
        try:
            return ready, ready.submit(owner=self.owner(), supersede=len(self.runs()) == 1)
        except (Busy, NotOffered) as error:
            return run, JobStatus(key=ready.key, state="failed", error=error)

    def _leave(self, run: ForecastRun) -> None:
        run.leave(owner=self.owner())

    def _leave_all(self, left: Sequence[ForecastRun], *, but: Sequence[ForecastRun]) -> None:
        staying = {run.key for run in but}
        for run in left:
            if run.key not in staying:
                self._leave(run)


def _is_over(status: JobStatus | None) -> bool:
    """Whether nothing comes of a job any more."""
    return status is None or status.state == "cancelled"


def _is_missing(settings: ForecastSettings) -> bool:
    return caches.needs_download(settings.model)


FORECAST = ForecastRuns(
    "forecast",
    downloads_on_run=True,
    keys={"runs": "asked", "shown": "shown", "greeted": "greeted"},
)
"""The run of the Forecast page; a click on another page may start it."""
COMPARISON = ForecastRuns("compare")
"""The runs of the Compare page; a click on another page may start them."""
