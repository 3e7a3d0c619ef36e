"""Asking a source again where that can help, and not asking it while it wants to be left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from data_sources.http import rate_limited
from kronos.errors import RateLimited, SourceDown

__all__ = ["ASK_SECONDS", "Patience"]

T = TypeVar("T")

ASK_SECONDS = 20.0
"""How long one question may take in all, attempts and pauses included."""
_ATTEMPTS = 3
_FIRST_PAUSE = 0.5
# A wait that the source names and that is no longer than this is waited for.
_SHORT_WAIT = 3.0
# How long a source is left alone that was asked too often and did not say how long to wait.
_UNSAID_WAIT = 60.0


class Patience:
    """The attempts at one source.

    A source that fails or does not answer (`SourceDown`) is asked up to three times, with pauses
    that double. One that was asked too often is asked again only if the wait is short; for
    longer waits it is left alone, by every caller. Nothing else gets better by asking again.

    Args:
        title: Name of the source to show.
        seconds: How long one question may take.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        title: str,
        *,
        seconds: float = ASK_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._title = title
        self._seconds = seconds
        self._sleep = sleep
        self._lock = threading.Lock()
        self._not_before = 0.0

    def ask(self, question: Callable[[float], T]) -> T:
        """The answer to a question.

        Args:
            question: Asks once; gets the seconds left, at most which it may take.

        Raises:
            SourceError: What the last attempt raised.
        """
        deadline = time.monotonic() + self._seconds
        for attempt in range(1, _ATTEMPTS + 1):
            self._require_leave()
            try:
                return question(deadline - time.monotonic())
            except RateLimited as error:
                pause = error.retry_after
                if pause is None or pause > _SHORT_WAIT:
                    self._leave_alone(_UNSAID_WAIT if pause is None else pause)
                    raise
                if attempt == _ATTEMPTS or time.monotonic() + pause >= deadline:
                    raise
            except SourceDown:
                pause = _FIRST_PAUSE * 2 ** (attempt - 1)
                if attempt == _ATTEMPTS or time.monotonic() + pause >= deadline:
                    raise
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _require_leave(self) -> None:
        with self._lock:
            wait = self._not_before - time.monotonic()
        if wait > 0:
            raise rate_limited(self._title, "it is left alone for now", wait)

    def _leave_alone(self, seconds: float) -> None:
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
