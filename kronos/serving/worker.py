"""Threads that serve a queue of heavy work, so that a caller never waits for it.

Callers submit work under a key and poll its status. Equal keys share one job; a newer request of
an owner supersedes its older one; a job without watchers stops at its next step. Neither torch
nor any interface is imported here: work is a plain callable.
"""

from __future__ import annotations

import logging
import threading
import time

from kronos.errors import ForecastCancelled, KronosError
from kronos.serving.jobs import Job, JobControl, Limits
from kronos.serving.queue import JobQueue

logger = logging.getLogger(__name__)


class Worker:
    """One thread or several, and the queue through which callers reach them.

    The payload of a job is a `Work`; each thread does one job after another. A subclass whose
    jobs are other things, or share a thread, overrides `_serve`.

    Attributes:
        queue: Where work is submitted, watched and cancelled.
    """

    def __init__(self, name: str, limits: Limits | None = None, *, n_threads: int = 1) -> None:
        """Args:
        name: Name of the threads.
        limits: Bounds of the queue.
        n_threads: Jobs done at a time.
        """
        self.queue = JobQueue(limits)
        self._threads = [
            threading.Thread(target=self._serve, name=name, daemon=True) for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether all its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self, timeout: float = 5.0) -> bool:
        """Refuse and cancel everything, end the threads; True if they ended within `timeout` s."""
        self.queue.close()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        """Take jobs until the queue is closed; runs in every thread."""
        while (job := self.queue.take()) is not None:
            self._perform(job)
            # A job referenced until the next one arrives would hold its result as long.
            del job

    def _perform(self, job: Job) -> None:
        try:
            result = job.payload(JobControl(job, self.queue.is_wanted))
        except ForecastCancelled:
            self.queue.cancel(job)
        # The boundary of the thread: an exception that escaped would end the worker and leave
        # every later caller waiting, so it becomes the error of its job.
        except Exception as error:  # noqa: BLE001
            self._fail(job, error)
        else:
            self.queue.finish(job, result)

    def _fail(self, job: Job, error: Exception) -> None:
        """End a job with an error; log the traceback of an unforeseen one."""
        if isinstance(error, KronosError):
            logger.info("The job %s failed: %s", job.key[:16], error)
        else:
            logger.warning("The job %s failed.", job.key[:16], exc_info=error)
        self.queue.fail(job, error)
