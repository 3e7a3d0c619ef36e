"""One worker thread for everything heavy, so that whoever asks never waits for it.

Callers submit work under a key and poll its status. Equal keys share one job; a newer request of
an owner supersedes its older one; a job that nobody watches any more stops at its next step.
Neither torch nor any interface is imported here: work is a plain callable.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import OrderedDict, deque

from kronos.errors import Busy, ForecastCancelled, InvalidRequest
from kronos.inference.jobs import Job, JobControl, JobStatus, State, Work

__all__ = ["JobControl", "JobStatus", "Runner", "Work"]

logger = logging.getLogger(__name__)


class Runner:
    """A single worker thread behind a bounded queue.

    Args:
        max_queued: Jobs that may wait beside the one that runs.
        max_results: Finished results kept, least recently used dropped first.
        abandon_after: Seconds without a status call after which an owner counts as gone.
        name: Name of the thread.
    """

    def __init__(
        self,
        *,
        max_queued: int = 8,
        max_results: int = 32,
        abandon_after: float = 300.0,
        name: str = "kronos-runner",
    ) -> None:
        if max_queued < 1 or max_results < 1:
            raise InvalidRequest(
                "A runner needs room for at least one waiting job and one result, found "
                f"max_queued={max_queued} and max_results={max_results}."
            )
        self._max_queued = max_queued
        self._max_results = max_results
        self._abandon_after = abandon_after
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._active: dict[str, Job] = {}
        self._running: Job | None = None
        self._results: OrderedDict[str, Job] = OrderedDict()
        self._ended: OrderedDict[str, Job] = OrderedDict()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, key: str, work: Work, *, owner: str) -> JobStatus:
        """Have `work` done under `key`, or join the job or result that exists under it.

        An older job of the same owner under another key is left first. A key that failed or was
        cancelled before is tried again.

        Raises:
            Busy: the queue is full or the runner is closed; nothing was changed.
        """
        with self._changed:
            if self._is_closed:
                raise Busy("The forecast engine is shutting down; reload the page in a moment.")
            job = self._results.get(key) or self._active.get(key)
            if job is None or job.stop.is_set():
                self._require_room(owner)
            self._leave_others(key, owner)
            if job is None or job.stop.is_set():
                job = self._active[key] = Job(key, work)
                self._ended.pop(key, None)
                self._queue.append(job)
                self._changed.notify_all()
            if key in self._results:
                self._results.move_to_end(key)
            else:
                job.watchers[owner] = time.monotonic()
            return self._describe(job)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """The job's state now, or None for a key never seen or no longer kept.

        Naming the `owner` also says that this owner still waits.
        """
        with self._changed:
            job = self._active.get(key) or self._results.get(key) or self._ended.get(key)
            if job is None:
                return None
            if key in self._results:
                self._results.move_to_end(key)
            if owner in job.watchers:
                job.watchers[owner] = time.monotonic()
            return self._describe(job)

    def leave(self, key: str, *, owner: str) -> None:
        """Stop waiting for a job; it is cancelled once nobody waits for it."""
        with self._changed:
            job = self._active.get(key)
            if job is not None and owner in job.watchers:
                self._leave(job, owner)

    def close(self, timeout: float = 5.0) -> bool:
        """Cancel everything and end the thread; True if it ended within `timeout` seconds."""
        with self._changed:
            self._is_closed = True
            for job in list(self._active.values()):
                self._cancel(job)
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _require_room(self, owner: str) -> None:
        freed = sum(set(job.watchers) == {owner} for job in self._queue)
        n_waiting = len(self._queue) - freed
        if n_waiting >= self._max_queued:
            ahead = n_waiting + (self._running is not None)
            raise Busy(
                f"The forecast queue is full: {n_waiting} requests are waiting and yours would be "
                f"number {ahead + 1}. Nothing was started; press Run again in a moment."
            )

    def _leave_others(self, key: str, owner: str) -> None:
        for job in list(self._active.values()):
            if job.key != key and owner in job.watchers:
                self._leave(job, owner)

    def _leave(self, job: Job, owner: str) -> None:
        job.watchers.pop(owner, None)
        if not job.watchers:
            self._cancel(job)

    def _cancel(self, job: Job) -> None:
        job.stop.set()
        if job in self._queue:
            self._queue.remove(job)
            self._end(job, "cancelled")

    def _is_abandoned(self, job: Job) -> bool:
        with self._changed:
            limit = time.monotonic() - self._abandon_after
            return all(seen < limit for seen in job.watchers.values())

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closed)
                if self._is_closed:
                    return
                job = self._running = self._queue.popleft()
                job.state = "running"
                job.begin("")
            state = self._perform(job)
            with self._changed:
                self._running = None
                self._end(job, state)

    def _perform(self, job: Job) -> State:
        control = JobControl(job, self._is_abandoned)
        try:
            control.check()
            assert job.work is not None
            job.result = job.work(control)
            return "done"
        except ForecastCancelled:
            return "cancelled"
        # The boundary of the thread: whatever one job raises becomes that job's error, because an
        # exception that escaped would end the only worker and leave every later caller waiting.
        except Exception as error:
            logger.exception("The job %s failed.", job.key[:16])
            traceback.clear_frames(error.__traceback__)
            job.error = error
            return "failed"

    def _end(self, job: Job, state: State) -> None:
        job.state, job.work = state, None
        job.watchers.clear()
        if self._active.get(job.key) is job:
            del self._active[job.key]
        elif state != "done":
            return  # a newer job under this key has taken its place
        kept = self._results if state == "done" else self._ended
        kept[job.key] = job
        kept.move_to_end(job.key)
        while len(kept) > self._max_results:
            kept.popitem(last=False)

    def _describe(self, job: Job) -> JobStatus:
        done, total, seconds = job.done, job.total, time.monotonic() - job.since
        left = seconds / done * max(total - done, 0) if done else None
        return JobStatus(
            key=job.key,
            state=job.state,
            position=self._queue.index(job) + 1 if job in self._queue else 0,
            stage=job.stage,
            done=done,
            total=total,
            seconds=seconds,
            seconds_left=left,
            watchers=len(job.watchers),
            result=job.result,
            error=job.error,
        )
