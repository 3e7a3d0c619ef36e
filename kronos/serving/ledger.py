"""The books of the queue: which jobs there are, who waits for them, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kronos.serving.finished_jobs import FinishedJobs
from kronos.serving.jobs import Job, JobStatus, Priority, State, Watcher
from kronos.serving.limits import Limits
from kronos.serving.refusals import too_late
from kronos.serving.waiting_line import WaitingLine


def needs_place(job: Job | None, priority: Priority) -> bool:
    """Whether a request that may join `job` takes a place in the class all the same."""
    return job is None or (job.state == "queued" and priority < job.priority)


class JobLedger:
    """Every job that waits, runs or has ended. Every call needs the lock held.

    A job is active until it ends. One that was stopped while it runs gives its key away: the next
    request for the key gets a new job, and of the old one nothing is kept.

    Args:
        lock: The lock of the queue.
        limits: Of the queue.
        clock: Seconds that only ever grow.
    """

    def __init__(self, lock: threading.RLock, limits: Limits, clock: Callable[[], float]) -> None:
        self.line = WaitingLine(lock)
        self._limits = limits
        self._clock = clock
        self._active: dict[str, Job] = {}
        self._watched: dict[str, dict[str, Job]] = {}
        self._finished = FinishedJobs(limits.max_results)

    def find(self, key: str) -> Job | None:
        """The active job of a key, else the one kept since its end."""
        return self._active.get(key) or self._finished.get(key)

    def joinable(self, key: str) -> Job | None:
        """The job whose result will do for a new request: wanted and active, or done."""
        job = self.find(key)
        if job is None or (job.state != "done" if job.is_final else job.stop.is_set()):
            return None
        return job

    def first(self) -> Job | None:
        """The job to take next; those before it that nobody wants are ended."""
        while (job := self.line.first()) is not None and self.end_if_unwanted(job):
            pass
        return job

    def has_room(self, priority: Priority) -> bool:
        return self.line.length(priority) < self._limits.max_queued

    def refusal(self, key: str, priority: Priority, superseding: str | None) -> int | None:
        """Number in line a request would have had in a full class; None if there is room.

        Jobs that only the owner `superseding` waits for make room: it is about to leave them.
        """
        if self.has_room(priority):
            return None
        for job in self.line.of(priority):
            self.end_if_unwanted(job)
        vacated = [
            job.priority
            for job in self._watched.get(superseding or "", {}).values()
            if job.state == "queued" and len(job.watchers) == 1 and job.key != key
        ]
        if self.line.length(priority) - vacated.count(priority) < self._limits.max_queued:
            return None
        return self.line.n_ahead(priority) - sum(other <= priority for other in vacated) + 1

    def place(self, job: Job | None, key: str, payload: Any, priority: Priority) -> Job:
        """Let a new job line up if there is none to join, and one in a worse class change over."""
        if job is None:
            self.forget(key)
            job = self._active[key] = Job(key, payload, self._clock())
            self.line.add(job, priority)
        elif needs_place(job, priority):
            self.line.remove(job)
            self.line.add(job, priority)
        return job

    def offer(self, key: str, result: Any) -> None:
        """Keep a result under a key of which nothing is known."""
        if self.find(key) is None:
            job = Job(key, None, self._clock())
            job.state, job.result, job.is_kept = "done", result, True
            self._finished.add(job, self._clock())

    def forget(self, key: str) -> None:
        """Drop what is kept of an ended job."""
        former = self._finished.forget(key)
        if former is not None:
            self._dismiss(former)

    def watch(self, job: Job, owner: str, deadline: float) -> Watcher:
        """Count `owner` as waiting for a job; an ended one is then kept until it was seen."""
        now = self._clock()
        watcher = job.watch(owner, now, deadline)
        self._watched.setdefault(owner, {})[job.key] = job
        if job.is_final:
            self._finished.add(job, now)
        return watcher

    def leave(self, job: Job, owner: str) -> None:
        """Count `owner` as waiting no longer; the last one to leave stops the job."""
        if owner not in job.watchers:
            return
        self._unwatch(job, owner)
        if job.ended is not None:
            job.ended.notify_all()
        if job.watchers:
            return
        if job.is_final:
            self._finished.settle(job)
        else:
            self.stop(job)

    def leave_key(self, key: str, owner: str) -> None:
        job = self._watched.get(owner, {}).get(key)
        if job is not None:
            self.leave(job, owner)

    def leave_others(self, key: str, owner: str) -> None:
        for job in list(self._watched.get(owner, {}).values()):
            if job.key != key:
                self.leave(job, owner)

    def stop(self, job: Job) -> None:
        """Cancel a waiting job at once, a running one as soon as its worker looks."""
        job.stop.set()
        if job.state == "queued":
            self.end(job, "cancelled")

    def stop_all(self) -> None:
        for job in list(self._active.values()):
            self.stop(job)
            if job.ended is not None:
                job.ended.notify_all()

    def is_unwanted(self, job: Job) -> bool:
        return job.is_unwanted(self._clock(), self._limits.abandon_after)

    def end_if_unwanted(self, job: Job) -> bool:
        """End a waiting job that is too late or was abandoned by everybody; whether that was so."""
        if job.state != "queued" or not self.is_unwanted(job):
            return False
        self.give_up(job)
        return True

    def give_up(self, job: Job) -> None:
        """End a job without a result: as failed if its deadline has passed, else as cancelled."""
        if job.deadline <= self._clock():
            self.end(job, "failed", error=too_late())
        else:
            self.end(job, "cancelled")

    def start(self, job: Job) -> None:
        self.line.remove(job)
        job.state = "running"
        job.begin("")

    def end(
        self, job: Job, state: State, *, result: Any = None, error: Exception | None = None
    ) -> None:
        """Put a job into a final state; one that has ended before stays as it was."""
        if job.is_final:
            return
        if job.state == "queued":
            self.line.remove(job)
        job.state, job.result, job.error, job.payload = state, result, error, None
        if job.ended is not None:
            job.ended.notify_all()
        now = self._clock()
        if self._active.get(job.key) is job:
            del self._active[job.key]
            self._finished.add(job, now)
        else:
            self._dismiss(job)
        for overdue in self._finished.overdue(now - self._limits.abandon_after):
            self._dismiss(overdue)
            self._finished.settle(overdue)

    def describe(self, job: Job) -> JobStatus:
        return job.describe(self.line.position(job))

    def _dismiss(self, job: Job) -> None:
        for owner in list(job.watchers):
            self._unwatch(job, owner)

    def _unwatch(self, job: Job, owner: str) -> None:
        job.unwatch(owner)
        watched = self._watched.get(owner, {})
        if watched.get(job.key) is job:
            del watched[job.key]
            if not watched:
                del self._watched[owner]
