"""A thread that serves a queue."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from kronos.inference.limits import Limits
from kronos.inference.queue import JobQueue


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

    @abstractmethod
    def _serve(self) -> None:
        """Takes jobs until the queue is closed; runs in the thread."""
