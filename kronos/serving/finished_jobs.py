"""Jobs that have ended: kept for whoever has not seen the end yet, and for later requests."""

from __future__ import annotations

from collections import OrderedDict

from kronos.serving.jobs import Job


class FinishedJobs:
    """Ended jobs by key.

    A job some owner has yet to see is owed and stays. The others are dropped least recently used
    first: results, and apart from them the failed and the cancelled, so that failures displace no
    result. What nobody asked to keep goes at once. Not thread-safe: the queue's lock guards it.

    Args:
        max_kept: Jobs kept of each of the two kinds, beside those that are owed.
    """

    def __init__(self, max_kept: int) -> None:
        self._max_kept = max_kept
        self._owed: OrderedDict[str, tuple[float, Job]] = OrderedDict()
        self._results: OrderedDict[str, Job] = OrderedDict()
        self._failures: OrderedDict[str, Job] = OrderedDict()

    def add(self, job: Job, now: float) -> None:
        """Keep a job that has ended, or that found a new owner after its end."""
        self.forget(job.key)
        if job.watchers:
            self._owed[job.key] = (now, job)
        else:
            self._keep(job)

    def get(self, key: str) -> Job | None:
        """The job of a key, which counts as its use."""
        if key in self._owed:
            return self._owed[key][1]
        for kept in (self._results, self._failures):
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        return None

    def settle(self, job: Job) -> None:
        """Owe a job to nobody any more."""
        owed = self._owed.get(job.key)
        if owed is not None and owed[1] is job:
            del self._owed[job.key]
            self._keep(job)

    def forget(self, key: str) -> Job | None:
        """Drop what is kept under a key, and return it."""
        owed = self._owed.pop(key, None)
        if owed is not None:
            return owed[1]
        return self._results.pop(key, None) or self._failures.pop(key, None)

    def overdue(self, limit: float) -> list[Job]:
        """Jobs owed since before the time `limit`."""
        found = []
        for since, job in self._owed.values():
            if since >= limit:
                break
            found.append(job)
        return found

    def _keep(self, job: Job) -> None:
        if not job.is_kept:
            return
        kept = self._results if job.state == "done" else self._failures
        kept[job.key] = job
        while len(kept) > self._max_kept:
            kept.popitem(last=False)
