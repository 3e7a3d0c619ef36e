"""The queue between those who ask and the workers who answer; it has no thread of its own.

Callers submit payloads under a key, then poll or block. Equal keys share one job. Workers take
jobs, best priority first, and say how each ended. Every method may be called by any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from kronos.serving.jobs import Job, JobStatus, Priority
from kronos.serving.kept_errors import raisable, release_frames
from kronos.serving.ledger import JobLedger, needs_place
from kronos.serving.limits import Limits
from kronos.serving.refusals import cancelled, closed, full, not_finished, too_late, unknown

__all__ = ["Job", "JobQueue", "JobStatus", "Priority"]


class JobQueue:
    """A bounded queue with priorities, deadlines, shared jobs and kept results.

    An owner is a name for one who asks. It counts as gone when it has been silent for
    `Limits.abandon_after` seconds; submit and status say that it is there, and so does being
    blocked in result. What an owner asked for is kept until it has seen the end, has left, or is
    gone; beyond that, results are kept as the limits say.

    Args:
        limits: How much is held.
        clock: Seconds that only ever grow.
    """

    def __init__(
        self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # One lock, but a condition for each thing waited for: a change wakes only those whom it
        # concerns, be it the worker, one who waits for room, or those who wait for this one job.
        self._lock = threading.RLock()
        self._clock = clock
        self._is_closed = False
        self._ledger = JobLedger(self._lock, limits or Limits(), clock)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def submit(
        self,
        key: str,
        payload: Any,
        *,
        owner: str,
        priority: Priority = Priority.PERSON,
        deadline: float | None = None,
        supersede: bool = True,
        wait: bool = False,
        keep: bool = True,
    ) -> JobStatus:
        """Have `payload` worked on under `key`, or join the job or result that exists under it.

        A key that failed or was cancelled before is tried again. Joining a waiting job of a worse
        priority moves it, for good, to the end of the better class: nobody who waits there is
        overtaken, and it takes room there like a new job. A running job has its priority already.

        Args:
            key: Stands for the answer: equal keys, equal answers.
            payload: What the worker gets.
            owner: Who asks.
            priority: Class to wait in.
            deadline: Seconds from now after which the answer is worthless to this owner; a job is
                given up at the latest deadline of its owners. None: never.
            supersede: Leave all other jobs of this owner.
            wait: Block while the class is full, until the deadline at most.
            keep: Keep the result for later requests. One that nobody who asked wants kept is
                dropped as soon as they have seen it, and displaces no other.

        Raises:
            Busy: the class is full, or the queue is closed; nothing was changed.
            DeadlineExceeded: there was no room before the deadline; nothing was changed.
        """
        with self._lock:
            until = math.inf if deadline is None else self._clock() + deadline
            try:
                superseding = owner if supersede else None
                job = self._admit(key, priority, superseding, until if wait else None)
                if supersede:
                    self._ledger.leave_others(key, owner)
                job = self._ledger.place(job, key, payload, priority)
                job.is_kept |= keep
                self._ledger.watch(job, owner, until)
                return self._ledger.describe(job)
            finally:
                # A wake-up meant for one place is passed on by whoever needed none.
                if wait and self._ledger.has_room(priority):
                    self._ledger.line.room[priority].notify()

    def offer(self, key: str, result: Any) -> None:
        """Keep a result that is known already, as of a job that nobody has to do.

        A key that is known keeps what it has.
        """
        with self._lock:
            self._ledger.offer(key, result)

    def forget(self, key: str) -> None:
        """Drop what is kept of an ended job, so that the next submit has the work done anew."""
        with self._lock:
            self._ledger.forget(key)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """The job's state now, or None for a key never seen or no longer kept.

        Naming the `owner` also says that this owner still waits, or has seen the end.
        """
        with self._lock:
            job = self._ledger.find(key)
            if job is None:
                return None
            if owner in job.watchers:
                job.watchers[owner].seen = self._clock()
            self._ledger.end_if_unwanted(job)
            if owner is not None and job.is_final:
                self._ledger.leave(job, owner)
            return self._ledger.describe(job)

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """Block until the job has ended, and return its result.

        An owner that does not wait for the job yet does so from now on.

        Raises:
            Exception: what the work raised, as a copy of this caller's own.
            ForecastCancelled: the job was cancelled, the owner left it, or the queue was closed.
            DeadlineExceeded: the deadline of the job or of this owner has passed.
            NotFinished: the job has not ended within `timeout` seconds and goes on.
            InvalidRequest: the key was never submitted, or its result is no longer kept.
        """
        with self._lock:
            until = math.inf if timeout is None else self._clock() + timeout
            job = self._ledger.find(key)
            if job is None:
                raise unknown(key)
            self._await_end(job, owner, until)
            self._ledger.leave(job, owner)
            if job.error is not None:
                raise raisable(job.error)
            if job.state == "cancelled":
                raise cancelled()
            return job.result

    def leave(self, key: str, *, owner: str) -> None:
        """Stop waiting for a job; it is cancelled once nobody waits for it."""
        with self._lock:
            self._ledger.leave_key(key, owner)

    def take(self, timeout: float | None = None) -> Job | None:
        """The next job, which runs from now on; whoever takes it ends it: finish, fail or cancel.

        None if the queue is closed, or if no job came within `timeout` seconds.
        """
        with self._lock:
            ledger = self._ledger
            ledger.line.arrival.wait_for(lambda: self._is_closed or ledger.first(), timeout)
            job = None if self._is_closed else ledger.first()
            if job is not None:
                ledger.start(job)
            return job

    def peek_priority(self) -> Priority | None:
        """Priority of the job that would be taken next; None if none waits."""
        with self._lock:
            job = self._ledger.first()
            return None if job is None else job.priority

    def is_wanted(self, job: Job) -> bool:
        """Whether to go on with a running job; once False it stays so: cancel the job then."""
        with self._lock:
            if job.is_final:
                return False
            if self._ledger.is_unwanted(job):
                # From here on whoever submits the key gets a job that is not about to end.
                self._ledger.stop(job)
            return not job.stop.is_set()

    def finish(self, job: Job, result: Any) -> None:
        """End a job with its result. Here as below, one that has ended before stays as it was."""
        with self._lock:
            self._ledger.end(job, "done", result=result)

    def fail(self, job: Job, error: Exception) -> None:
        """End a job with an error for all its owners. Its traceback becomes a note of text."""
        release_frames(error)
        with self._lock:
            self._ledger.end(job, "failed", error=error)

    def cancel(self, job: Job) -> None:
        """End a job without a result: as failed if its deadline has passed, else as cancelled."""
        with self._lock:
            self._ledger.give_up(job)

    def close(self) -> None:
        """Refuse new jobs, cancel those that wait, stop those that run, wake all who block."""
        with self._lock:
            self._is_closed = True
            self._ledger.stop_all()
            self._ledger.line.wake_everybody()

    def _admit(
        self, key: str, priority: Priority, superseding: str | None, until: float | None
    ) -> Job | None:
        """The job to join, or None where a new one finds room; waits for room `until` then."""
        while True:
            if self._is_closed:
                raise closed()
            job = self._ledger.joinable(key)
            if not needs_place(job, priority):
                return job
            position = self._ledger.refusal(key, priority, superseding)
            if position is None:
                return job
            if until is None:
                raise full(position)
            if until <= self._clock():
                raise too_late()
            seconds = min(until - self._clock(), threading.TIMEOUT_MAX)
            self._ledger.line.room[priority].wait(seconds)

    def _await_end(self, job: Job, owner: str, until: float) -> None:
        if job.is_final:
            return
        watcher = job.watchers.get(owner) or self._ledger.watch(job, owner, math.inf)
        job.ended = job.ended or threading.Condition(self._lock)
        watcher.n_blocked += 1
        try:
            while not job.is_final:
                if self._is_closed or job.watchers.get(owner) is not watcher:
                    raise cancelled()
                if watcher.deadline <= self._clock():
                    raise too_late()
                if until <= self._clock():
                    raise not_finished(job)
                seconds = min(until, watcher.deadline) - self._clock()
                job.ended.wait(min(seconds, threading.TIMEOUT_MAX))
        finally:
            watcher.n_blocked -= 1
            watcher.seen = self._clock()
