"""One worker thread for everything heavy, so that whoever asks never waits for it.

Callers submit work under a key and poll its status. Equal keys share one job; a newer request of
an owner supersedes its older one; a job that nobody watches any more stops at its next step.
Neither torch nor any interface is imported here: work is a plain callable.
"""

from __future__ import annotations

import logging
import threading

from kronos.errors import ForecastCancelled
from kronos.inference.jobs import Job, JobControl, JobStatus, Work
from kronos.inference.queue import JobQueue

__all__ = ["JobControl", "JobStatus", "Runner", "Work"]

logger = logging.getLogger(__name__)


class Runner:
    """A single worker thread behind a bounded queue.

    Args:
        max_queued: Jobs that may wait beside the one that runs.
        max_results: Finished results kept, least recently used dropped first, beside those that
            an owner has yet to see.
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
        self._queue = JobQueue(
            max_queued=max_queued, max_results=max_results, abandon_after=abandon_after
        )
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, key: str, work: Work, *, owner: str) -> JobStatus:
        """Have `work` done under `key`, or join the job or result that exists under it.

        An older job of the same owner under another key is left first. A key that failed or was
        cancelled before is tried again.

        Raises:
            Busy: the queue is full or the runner is closed; nothing was changed.
        """
        return self._queue.submit(key, work, owner=owner)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """The job's state now, or None for a key never seen or no longer kept.

        Naming the `owner` also says that this owner still waits, or has seen the end.
        """
        return self._queue.status(key, owner=owner)

    def leave(self, key: str, *, owner: str) -> None:
        """Stop waiting for a job; it is cancelled once nobody waits for it."""
        self._queue.leave(key, owner=owner)

    def close(self, timeout: float = 5.0) -> bool:
        """Cancel everything and end the thread; True if it ended within `timeout` seconds."""
        self._queue.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (job := self._queue.take()) is not None:
            self._perform(job)
            # A job held until the next one comes would keep its result alive as long.
            del job

    def _perform(self, job: Job) -> None:
        try:
            result = job.payload(JobControl(job, self._queue.is_wanted))
        except ForecastCancelled:
            self._queue.cancel(job)
        # The boundary of the thread: whatever one job raises becomes that job's error, because an
        # exception that escaped would end the only worker and leave every later caller waiting.
        except Exception as error:
            logger.exception("The job %s failed.", job.key[:16])
            self._queue.fail(job, error)
        else:
            self._queue.finish(job, result)
