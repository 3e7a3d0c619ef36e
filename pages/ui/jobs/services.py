"""Services that all sessions share: the process has one of each.

They are no entries of Streamlit's caches, which one message of any visitor empties: their threads
would be started once more, and the runs of all others would be out of reach.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

ServiceT = TypeVar("ServiceT")
_services: list[Service[Any]] = []


class Service(Generic[ServiceT]):
    """A service of the process: the first call makes it, all calls return it. Any thread may call.

    Used as a decorator of the function that makes it.
    """

    def __init__(self, make: Callable[[], ServiceT]) -> None:
        """Args:
        make: Makes the service.
        """
        self.__doc__ = make.__doc__
        self._make = make
        # One that makes another service, or asks for itself again, does so in the same thread.
        self._lock = threading.RLock()
        self._made: list[ServiceT] = []
        _services.append(self)

    def __call__(self) -> ServiceT:
        """The service."""
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def reset(self) -> None:
        """Close the service, where it can be closed, and forget it; the next call makes another."""
        with self._lock:
            while self._made:
                close = getattr(self._made.pop(), "close", None)
                if close is not None:
                    close()


def reset_services() -> None:
    """Close and forget all services, for tests that need new ones."""
    for each in _services:
        each.reset()
