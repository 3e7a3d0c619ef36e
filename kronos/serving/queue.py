"""The queue between callers and workers; it has no thread of its own.

Callers submit payloads under a key, then poll or block. Equal keys share one job. Workers take
jobs, best priority first, and report how each ended. Every method may be called by any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kronos.serving.job_lists import EndedJobs, WaitingLine
from kronos.serving.jobs import (
    Job,
    JobStatus,
    Limits,
    Priority,
    State,
    Watcher,
    cancelled,
    closed,
    full,
    not_finished,
    raisable,
    release_frames,
    too_late,
    unknown,
)

__all__ = ["JobQueue", "QueueCounts"]


@dataclass(slots=True)
class QueueCounts:
    """What a queue has done since it began, and what waits in it now.

    Attributes:
        waiting: Jobs that wait, by priority.
        running: Jobs that run.
        taken: Jobs begun so far.
        waited: Seconds that those had waited, together.
        joined: Requests so far that joined an equal job or result.
    """

    waiting: dict[Priority, int]
    running: int
    taken: int
    waited: float
    joined: int


class JobQueue:
    """A bounded queue with priorities, deadlines, shared jobs and stored results.

    An owner is a name for a caller. It counts as gone when it has been silent for
    `Limits.abandon_after` seconds; `submit`, `status` and a blocked `result` show that it is
    there. A job stays until each of its owners has seen the end, has left, or is gone; beyond
    that, results stay as the limits say.

    A job is active until it ends. One that was stopped while it runs gives its key away: the next
    request for the key gets a new job, and nothing of the old one stays.

    Args:
        limits: Bounds of the queue.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._is_closed = False
        # One lock, but a condition for each event: a change wakes only the threads it concerns,
        # be it a worker, a caller that waits for room, or the callers that wait for one job.
        self._lock = threading.RLock()
        # By the worst priority that a worker takes: notified once for each job that it may take.
        self._arrival = {worst: threading.Condition(self._lock) for worst in Priority}
        self._room = {priority: threading.Condition(self._lock) for priority in Priority}
        self._line = WaitingLine()
        self._active: dict[str, Job] = {}  # by key
        self._watched: dict[str, dict[str, Job]] = {}  # by owner, then by key
        self._ended = EndedJobs(self._limits.max_results)
        self._n_taken, self._n_joined, self._waited = 0, 0, 0.0

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def counts(self) -> QueueCounts:
        """What waits now, and what was done so far."""
        with self._lock:
            waiting = {each: self._line.length(each) for each in Priority}
            running = sum(job.state == "running" for job in self._active.values())
            return QueueCounts(waiting, running, self._n_taken, self._waited, self._n_joined)

    # For callers.

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
        """Queue `payload` under `key`, or join the job or result that exists under it.

        A key that failed or was cancelled before is tried again. Joining a waiting job of a worse
        priority moves it, for good, to the end of the better class: nobody who waits there is
        overtaken, and it takes room there like a new job. A running job goes on in the better of
        the two classes.

        Args:
            key: Stands for the result: equal keys, equal results.
            payload: What the worker gets.
            owner: Name of the caller.
            priority: Class to wait in.
            deadline: Seconds from now after which the result is worthless to this owner; a job is
                given up at the latest deadline of its owners. None: never.
            supersede: Leave all other jobs of this owner.
            wait: Block while the class is full, until the deadline at most.
            keep: Store the result for later requests. One that no owner wants stored is dropped
                as soon as all have seen it, and displaces no other.

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
                    self._leave_others(key, owner)
                if job is None:
                    self.forget(key)
                    job = self._active[key] = Job(key, payload, self._clock())
                    self._line_up(job, priority)
                else:
                    self._n_joined += 1
                    if _needs_place(job, priority):
                        self._vacate(job)
                        self._line_up(job, priority)
                    elif not job.is_final:
                        job.priority = min(job.priority, priority)
                job.is_stored |= keep
                self._watch(job, owner, until)
                return self._describe(job)
            finally:
                # A wake-up meant for one place is passed on by a caller that needed none.
                if wait and self._has_room(priority):
                    self._room[priority].notify()

    def offer(self, key: str, result: Any) -> None:
        """Store a result that is known already, as of a job that needs no work.

        A key that is known stays as it is.
        """
        with self._lock:
            if self._find(key) is None:
                job = Job(key, None, self._clock())
                job.state, job.result, job.is_stored = "done", result, True
                self._ended.add(job, self._clock())

    def forget(self, key: str) -> None:
        """Drop an ended job, so that the next submit repeats the work."""
        with self._lock:
            job = self._ended.pop(key)
            if job is not None:
                self._dismiss(job)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """The job's state now, or None for a key never seen or no longer stored.

        Naming the `owner` also says that this owner still waits, or has seen the end.
        """
        with self._lock:
            job = self._find(key)
            if job is None:
                return None
            if owner in job.watchers:
                job.watchers[owner].seen = self._clock()
            self._end_if_unwanted(job)
            if owner is not None and job.is_final:
                self._leave(job, owner)
            return self._describe(job)

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """Block until the job has ended, and return its result.

        An owner that does not wait for the job yet does so from now on.

        Raises:
            Exception: what the work raised, as a copy of this caller's own.
            ForecastCancelled: the job was cancelled, the owner left it, or the queue was closed.
            DeadlineExceeded: the deadline of the job or of this owner has passed.
            NotFinished: the job has not ended within `timeout` seconds and goes on.
            InvalidRequest: the key was never submitted, or its result is no longer stored.
        """
        with self._lock:
            until = math.inf if timeout is None else self._clock() + timeout
            job = self._find(key)
            if job is None:
                raise unknown(key)
            self._await_end(job, owner, until)
            self._leave(job, owner)
            if job.error is not None:
                raise raisable(job.error)
            if job.state == "cancelled":
                raise cancelled()
            return job.result

    def leave(self, key: str, *, owner: str) -> None:
        """Stop waiting for a job; it is cancelled once nobody waits for it."""
        with self._lock:
            job = self._watched.get(owner, {}).get(key)
            if job is not None:
                self._leave(job, owner)

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """Stop waiting for everything, as an owner that is gone; returns the keys of its jobs."""
        with self._lock:
            jobs = list(self._watched.get(owner, {}).values())
            for job in jobs:
                self._leave(job, owner)
            return tuple(job.key for job in jobs)

    # For workers.

    def take(self, timeout: float | None = None, *, worst: Priority = Priority.BATCH) -> Job | None:
        """The next job, which runs from now on; the taker ends it: finish, fail or cancel.

        None if the queue is closed, or if no job arrived within `timeout` seconds.

        Args:
            timeout: Seconds to wait for a job; None for as long as it takes.
            worst: Jobs of a worse priority are left to others.
        """
        with self._lock:
            until = math.inf if timeout is None else time.monotonic() + timeout
            # One look for each answer: a job that is found may be too late at a second look, and
            # a worker that gets None without a timeout ends.
            while not self._is_closed:
                job = self._first()
                if job is not None and job.priority <= worst:
                    self._vacate(job)
                    self._n_taken += 1
                    self._waited += self._clock() - job.submitted
                    job.state = "running"
                    job.begin("")
                    return job
                seconds = min(until - time.monotonic(), threading.TIMEOUT_MAX)
                if seconds <= 0:
                    return None
                self._arrival[worst].wait(seconds)
            return None

    def peek_priority(self) -> Priority | None:
        """Priority of the job that would be taken next; None if none waits."""
        with self._lock:
            job = self._first()
            return None if job is None else job.priority

    def promote(self, key: str, priority: Priority) -> None:
        """Move an active job to a better class, as a request that joins it does."""
        with self._lock:
            job = self._active.get(key)
            if job is None or priority >= job.priority:
                return
            if job.state == "queued":
                self._vacate(job)
                self._line_up(job, priority)
            else:
                job.priority = priority

    def is_wanted(self, job: Job) -> bool:
        """Whether to go on with a running job; once False it stays so: cancel the job then."""
        with self._lock:
            if job.is_final:
                return False
            if self._is_unwanted(job):
                # From here on a caller that submits the key gets a job that is not about to end.
                self._stop(job)
            return not job.stop.is_set()

    def finish(self, job: Job, result: Any) -> None:
        """End a job with its result. Here as below, one that has ended before stays as it was."""
        with self._lock:
            self._end(job, "done", result=result)

    def fail(self, job: Job, error: Exception) -> None:
        """End a job with an error for all its owners. Its traceback becomes a note of text."""
        release_frames(error)
        with self._lock:
            self._end(job, "failed", error=error)

    def cancel(self, job: Job) -> None:
        """End a job without a result: as failed if its deadline has passed, else as cancelled."""
        with self._lock:
            if job.deadline <= self._clock():
                self._end(job, "failed", error=too_late())
            else:
                self._end(job, "cancelled")

    def close(self) -> None:
        """Refuse new jobs, cancel those that wait, stop those that run, wake all who block."""
        with self._lock:
            self._is_closed = True
            for job in list(self._active.values()):
                self._stop(job)
                job.wake()
            for condition in (*self._arrival.values(), *self._room.values()):
                condition.notify_all()

    # The rest needs the lock held.

    def _find(self, key: str) -> Job | None:
        """The active job of a key, else the ended one."""
        return self._active.get(key) or self._ended.get(key)

    def _joinable(self, key: str) -> Job | None:
        """The job whose result serves a new request: wanted and active, or done."""
        job = self._find(key)
        if job is None or (job.state != "done" if job.is_final else job.stop.is_set()):
            return None
        return job

    def _first(self) -> Job | None:
        """The job to take next; those before it that nobody wants are ended."""
        while (job := self._line.first()) is not None and self._end_if_unwanted(job):
            pass
        return job

    def _describe(self, job: Job) -> JobStatus:
        return job.describe(self._line.position(job) if job.state == "queued" else 0)

    def _admit(
        self, key: str, priority: Priority, superseding: str | None, until: float | None
    ) -> Job | None:
        """The job to join, or None where a new one finds room; waits for room `until` then."""
        while True:
            if self._is_closed:
                raise closed()
            job = self._joinable(key)
            if job is not None and not _needs_place(job, priority):
                return job
            position = self._refused_position(key, priority, superseding)
            if position is None:
                return job
            if until is None:
                raise full(position)
            if until <= self._clock():
                raise too_late()
            seconds = min(until - self._clock(), threading.TIMEOUT_MAX)
            self._room[priority].wait(seconds)

    def _has_room(self, priority: Priority) -> bool:
        return self._line.length(priority) < self._limits.room(priority)

    def _refused_position(
        self, key: str, priority: Priority, superseding: str | None
    ) -> int | None:
        """Number in line a request would have had in a full class; None if there is room.

        Jobs that only the owner `superseding` waits for make room: it is about to leave them.
        """
        if self._has_room(priority):
            return None
        for job in self._line.jobs(priority):
            self._end_if_unwanted(job)
        vacated = [
            job.priority
            for job in self._watched.get(superseding or "", {}).values()
            if job.state == "queued" and len(job.watchers) == 1 and job.key != key
        ]
        room = self._limits.room(priority)
        if self._line.length(priority) - vacated.count(priority) < room:
            return None
        return self._line.n_ahead(priority) - sum(other <= priority for other in vacated) + 1

    def _line_up(self, job: Job, priority: Priority) -> None:
        self._line.add(job, priority)
        for worst in Priority:
            if priority <= worst:
                self._arrival[worst].notify()

    def _vacate(self, job: Job) -> None:
        self._line.remove(job)
        self._room[job.priority].notify()

    def _watch(self, job: Job, owner: str, deadline: float) -> Watcher:
        """Count `owner` as waiting for a job; an ended one then stays until it was seen."""
        now = self._clock()
        watcher = job.watch(owner, now, deadline)
        self._watched.setdefault(owner, {})[job.key] = job
        if job.is_final:
            self._ended.add(job, now)
        return watcher

    def _unwatch(self, job: Job, owner: str) -> None:
        job.unwatch(owner)
        watched = self._watched.get(owner, {})
        if watched.get(job.key) is job:
            del watched[job.key]
            if not watched:
                del self._watched[owner]

    def _dismiss(self, job: Job) -> None:
        for owner in list(job.watchers):
            self._unwatch(job, owner)

    def _leave(self, job: Job, owner: str) -> None:
        """Count `owner` as waiting no longer; the last one to leave stops the job."""
        if owner not in job.watchers:
            return
        self._unwatch(job, owner)
        job.wake()
        if job.watchers:
            return
        if job.is_final:
            self._ended.settle(job)
        else:
            self._stop(job)

    def _leave_others(self, key: str, owner: str) -> None:
        for job in list(self._watched.get(owner, {}).values()):
            if job.key != key:
                self._leave(job, owner)

    def _await_end(self, job: Job, owner: str, until: float) -> None:
        if job.is_final:
            return
        watcher = job.watchers.get(owner) or self._watch(job, owner, math.inf)
        job.ended = job.ended or threading.Condition(self._lock)
        watcher.n_blocked += 1
        try:
            while not job.is_final:
                if self._is_closed or job.watchers.get(owner) is not watcher:
                    raise cancelled()
                if watcher.deadline <= self._clock():
                    watcher.is_told = True
                    self._end_if_unwanted(job)
                    raise too_late()
                if until <= self._clock():
                    raise not_finished(job)
                seconds = min(until, watcher.deadline) - self._clock()
                job.ended.wait(min(seconds, threading.TIMEOUT_MAX))
        finally:
            watcher.n_blocked -= 1
            watcher.seen = self._clock()

    def _stop(self, job: Job) -> None:
        """Cancel a waiting job at once, a running one as soon as its worker looks."""
        job.stop.set()
        if job.state == "queued":
            self._end(job, "cancelled")
        elif job.on_stop is not None:
            job.on_stop()

    def _is_unwanted(self, job: Job) -> bool:
        return job.is_unwanted(self._clock(), self._limits.abandon_after)

    def _end_if_unwanted(self, job: Job) -> bool:
        """End a waiting job that is too late or that all owners abandoned; True if it ended."""
        if job.state != "queued" or not self._is_unwanted(job):
            return False
        self.cancel(job)
        return True

    def _end(
        self, job: Job, state: State, *, result: Any = None, error: Exception | None = None
    ) -> None:
        """Put a job into a final state; one that has ended before stays as it was."""
        if job.is_final:
            return
        if job.state == "queued":
            self._vacate(job)
        job.state, job.result, job.error, job.payload = state, result, error, None
        job.wake()
        for owner in [owner for owner, watcher in job.watchers.items() if watcher.is_told]:
            self._unwatch(job, owner)
        now = self._clock()
        if self._active.get(job.key) is job:
            del self._active[job.key]
            self._ended.add(job, now)
        else:
            self._dismiss(job)
        for overdue in self._ended.unseen_since(now - self._limits.abandon_after):
            self._dismiss(overdue)
            self._ended.settle(overdue)


def _needs_place(job: Job, priority: Priority) -> bool:
    """Whether a request that joins `job` takes a place in the class all the same."""
    return job.state == "queued" and priority < job.priority
