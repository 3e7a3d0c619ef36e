"""Which long run this session looks at, and how far it is. Session state holds its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from kronos.errors import Busy, ForecastCancelled
from kronos.serving.jobs import JobStatus
from pages.ui.frame.messages import show_error
from pages.ui.jobs.progress import progress_share
from pages.ui.jobs.registry import Run, RunsDesk
from pages.ui.jobs.session import owner

POLL_SECONDS = 1.0


class RunSession:
    """The run of one page in this session.

    Args:
        name: Prefix of what is kept in session state.
        desk: Gives the runs of all sessions.
        text: What a run is doing, of its status.
        after_stop: What pressing Run does with a run that was stopped.
    """

    def __init__(
        self,
        name: str,
        desk: Callable[[], RunsDesk[Any, Any]],
        text: Callable[[JobStatus], str],
        *,
        after_stop: str = "start again",
    ) -> None:
        self._after_stop = after_stop
        self._name = name
        self._desk = desk
        self._text = text

    def current(self) -> Run[Any, Any] | None:
        """The run this session looks at, as long as it is kept."""
        return self._desk().find(st.session_state.get(self._run_key, ""))

    def start(self, request_key: str, request: Any, work: Callable[..., None]) -> Busy | None:
        """Start what was asked for; the reason why it could not be started, if that is so."""
        try:
            run = self._desk().start(request_key, request, work, owner=owner())
        except Busy as error:
            return error
        st.session_state[self._run_key] = run.key
        st.session_state[self._cancelled_key] = False
        return None

    def cancel(self) -> None:
        """Take the current run back."""
        run = self.current()
        if run is not None:
            self._desk().leave(run, owner=owner())
            st.session_state[self._cancelled_key] = True

    def show_state(self, request_key: str | None, *, invitation: str, refusal: Busy | None) -> None:
        """One line on what to do, where there is something to do, and the progress."""
        run = self.current()
        if refusal is not None:
            show_error(refusal)
        if run is None:
            st.info(invitation, icon=":material/play_arrow:")
            return
        if self._status(run) is not None:
            st.fragment(self._draw, run_every=POLL_SECONDS)(run)
        elif st.session_state.get(self._cancelled_key) or isinstance(run.error, ForecastCancelled):
            if not run.is_final:  # what it has found so far is on its way
                st.fragment(self._await_end, run_every=POLL_SECONDS)(run)
            kept = " Below is what came until then." if run.outcome is not None else ""
            text = f"Stopped.{kept} Press Run to {self._after_stop}."
            st.info(text, icon=":material/cancel:")
        elif run.error is not None:
            show_error(run.error)
        elif run.request_key != request_key:
            text = "Settings changed: press Run. Below is the run before."
            st.info(text, icon=":material/sync:")

    @property
    def _run_key(self) -> str:
        return f"{self._name}_run"

    @property
    def _cancelled_key(self) -> str:
        return f"{self._name}_cancelled"

    def _status(self, run: Run[Any, Any]) -> JobStatus | None:
        """How far a run is; None once nothing of it moves any more for this session."""
        status = self._desk().status(run, owner=owner())
        if st.session_state.get(self._cancelled_key) or run.is_final:
            return None
        return None if status is None or status.is_final else status

    def _draw(self, run: Run[Any, Any]) -> None:
        status = self._status(run)
        if status is None:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(progress_share(status), self._text(status))
            st.button(
                "Cancel", key=f"{self._name}_cancel", icon=":material/close:", width="content",
                on_click=self.cancel,
            )  # fmt: skip

    def _await_end(self, run: Run[Any, Any]) -> None:
        if run.is_final:
            st.rerun()
