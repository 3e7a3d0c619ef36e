"""Long runs of all sessions. They outlive the page: whoever comes back finds them."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from kronos.serving.jobs import JobControl, JobStatus, Limits
from kronos.serving.worker import Worker

RUNS_AT_ONCE = 2
RUNS_WAITING = 4
RUNS_KEPT = 16
ABANDON_AFTER = 1800.0
"""Seconds for which a run goes on although no page looks at it any more."""
_numbers = itertools.count()

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


class Run(Generic[Request, Outcome]):
    """A run and what it has found. Any thread may read it while it works.

    Attributes:
        key: Its name among the runs; another run of the same request has another one.
        request: What was asked for.
        outcome: What came of it; of a run that was stopped, what came until then; None otherwise.
        error: What ended it; None otherwise.
        is_final: Whether nothing moves any more.
    """

    def __init__(
        self,
        request_key: str,
        request: Request,
        work: Callable[[JobControl, Run[Request, Outcome]], None],
    ) -> None:
        """Args:
        request_key: Digest of all that is asked.
        request: What is asked for.
        work: Does it, in the thread of a worker, and enters the outcome.
        """
        self.key = f"{request_key} {next(_numbers)}"
        self.request_key = request_key
        self.request = request
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.is_final = False
        self._work = work

    def __call__(self, control: JobControl) -> None:
        """Do it."""
        try:
            self._work(control, self)
        except Exception as error:
            self.error = error
            raise
        finally:
            self.is_final = True


class Named(Protocol):
    """What a desk needs of a run.

    Attributes:
        key: Its name among the runs.
    """

    key: str

    def __call__(self, control: JobControl) -> object:
        """Do it, in the thread of a worker."""


Kept = TypeVar("Kept", bound=Named)


class Desk(Generic[Kept]):
    """Where runs are found again and taken back. Any thread may call.

    Args:
        name: Name of its threads.
        n_at_once: Runs at a time; others wait.
    """

    def __init__(self, name: str, *, n_at_once: int) -> None:
        limits = Limits(RUNS_WAITING, RUNS_KEPT, ABANDON_AFTER)
        self._worker = Worker(name, limits, n_threads=n_at_once)
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Kept] = OrderedDict()

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        return self._worker.close()

    def find(self, key: str) -> Kept | None:
        """A run by its name; None if it is not kept."""
        with self._lock:
            return self._runs.get(key)

    def status(self, run: Kept, *, owner: str) -> JobStatus | None:
        """How far a run is; says too that the owner still looks at it."""
        return self._worker.queue.status(run.key, owner=owner)

    def leave(self, run: Kept, *, owner: str) -> None:
        """Stop waiting for a run; it ends once nobody waits for it."""
        self._worker.queue.leave(run.key, owner=owner)

    def _submit(self, run: Kept, *, owner: str) -> None:
        """Have a run done, or join it, and keep it; ends the owner's other run.

        Raises:
            Busy: Too many runs wait; nothing was changed.
        """
        self._worker.queue.submit(run.key, run, owner=owner)
        with self._lock:
            self._runs[run.key] = run
            ended = [key for key, kept in self._runs.items() if not self._is_active(kept)]
            for key in ended[: max(len(self._runs) - RUNS_KEPT, 0)]:
                del self._runs[key]

    def _is_active(self, run: Kept) -> bool:
        status = self._worker.queue.status(run.key)
        return status is not None and not status.is_final


class RunsDesk(Desk[Run[Request, Outcome]], Generic[Request, Outcome]):
    """Where runs of one kind are started."""

    def __init__(self, name: str) -> None:
        super().__init__(name, n_at_once=RUNS_AT_ONCE)

    def start(
        self,
        request_key: str,
        request: Request,
        work: Callable[[JobControl, Run[Request, Outcome]], None],
        *,
        owner: str,
    ) -> Run[Request, Outcome]:
        """A new run, or the one under way that asks for the same. Ends the owner's other run.

        Raises:
            Busy: Too many runs wait; nothing was changed.
        """
        with self._lock:
            same = [r for r in self._runs.values() if r.request_key == request_key]
        run = next((r for r in same if self._is_wanted(r)), None)
        run = run or Run(request_key, request, work)
        self._submit(run, owner=owner)
        return run

    def _is_wanted(self, run: Run[Request, Outcome]) -> bool:
        """Whether somebody waits for it: one that was taken back may take a moment to end."""
        status = self._worker.queue.status(run.key)
        return status is not None and not status.is_final and status.watchers > 0
