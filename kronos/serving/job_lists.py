"""Where a queue has its jobs: in a line while they wait, and by key once they have ended."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from itertools import count
from operator import attrgetter

from kronos.serving.jobs import Job, Priority

__all__ = ["EndedJobs", "WaitingLine"]

_number = attrgetter("number")


class WaitingLine:
    """Waiting jobs: one list for each priority, sorted by number of arrival.

    Arrivals append, and a place is found by bisection.
    """

    def __init__(self) -> None:
        self._lines: dict[Priority, list[Job]] = {priority: [] for priority in Priority}
        self._numbers = count()

    def add(self, job: Job, priority: Priority) -> None:
        """Append a job to a class."""
        job.priority, job.number = priority, next(self._numbers)
        self._lines[priority].append(job)

    def remove(self, job: Job) -> None:
        """Take a job out of its class."""
        del self._lines[job.priority][self._index(job)]

    def first(self) -> Job | None:
        """The job to take next."""
        return next((line[0] for line in self._lines.values() if line), None)

    def jobs(self, priority: Priority) -> list[Job]:
        """The jobs of one class in order, as a new list."""
        return list(self._lines[priority])

    def length(self, priority: Priority) -> int:
        """Number of jobs of one class."""
        return len(self._lines[priority])

    def position(self, job: Job) -> int:
        """Number of jobs that would be taken before this one, plus 1."""
        return self._n_better(job.priority) + self._index(job) + 1

    def n_ahead(self, priority: Priority) -> int:
        """Number of jobs that would be taken before one that joined the class now."""
        return self._n_better(priority) + len(self._lines[priority])

    def _n_better(self, priority: Priority) -> int:
        return sum(len(line) for other, line in self._lines.items() if other < priority)

    def _index(self, job: Job) -> int:
        return bisect_left(self._lines[job.priority], job.number, key=_number)


class EndedJobs:
    """Ended jobs by key.

    A job stays while an owner has yet to see its end. The others are dropped least recently used
    first: results, and apart from them the failed and the cancelled, so that failures displace no
    result. A job that no owner wants stored is dropped at once.

    Args:
        max_stored: Jobs stored of each of the two kinds, beside the unseen ones.
    """

    def __init__(self, max_stored: int) -> None:
        self._max_stored = max_stored
        self._unseen: OrderedDict[str, tuple[float, Job]] = OrderedDict()  # with the time of add
        self._results: OrderedDict[str, Job] = OrderedDict()
        self._failures: OrderedDict[str, Job] = OrderedDict()

    def add(self, job: Job, now: float) -> None:
        """Store a job that has ended, or that a new owner joined after its end."""
        self.pop(job.key)
        if job.watchers:
            self._unseen[job.key] = (now, job)
        else:
            self._store(job)

    def get(self, key: str) -> Job | None:
        """The job of a key; counts as its use."""
        if key in self._unseen:
            return self._unseen[key][1]
        for stored in (self._results, self._failures):
            if key in stored:
                stored.move_to_end(key)
                return stored[key]
        return None

    def settle(self, job: Job) -> None:
        """Count a job as seen by all its owners."""
        unseen = self._unseen.get(job.key)
        if unseen is not None and unseen[1] is job:
            del self._unseen[job.key]
            self._store(job)

    def pop(self, key: str) -> Job | None:
        """Drop the job of a key, and return it."""
        unseen = self._unseen.pop(key, None)
        if unseen is not None:
            return unseen[1]
        return self._results.pop(key, None) or self._failures.pop(key, None)

    def unseen_since(self, limit: float) -> list[Job]:
        """Jobs unseen since before the time `limit`."""
        found = []
        for since, job in self._unseen.values():
            if since >= limit:
                break
            found.append(job)
        return found

    def _store(self, job: Job) -> None:
        if not job.is_stored:
            return
        stored = self._results if job.state == "done" else self._failures
        stored[job.key] = job
        while len(stored) > self._max_stored:
            stored.popitem(last=False)
