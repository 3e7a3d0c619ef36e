"""HTTP rules common to all sources: what a response means, and when a request is repeated."""

from __future__ import annotations

import json
import math
import re
import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pandas as pd

from kronos.errors import RateLimited, SourceBlocked, SourceDown, SourceError, SourceNonsense
from kronos.system import connection_text

__all__ = [
    "MOST_BYTES",
    "MOST_VALUES",
    "REQUEST_SECONDS",
    "UNREADABLE",
    "Body",
    "Headers",
    "Retry",
    "parse_json",
    "raise_for_page",
    "raise_for_redirect",
    "raise_for_status",
    "raise_for_zone",
    "rate_limited",
    "server_time",
    "too_large",
    "unreachable",
]

T = TypeVar("T")

REQUEST_SECONDS = 20.0
"""How long one request may take in all, attempts and pauses included."""
MOST_BYTES = 32 << 20
"""Most bytes of an answer, decoded; the longest list of markets has about half of it."""
MOST_VALUES = 3_000_000
"""Most values and members of a document: what it takes in memory once it is parsed."""
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What code raises that reads an answer of another form than it expects."""
_LONGEST_NUMBER = 40  # characters; prices have up to 20
_DEEPEST = 64  # levels of lists and objects
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_ATTEMPTS = 3
_FIRST_PAUSE = 0.5  # seconds before the second attempt; doubles with each further one
_LONGEST_WAIT = 3.0  # seconds; a caller with a user in front of it sleeps through no longer wait
_UNNAMED_WAIT = 60.0  # seconds, for a source that limits requests and names no wait
# "banned until 1735000000000": milliseconds since 1970, as Binance writes it.
_UNTIL = re.compile(r"until (\d{13})")


class Retry:
    """The one policy for repeating requests to a source; thread-safe.

    A request that fails because the source is down is repeated after pauses that double. One
    that is refused because of too many requests is repeated after the wait that the source
    names, if that wait is short. Until the wait is over, no thread sends a request through this
    object. Other errors are final: repeating the request would not help.

    Args:
        title: Name of the source, for messages.
        attempts: Most times that a request is sent.
        seconds: How long one request may take in all, pauses included.
        longest_wait: Longest wait of a rate limit, in seconds, that is slept through.
        repeat_on: Errors after which a request is repeated: `SourceDown`, `RateLimited` or both.
        sleep: Sleeps so many seconds; what it raises ends the request.
    """

    def __init__(
        self,
        title: str,
        *,
        attempts: int = _ATTEMPTS,
        seconds: float = REQUEST_SECONDS,
        longest_wait: float = _LONGEST_WAIT,
        repeat_on: tuple[type[SourceError], ...] = (SourceDown, RateLimited),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._title = title
        self._attempts = attempts
        self._seconds = seconds
        self._longest_wait = longest_wait
        self._repeat_on = repeat_on
        self._sleep = sleep
        self._lock = threading.Lock()
        self._blocked_until = 0.0  # by time.monotonic()

    @property
    def seconds_to_wait(self) -> float:
        """How long the source accepts no requests; 0 if it accepts them now."""
        with self._lock:
            return max(0.0, self._blocked_until - time.monotonic())

    def run(self, request: Callable[[float], T], *, seconds: float = math.inf) -> T:
        """Send a request, several times if necessary, and return its result.

        Args:
            request: Sends the request once; gets the seconds that are left for it.
            seconds: How long it may take where that is less than usual.

        Raises:
            SourceError: What the last attempt raised.
        """
        deadline = time.monotonic() + min(self._seconds, seconds)
        for attempt in range(1, self._attempts + 1):
            self._wait_for_rate_limit(deadline)
            try:
                return request(deadline - time.monotonic())
            except self._repeat_on as error:
                pause = _FIRST_PAUSE * 2 ** (attempt - 1)
                if isinstance(error, RateLimited):
                    pause = self._block(error.retry_after)
                is_late = time.monotonic() + pause >= deadline
                if attempt == self._attempts or pause > self._longest_wait or is_late:
                    raise
                if not isinstance(error, RateLimited):  # a rate limit is waited for at the top
                    self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _block(self, named_wait: float | None) -> float:
        """Send nothing until the wait is over; returns its seconds."""
        wait = _UNNAMED_WAIT if named_wait is None else named_wait
        with self._lock:
            self._blocked_until = max(self._blocked_until, time.monotonic() + wait)
        return wait

    def _wait_for_rate_limit(self, deadline: float) -> None:
        wait = self.seconds_to_wait
        if wait > self._longest_wait or (wait and time.monotonic() + wait >= deadline):
            raise rate_limited(self._title, "requests are paused", wait)
        if wait:
            self._sleep(wait)


class Headers(Protocol):
    """Headers of a response in any HTTP library; names in any case."""

    def get(self, name: str, default: str, /) -> str | None: ...


def server_time(headers: Headers) -> pd.Timestamp | None:
    """The source's own time, UTC, from the Date header of a response; None without one."""
    return _http_date(headers.get("Date", "") or "")


def raise_for_status(title: str, status: int, headers: Headers, body: str) -> None:
    """Raise the error of a status that means the same for every request; return for others.

    Args:
        title: Name of the source, for messages.
        status: HTTP status of the response.
        headers: Its headers.
        body: Its text.

    Raises:
        RateLimited: 418 or 429, with the wait that headers or body name.
        SourceBlocked: 403 or 451.
        SourceDown: 500 and above.
    """
    if status in {418, 429}:
        raise rate_limited(title, f"HTTP {status}", _named_wait(headers, body))
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


def raise_for_page(title: str, content_type: str, body: str) -> None:
    """Raise the error of a web page in place of data; return for data.

    Raises:
        SourceDown: The page says that the source is under maintenance.
        SourceNonsense: Any other page.
    """
    start = body.lstrip()[:2000].lower()
    if "will be right back" in start or "under maintenance" in start:
        raise SourceDown(
            f"{title} shows a page that says it is down. Try again later, or choose another source."
        )
    if start.startswith("<") or content_type.startswith("text/html"):
        raise SourceNonsense(
            f"{title} sent a web page instead of data. A captcha, a login page of this network or "
            "a proxy stands in between: open the source in a browser from this network, or choose "
            "another source."
        )


class Body:
    """The body of a response as it arrives: decoded, and of a bounded size.

    Args:
        title: Name of the source, for messages.
        encoding: Its Content-Encoding, gzip, deflate or none.
        most: Most bytes, decoded.

    Raises:
        SourceNonsense: Another encoding.
    """

    def __init__(self, title: str, encoding: str = "", *, most: int = MOST_BYTES) -> None:
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise SourceNonsense(
                f"{title} sent an answer in an encoding that was not requested "
                f"({encoding[:40]!r}). {_ELSEWHERE}"
            )
        self._title = title
        self._most = most
        self._data = bytearray()
        is_plain = encoding in {"", "identity"}
        self._decoder = None if is_plain else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self.is_whole = False  # whether `content` was had

    def add(self, piece: bytes) -> bool:
        """Add the next bytes; False where they are too many.

        Raises:
            SourceNonsense: They cannot be decoded.
        """
        if self._decoder is None:
            if len(self._data) + len(piece) > self._most:
                return False
            self._data += piece
            return True
        try:
            while piece and len(self._data) <= self._most:
                room = self._most + 1 - len(self._data)
                self._data += self._decoder.decompress(piece, min(room, 1 << 20))
                piece = self._decoder.unconsumed_tail
        except zlib.error as exc:
            raise self._cut() from exc
        if self._decoder.unused_data:  # zlib stores what follows the end, without a bound
            raise self._cut()
        return len(self._data) <= self._most

    def content(self) -> bytes:
        """All of it.

        Raises:
            SourceNonsense: It ends in the middle.
        """
        if self._decoder is not None and self._data and not self._decoder.eof:
            raise self._cut()
        self.is_whole = True
        return bytes(self._data)

    def _cut(self) -> SourceNonsense:
        return SourceNonsense(
            f"{self._title} sent an answer whose compression is damaged. {_ELSEWHERE}"
        )


_ELSEWHERE = (
    "A proxy may stand in between, or the source has changed its format: try again later, or "
    "choose another source."
)


def parse_json(title: str, text: str, *, numbers_as_text: bool = False) -> Any:
    """The document of an answer: of bounded size and depth, all its numbers finite.

    Args:
        title: Name of the source, for messages.
        text: The body.
        numbers_as_text: Whether to give numbers as they are written.

    Raises:
        SourceNonsense: It has too many values or levels, or a number that is none.
        ValueError: It is no JSON.
    """

    def refused(found: str) -> SourceNonsense:
        return SourceNonsense(f"{title} sent an answer with {found}. {_ELSEWHERE}")

    n_values = text.count(",") + text.count("[") + text.count("{")
    if n_values > MOST_VALUES:
        raise refused(f"{n_values:,} values, more than {MOST_VALUES:,}")

    def constant(name: str) -> Any:
        raise refused(f"{name} for a number")

    def number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
        def read(digits: str) -> Any:
            if len(digits) > _LONGEST_NUMBER:
                raise refused(f"a number of {len(digits):,} characters")
            value = kind(digits)
            if not math.isfinite(value):
                raise refused(f"the number {digits}, which is too large")
            return digits if numbers_as_text else value

        return read

    try:
        document = json.loads(
            text, parse_float=number(float), parse_int=number(int), parse_constant=constant
        )
    except RecursionError as exc:
        raise refused("lists nested too deep") from exc
    if _depth(document) > _DEEPEST:
        raise refused(f"lists nested more than {_DEEPEST} deep")
    return document


def _depth(document: Any) -> int:
    """Levels of lists and objects, up to one more than is allowed."""
    level, depth = [document], 0
    while level and depth <= _DEEPEST:
        held = [part for part in level if isinstance(part, dict | list) and part]
        level = [
            inner
            for part in held
            for inner in (part.values() if isinstance(part, dict) else part)
            if isinstance(inner, dict | list)
        ]
        depth += bool(held)
    return depth


def raise_for_redirect(
    title: str, address: str, target: str, *, is_same: Callable[[str, str], bool] | None = None
) -> None:
    """Raise on a redirect that leaves the host, or encryption; return for others.

    Args:
        title: Name of the source, for messages.
        address: The address of the request.
        target: Where it is sent to, absolute.
        is_same: Whether two host names are of one source; default: whether they are equal.

    Raises:
        SourceNonsense: Another host or scheme, or no address.
    """
    shown = ""
    try:
        old, new = urlsplit(address), urlsplit(target)
        same_host = (
            old.netloc.lower() == new.netloc.lower()
            if is_same is None
            else is_same(old.hostname or "", new.hostname or "")
        )
        # The rest may repeat the query of the request, and the key in it.
        shown = f"{new.scheme}://{new.hostname or ''}"[:80]
    except ValueError:
        same_host = False
    is_kept = same_host and (
        new.scheme == old.scheme or (old.scheme, new.scheme) == ("http", "https")
    )
    if not is_kept:
        raise SourceNonsense(
            f"{title} redirects to another address ({shown!r}), which is not followed. A "
            "login page of this network or a proxy stands in between: open the source in a "
            "browser from this network, or choose another source."
        )


def raise_for_zone(title: str, name: object) -> None:
    """Raise on what is no IANA name of a clock; return for one.

    Raises:
        SourceNonsense: No clock has that name.
    """
    try:
        if isinstance(name, str) and _ZONE.fullmatch(name):
            ZoneInfo(name)
            return
    except (LookupError, OSError, ValueError):
        pass  # unknown, a folder of zones, or no zone
    raise SourceNonsense(
        f"{title} names a time zone that does not exist ({str(name)[:40]!r}). {_ELSEWHERE}"
    )


def too_large(title: str, most: int = MOST_BYTES) -> SourceNonsense:
    """The error of an answer with too many bytes."""
    return SourceNonsense(
        f"{title} sent more than {most / 2**20:.0f} MiB, and the rest was not read. Ask for a "
        "later start, or choose another source."
    )


def rate_limited(title: str, found: str, wait: float | None) -> RateLimited:
    """The error of a source that got too many requests.

    Args:
        title: Name of the source, for messages.
        found: What the source sent.
        wait: Seconds until it accepts requests again; None if it does not say.
    """
    if wait is None:
        advice = "It names no wait: try again in some minutes"
    else:
        advice = f"Try again in {_duration(wait)}"
    return RateLimited(
        f"{title} got too many requests ({found}). {advice}, or choose another source.",
        retry_after=wait,
    )


def unreachable(title: str, reason: str) -> SourceDown:
    """The error of a source that sends no response."""
    return SourceDown(
        f"{title} cannot be reached: {connection_text(reason)}. Check the network of this machine "
        "and its proxy settings, or choose another source."
    )


def _named_wait(headers: Headers, body: str) -> float | None:
    """Seconds to wait, from Retry-After (a number or a date) or from the body."""
    text = (headers.get("Retry-After", "") or "").strip()
    now = server_time(headers) or pd.Timestamp.now("UTC")
    if text:
        try:
            seconds = float(text)
        except ValueError:
            until = _http_date(text)
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
