"""Who is next: waiting jobs by class, and within a class in order of arrival."""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import count
from operator import attrgetter

from kronos.serving.jobs import Job, Priority

_number = attrgetter("number")


class WaitingLine:
    """One list of jobs per priority, sorted by number of arrival.

    Arrivals append, and a place is found by bisection. Every call needs the lock held.

    Args:
        lock: The lock of the queue; both kinds of condition share it.

    Attributes:
        arrival: Notified once for each job that arrives.
        room: By priority; notified once for each place that falls vacant.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.arrival = threading.Condition(lock)
        self.room = {priority: threading.Condition(lock) for priority in Priority}
        self._lines: dict[Priority, list[Job]] = {priority: [] for priority in Priority}
        self._numbers = count()

    def add(self, job: Job, priority: Priority) -> None:
        """Let a job join the end of a class."""
        job.priority, job.number = priority, next(self._numbers)
        self._lines[priority].append(job)
        self.arrival.notify()

    def remove(self, job: Job) -> None:
        del self._lines[job.priority][self._index(job)]
        self.room[job.priority].notify()

    def wake_everybody(self) -> None:
        for condition in (self.arrival, *self.room.values()):
            condition.notify_all()

    def first(self) -> Job | None:
        """The job to take next."""
        return next((line[0] for line in self._lines.values() if line), None)

    def of(self, priority: Priority) -> list[Job]:
        """The jobs of one class in order, as a list of the caller's own."""
        return list(self._lines[priority])

    def length(self, priority: Priority) -> int:
        return len(self._lines[priority])

    def position(self, job: Job) -> int:
        """Number of jobs that would be taken before this one, plus 1; 0 if it does not wait."""
        if job.state != "queued":
            return 0
        return self._n_better(job.priority) + self._index(job) + 1

    def n_ahead(self, priority: Priority) -> int:
        """Number of jobs that would be taken before one that joined the class now."""
        return self._n_better(priority) + len(self._lines[priority])

    def _n_better(self, priority: Priority) -> int:
        return sum(len(line) for other, line in self._lines.items() if other < priority)

    def _index(self, job: Job) -> int:
        return bisect_left(self._lines[job.priority], job.number, key=_number)
