"""The runs of one page in this session. Session state holds their names and requests only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import streamlit as st

from kronos.errors import Busy, ForecastCancelled, KronosError
from kronos.serving.jobs import JobStatus
from pages.ui.frame.messages import show_error
from pages.ui.jobs import session
from pages.ui.jobs.progress import progress_share
from pages.ui.jobs.registry import AnyRun, RunRegistry

POLL_SECONDS = 1.0

RunT = TypeVar("RunT")


class SessionRuns(ABC, Generic[RunT]):
    """The runs that this session started last on one page, and whether it cancelled them.

    Args:
        name: Name of the page; prefix of its keys in session state.
        keys: Keys in session state that differ from the prefix and what they hold.
    """

    def __init__(self, name: str, *, keys: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._keys = dict(keys or {})

    def owner(self) -> str:
        """The name of this session in the queues; runs of its other pages are apart."""
        return f"{session.owner()} {self._name}"

    @abstractmethod
    def runs(self) -> tuple[RunT, ...]:
        """The runs that were started last."""

    @abstractmethod
    def status(self, run: RunT) -> JobStatus | None:
        """Progress of a run; also says that this session waits for it."""

    def is_cancelled(self) -> bool:
        """Whether the user cancelled the runs."""
        return bool(self._get("cancelled"))

    def cancel(self) -> None:
        """Leave all runs that have not ended; nothing starts again by itself."""
        for run in self.runs():
            self._leave(run)
        if self.runs():
            self._set("cancelled", True)

    def take_first_visit(self) -> bool:
        """Whether this is the first visit of the page in this session; the next one is not."""
        is_first = not self._get("greeted")
        self.greet()
        return is_first

    def greet(self) -> None:
        """From now on only a click starts a run."""
        self._set("greeted", True)

    def expect_visit(self) -> None:
        """The page's next visit counts as a first one: a click on another page starts its runs."""
        st.session_state.pop(self._key("greeted"), None)

    @abstractmethod
    def _leave(self, run: RunT) -> None: ...

    def _key(self, part: str) -> str:
        return self._keys.get(part, f"{self._name}_{part}")

    def _get(self, part: str, default: Any = None) -> Any:
        return st.session_state.get(self._key(part), default)

    def _set(self, part: str, value: Any) -> None:
        st.session_state[self._key(part)] = value


class LongRuns(SessionRuns[AnyRun]):
    """The long run of one page in this session; a registry holds it.

    Args:
        name: As for `SessionRuns`.
        registry: Gives the registry of all sessions.
    """

    def __init__(self, name: str, registry: Callable[[], RunRegistry[AnyRun]]) -> None:
        super().__init__(name)
        self._registry = registry

    def runs(self) -> tuple[AnyRun, ...]:
        """See `SessionRuns`; one at most."""
        run = self.current()
        return () if run is None else (run,)

    def current(self) -> AnyRun | None:
        """The run that this session looks at, as long as the registry has it."""
        return self._registry().find(self._get("run", ""))

    def status(self, run: AnyRun) -> JobStatus | None:
        """See `SessionRuns`."""
        return self._registry().status(run, owner=self.owner())

    def moving_status(self, run: AnyRun) -> JobStatus | None:
        """Progress of a run; None once nothing of it moves any more for this session."""
        status = self.status(run)
        if self.is_cancelled() or run.is_final or status is None or status.is_final:
            return None
        return status

    def start(self, run: AnyRun) -> Busy | None:
        """Start a run, or join an equal one; returns the reason where that is not possible."""
        try:
            run = self._registry().start(run, owner=self.owner())
        except Busy as error:
            return error
        self._look_at(run)
        return None

    def join(self, request_key: str) -> bool:
        """Look at the newest run of a request, such as one of a page that was closed.

        Returns:
            Whether there is one.
        """
        run = self._registry().join(request_key, owner=self.owner())
        if run is not None:
            self._look_at(run)
        return run is not None

    def show_state(
        self,
        request_key: str | None,
        *,
        invitation: str,
        refusal: KronosError | None,
        text: Callable[[JobStatus], str],
        after_stop: str = "start again",
    ) -> None:
        """One line on what to do, where there is something to do, and the progress.

        Args:
            request_key: Digest of what the controls say; None while they say nothing.
            invitation: Shown where there is no run.
            refusal: Why a run could not start.
            text: Progress in words.
            after_stop: What Run does with a run that was stopped.
        """
        run = self.current()
        if refusal is not None:
            show_error(refusal)
        if run is None:
            st.info(invitation, icon=":material/play_arrow:")
            return
        if self.moving_status(run) is not None:
            st.fragment(self._draw, run_every=POLL_SECONDS)(run, text)
        elif self.is_cancelled() or isinstance(run.error, ForecastCancelled):
            if not run.is_final:  # its partial outcome is on the way
                st.fragment(self._await_end, run_every=POLL_SECONDS)(run)
            partial = " Below is the result so far." if run.outcome is not None else ""
            st.info(f"Stopped.{partial} Press Run to {after_stop}.", icon=":material/cancel:")
        elif run.error is not None:
            show_error(run.error)
        elif run.request_key != request_key:
            changed = "Settings changed: press Run. Below is the previous run."
            st.info(changed, icon=":material/sync:")

    def _look_at(self, run: AnyRun) -> None:
        self._set("run", run.key)
        self._set("cancelled", False)

    def _leave(self, run: AnyRun) -> None:
        self._registry().leave(run, owner=self.owner())

    def _draw(self, run: AnyRun, text: Callable[[JobStatus], str]) -> None:
        status = self.moving_status(run)
        if status is None:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(progress_share(status), text(status))
            st.button(
                "Cancel", key=f"{self._name}_cancel", icon=":material/close:", width="content",
                on_click=self.cancel,
            )  # fmt: skip

    def _await_end(self, run: AnyRun) -> None:
        if run.is_final:
            st.rerun()
