"""Threads that serve a queue."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod

from kronos.errors import KronosError
from kronos.serving.jobs import Job
from kronos.serving.limits import Limits
from kronos.serving.queue import JobQueue

logger = logging.getLogger(__name__)


class Worker(ABC):
    """One thread or several, and the queue through which everybody reaches them.

    Attributes:
        queue: Where work is submitted, watched and taken back.
    """

    def __init__(self, name: str, limits: Limits | None = None, *, n_threads: int = 1) -> None:
        """Args:
        name: Name of the threads.
        limits: Of the queue.
        n_threads: Jobs done at a time.
        """
        self.queue = JobQueue(limits)
        self._threads = [
            threading.Thread(target=self._serve, name=name, daemon=True) for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, timeout: float = 5.0) -> bool:
        """Refuse and cancel everything, end the threads; True if they ended within `timeout` s."""
        self.queue.close()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _fail(self, job: Job, error: Exception) -> None:
        """Ends a job with an error; the log gets the traceback of what nobody foresaw."""
        if isinstance(error, KronosError):
            logger.info("The job %s failed: %s", job.key[:16], error)
        else:
            logger.warning("The job %s failed.", job.key[:16], exc_info=error)
        self.queue.fail(job, error)

    @abstractmethod
    def _serve(self) -> None:
        """Takes jobs until the queue is closed; runs in every thread."""
