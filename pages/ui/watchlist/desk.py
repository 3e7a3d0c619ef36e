"""The runs of all sessions. They outlive the page: whoever comes back finds them."""

from __future__ import annotations

import atexit
from collections.abc import Sequence

import streamlit as st

from data_sources.registry import open_source
from kronos.events import Event
from kronos.serving.service import ForecastService
from pages.ui.inputs.list_bars import OpenSource
from pages.ui.jobs import queues
from pages.ui.jobs.registry import Desk
from pages.ui.jobs.saving import save_forecast
from pages.ui.watchlist.request import WatchRequest
from pages.ui.watchlist.run import Keep, WatchRun

RUNS_AT_ONCE = 4


class WatchDesk(Desk[WatchRun]):
    """Where runs are started, found again and taken back. Any thread may call.

    Args:
        forecasts: Makes the forecasts.
        open_source: Gives a source by name.
        keep: As for `WatchRun`.
    """

    def __init__(
        self, forecasts: ForecastService, open_source: OpenSource, *, keep: Keep | None = None
    ) -> None:
        self._forecasts = forecasts
        self._open_source = open_source
        self._keep = keep
        super().__init__("watchlists", n_at_once=RUNS_AT_ONCE)

    def start(
        self,
        request: WatchRequest,
        contents: Sequence[bytes | None],
        *,
        owner: str,
        downloads_model: bool = False,
        events: Sequence[Event] = (),
    ) -> WatchRun:
        """A new run, or the one under way that asks for the same. Ends the owner's other run.

        Raises:
            Busy: Too many runs wait; nothing was changed.
        """
        run = self.join(request, owner=owner)
        if run is not None and not run.is_final:
            return run
        run = WatchRun(
            request,
            contents,
            open_source=self._open_source,
            forecasts=self._forecasts,
            downloads_model=downloads_model,
            keep=self._keep,
            events=events,
        )
        self._submit(run, owner=owner)
        return run

    def join(self, request: WatchRequest, *, owner: str) -> WatchRun | None:
        """The newest run of a request, which `owner` waits for from now on; None if none is kept.

        One that was stopped is none.
        """
        with self._lock:
            same = [run for run in self._runs.values() if run.request.key == request.key]
        for run in reversed(same):
            if run.is_final and run.n_final == len(run.rows):
                return run
            if self._is_active(run):
                self._worker.queue.submit(run.key, run, owner=owner)
                return run
        return None


@st.cache_resource(show_spinner=False)
def watchlists() -> WatchDesk:
    """Where runs of watchlists are started and found again."""
    desk = WatchDesk(queues.forecasts(), open_source, keep=save_forecast)
    atexit.register(desk.close)
    return desk
