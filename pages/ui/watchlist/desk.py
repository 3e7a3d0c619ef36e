"""The runs of all sessions. They outlive the page: whoever comes back finds them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from kronos.inference.jobs import JobStatus
from kronos.inference.limits import Limits
from kronos.inference.queue import JobQueue
from kronos.inference.runner import Runner
from pages.ui.watchlist.fetch import OpenSource
from pages.ui.watchlist.request import WatchRequest
from pages.ui.watchlist.run import Keep, WatchRun

RUNS_AT_ONCE = 4
RUNS_WAITING = 4
RUNS_KEPT = 16
ABANDON_AFTER = 1800.0
"""Seconds for which a run goes on although no page looks at it any more."""


class WatchDesk:
    """Where runs are started, found again and taken back. Any thread may call.

    Args:
        forecasts: The engine's queue.
        open_source: Gives a source by name.
        keep: As for `WatchRun`.
    """

    def __init__(
        self, forecasts: JobQueue, open_source: OpenSource, *, keep: Keep | None = None
    ) -> None:
        self._forecasts = forecasts
        self._open_source = open_source
        self._keep = keep
        limits = Limits(RUNS_WAITING, RUNS_KEPT, ABANDON_AFTER)
        self._runner = Runner("watchlists", limits, n_threads=RUNS_AT_ONCE)
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, WatchRun] = OrderedDict()

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        return self._runner.close()

    def start(
        self,
        request: WatchRequest,
        contents: Sequence[bytes | None],
        *,
        owner: str,
        downloads_model: bool = False,
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
        )
        self._runner.queue.submit(run.key, run, owner=owner)
        with self._lock:
            self._runs[run.key] = run
            ended = [key for key, kept in self._runs.items() if not self._is_active(kept)]
            for key in ended[: max(len(self._runs) - RUNS_KEPT, 0)]:
                del self._runs[key]
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
                self._runner.queue.submit(run.key, run, owner=owner)
                return run
        return None

    def find(self, key: str) -> WatchRun | None:
        """A run by its name; None if it is not kept."""
        with self._lock:
            return self._runs.get(key)

    def status(self, run: WatchRun, *, owner: str) -> JobStatus | None:
        """How far a run is; says too that the owner still looks at it."""
        return self._runner.queue.status(run.key, owner=owner)

    def leave(self, run: WatchRun, *, owner: str) -> None:
        """Stop waiting for a run; it ends once nobody waits for it."""
        self._runner.queue.leave(run.key, owner=owner)

    def _is_active(self, run: WatchRun) -> bool:
        status = self._runner.queue.status(run.key)
        return status is not None and not status.is_final
