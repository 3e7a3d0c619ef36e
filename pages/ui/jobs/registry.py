"""Long runs of all sessions. They outlive the page: a visitor who returns finds them."""

from __future__ import annotations

import atexit
import functools
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from kronos.serving.jobs import JobControl, JobStatus, Limits, cancelled
from kronos.serving.worker import Worker

RUNS_AT_ONCE = 2
RUNS_WAITING = 4
RUNS_STORED = 16
ABANDON_AFTER = 1800.0
"""Seconds for which a run goes on although no page shows it."""
_numbers = itertools.count()

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


class Run(Generic[Request, Outcome]):
    """A run and its outcome so far. Any thread may read it while it works.

    Attributes:
        key: Its name in the registry; another run of the same request has another one.
        request_key: Digest of the request.
        request: The request.
        outcome: The result; of a run that was stopped, the part that was ready; None before.
        look_up: Gives the state of its job, from the registry that took it; None before.
    """

    def __init__(
        self,
        request_key: str,
        request: Request,
        work: Callable[[JobControl, Run[Request, Outcome]], None],
    ) -> None:
        """Args:
        request_key: Digest of the request.
        request: The request.
        work: Does it, in the thread of a worker, and sets the outcome.
        """
        self.key = f"{request_key} {next(_numbers)}"
        self.request_key = request_key
        self.request = request
        self.outcome: Outcome | None = None
        self.look_up: Callable[[], JobStatus | None] | None = None
        self._work = work
        self._has_begun = self._has_ended = False
        self._error: Exception | None = None

    def __call__(self, control: JobControl) -> None:
        """Do it, in the thread of a worker."""
        self._has_begun = True
        try:
            self._work(control, self)
        except Exception as error:
            self._error = error
            raise
        finally:
            self._has_ended = True

    @property
    def is_final(self) -> bool:
        """Whether it has ended: one that all left before its turn never begins."""
        if self._has_begun or self.look_up is None:
            return self._has_ended
        status = self.look_up()
        # A worker may have begun it since the look: then that counts.
        return (status is None or status.is_final) and (self._has_ended or not self._has_begun)

    @property
    def error(self) -> Exception | None:
        """The error that ended it; None otherwise."""
        return cancelled() if self.is_final and not self._has_begun else self._error


AnyRun = TypeVar("AnyRun", bound=Run[Any, Any])


class RunRegistry(Generic[AnyRun]):
    """The runs of one kind, and the threads that do them. Any thread may call.

    It closes when the process ends, or by `close`.

    Args:
        name: Name of the threads.
        n_at_once: Runs at a time; others wait.
        abandon_after: Seconds for which a run goes on although no page shows it.
    """

    def __init__(
        self, name: str, *, n_at_once: int = RUNS_AT_ONCE, abandon_after: float = ABANDON_AFTER
    ) -> None:
        limits = Limits(RUNS_WAITING, RUNS_STORED, abandon_after)
        self._worker = Worker(name, limits, n_threads=n_at_once)
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, AnyRun] = OrderedDict()  # by key, oldest first
        atexit.register(self.close)

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        atexit.unregister(self.close)
        return self._worker.close()

    def start(self, run: AnyRun, *, owner: str) -> AnyRun:
        """Start a run, or join the one under way with an equal request.

        The owner leaves its other run.

        Returns:
            The run that is under way.

        Raises:
            Busy: Too many runs wait; nothing was changed.
        """
        equal = self._equal(run.request_key)
        run = next((other for other in equal if self._is_wanted(other)), run)
        self._submit(run, owner=owner)
        return run

    def join(self, request_key: str, *, owner: str) -> AnyRun | None:
        """The newest run of a request that is under way or came to its end; None without one.

        `owner` waits for a run under way from now on. A run that was stopped or failed is left
        out.
        """
        for run in reversed(self._equal(request_key)):
            if run.is_final and run.error is None:
                return run
            if self._is_wanted(run):
                self._submit(run, owner=owner)
                return run
        return None

    def newest(self, request_key: str) -> AnyRun | None:
        """The newest run of a request, whatever became of it."""
        return next(reversed(self._equal(request_key)), None)

    def find(self, key: str) -> AnyRun | None:
        """A run by its name; None if it is not stored."""
        with self._lock:
            return self._runs.get(key)

    def status(self, run: AnyRun, *, owner: str) -> JobStatus | None:
        """Progress of a run; also says that the owner still waits for it."""
        return self._worker.queue.status(run.key, owner=owner)

    def leave(self, run: AnyRun, *, owner: str) -> None:
        """Stop waiting for a run; it ends once nobody waits for it."""
        self._worker.queue.leave(run.key, owner=owner)

    def _submit(self, run: AnyRun, *, owner: str) -> None:
        self._worker.queue.submit(run.key, run, owner=owner)
        run.look_up = functools.partial(self._worker.queue.status, run.key)
        with self._lock:
            self._runs[run.key] = run
            ended = [key for key, other in self._runs.items() if not self._is_active(other)]
            for key in ended[: max(len(self._runs) - RUNS_STORED, 0)]:
                del self._runs[key]

    def _equal(self, request_key: str) -> list[AnyRun]:
        with self._lock:
            return [run for run in self._runs.values() if run.request_key == request_key]

    def _is_active(self, run: AnyRun) -> bool:
        status = self._worker.queue.status(run.key)
        return status is not None and not status.is_final

    def _is_wanted(self, run: AnyRun) -> bool:
        """Whether somebody waits for it: one that was cancelled may take a moment to end."""
        status = self._worker.queue.status(run.key)
        return status is not None and not status.is_final and status.watchers > 0
