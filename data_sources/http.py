"""What the status and the kind of a web answer say about a source, the same for all sources."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import pandas as pd

from kronos.errors import RateLimited, SourceBlocked, SourceDown, SourceNonsense

__all__ = [
    "ASK_SECONDS",
    "Headers",
    "Patience",
    "no_answer",
    "rate_limited",
    "refuse_page",
    "refuse_status",
    "source_clock",
]

# "banned until 1735000000000": milliseconds since 1970, as Binance writes it.
_UNTIL = re.compile(r"until (\d{13})")


class Headers(Protocol):
    """Headers of an answer, whatever library holds them; names in any case."""

    def get(self, name: str, default: str, /) -> str | None: ...


def source_clock(headers: Headers) -> pd.Timestamp | None:
    """The source's own time, UTC, from the Date header of its answer; None where it sent none."""
    return _http_date(headers.get("Date", "") or "")


def refuse_status(title: str, status: int, headers: Headers, body: str) -> None:
    """Raises what a status means, if it means the same whatever was asked.

    Args:
        title: Name of the source to show.
        status: HTTP status of the answer.
        headers: Its headers.
        body: Its text.

    Raises:
        RateLimited: 418 or 429, with the wait that headers or body name.
        SourceBlocked: 403 or 451.
        SourceDown: 500 and above.
    """
    if status in {418, 429}:
        raise rate_limited(title, f"HTTP {status}", _wait(headers, body))
    if status in {403, 451}:
        raise SourceBlocked(
            f"{title} refuses requests from this address (HTTP {status}). It may not serve your "
            "region, or it takes this network for a robot. Choose another source."
        )
    if status >= 500:
        raise SourceDown(
            f"{title} has a fault of its own (HTTP {status}). Try again later, or choose another "
            "source."
        )


def rate_limited(title: str, found: str, wait: float | None) -> RateLimited:
    """The error for a source that was asked too often.

    Args:
        title: Name of the source to show.
        found: What it answered.
        wait: Seconds until it may be asked again, if it said.
    """
    if wait is None:
        advice = "It does not say for how long: wait some minutes"
    else:
        advice = f"It may be asked again in {_duration(wait)}"
    return RateLimited(
        f"{title} was asked too often ({found}). {advice}, or choose another source.",
        retry_after=wait,
    )


def refuse_page(title: str, content_type: str, body: str) -> None:
    """Raises for a web page where data was due.

    Raises:
        SourceDown: The page says that the source is being repaired.
        SourceNonsense: Any other page.
    """
    start = body.lstrip()[:2000].lower()
    if "will be right back" in start or "under maintenance" in start:
        raise SourceDown(
            f"{title} shows a page that says it is down. Try again later, or choose another source."
        )
    if start.startswith("<") or content_type.startswith("text/html"):
        raise SourceNonsense(
            f"{title} answered with a web page instead of data. A captcha, a login page of this "
            "network or a proxy stands in between: open the source in a browser from this "
            "network, or choose another source."
        )


def no_answer(title: str, reason: str) -> SourceDown:
    """The error for a source that cannot be reached."""
    return SourceDown(
        f"{title} cannot be reached: {reason}. Check the network of this machine and its proxy "
        "settings, or choose another source."
    )


def _wait(headers: Headers, body: str) -> float | None:
    """Seconds to wait, from Retry-After (a number or a date) or from the body."""
    said = (headers.get("Retry-After", "") or "").strip()
    now = source_clock(headers) or pd.Timestamp.now("UTC")
    if said:
        try:
            seconds = float(said)
        except ValueError:
            until = _http_date(said)
            seconds = math.nan if until is None else (until - now).total_seconds()
        if math.isfinite(seconds):
            return max(0.0, seconds)
    if match := _UNTIL.search(body):
        until = pd.Timestamp(int(match[1]), unit="ms", tz="UTC")
        return max(0.0, (until - now).total_seconds())
    return None


def _http_date(text: str) -> pd.Timestamp | None:
    try:
        return pd.Timestamp(parsedate_to_datetime(text).astimezone(UTC))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{math.ceil(whole / 60)} min" if whole < 7200 else f"{math.ceil(whole / 3600)} h"


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
