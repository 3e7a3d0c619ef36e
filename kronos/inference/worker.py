"""A thread that serves a queue."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from kronos.errors import KronosError
from kronos.inference.jobs import Job
from kronos.inference.limits import Limits
from kronos.inference.queue import JobQueue

logger = logging.getLogger(__name__)


class Worker(ABC):
    """One thread, and the queue through which everybody reaches it.

    Attributes:
        queue: Where work is submitted, watched and taken back.
    """

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        """Args:
        name: Name of the thread.
        limits: Of the queue.
        """
        self.queue = JobQueue(limits)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def close(self, timeout: float = 5.0) -> bool:
        """Refuse and cancel everything, end the thread; True if it ended within `timeout` s."""
        self.queue.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _fail(self, job: Job, error: Exception) -> None:
        """Ends a job with an error; the log gets the traceback of what nobody foresaw."""
        if isinstance(error, KronosError):
            logger.info("The job %s failed: %s", job.key[:16], error)
        else:
            logger.warning("The job %s failed.", job.key[:16], exc_info=error)
        self.queue.fail(job, error)

    @abstractmethod
    def _serve(self) -> None:
        """Takes jobs until the queue is closed; runs in the thread."""
