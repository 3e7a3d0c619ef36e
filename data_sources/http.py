"""What the status and the kind of a web answer say about a source, the same for all sources."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

import pandas as pd

from kronos.errors import RateLimited, SourceBlocked, SourceDown, SourceNonsense

__all__ = ["Headers", "no_answer", "rate_limited", "refuse_page", "refuse_status", "source_clock"]

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
