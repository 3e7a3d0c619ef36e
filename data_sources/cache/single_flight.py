"""One of many equal questions is asked; the others get its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs one call at a time on a subject; equal calls that come meanwhile share its outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[T]] = {}
        self._turns: dict[Hashable, threading.Lock] = {}

    def run(self, subject: Hashable, question: Hashable, call: Callable[[], T]) -> T:
        """The result of the call, or of an equal one that is under way.

        Args:
            subject: Calls on the same subject take turns.
            question: Calls with the same question are equal.
            call: Does the work.
        """
        with self._lock:
            flight = self._flights.get(question)
            is_mine = flight is None
            flight = flight or self._flights.setdefault(question, Future())
            turn = self._turns.setdefault(subject, threading.Lock())
        if not is_mine:
            return flight.result()
        try:
            with turn:
                result = call()
        except BaseException as error:
            self._land(question)
            flight.set_exception(error)
            raise
        self._land(question)
        flight.set_result(result)
        return result

    def _land(self, question: Hashable) -> None:
        with self._lock:
            del self._flights[question]
