"""Connections to Yahoo that validate each response before yfinance reads it.

yfinance caches broken responses, replaces messages with its own and drops headers. A session of
this module raises on everything that is not the requested document, quotes what Yahoo said and
keeps the time limits. Cookies and crumbs stay with yfinance.
"""

from __future__ import annotations

import re
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import pandas as pd
from curl_cffi import CurlError
from curl_cffi.curl import CURL_WRITEFUNC_ERROR
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException, Timeout

from data_sources.http import (
    MOST_BYTES,
    Body,
    parse_json,
    raise_for_page,
    raise_for_redirect,
    raise_for_status,
    raise_for_zone,
    server_time,
    too_large,
    unreachable,
)
from data_sources.yahoo.client import TITLE
from kronos.errors import (
    IntervalUnavailable,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)

__all__ = ["CalendarSession", "ChartSession", "EarningsSession", "ValidatingSession"]

_MOST_BARS = 200_000  # of one chart; a century of days has 25,000
_MOST_ROWS = 1000  # of one answer of the economic calendar; 100 are asked for
_MOST_REDIRECTS = 5
_CONTENT = {"data", "content", "json", "files", "multipart"}
_REDIRECTS = {301, 302, 303, 307, 308}
_CRUMB_PATH, _CRUMB = "/getcrumb", re.compile(rb"[!-;=-~]{1,64}|Too Many Requests\s*")
_COOKIE_SECONDS = 3.0  # limit of a request for a cookie, which charts do not need


class ValidatingSession(Session[Response]):
    """A session that returns responses of one kind or raises what is wrong with them.

    Args:
        path: Part of the addresses whose responses are validated.
        seconds: Time limit of one such request.
        most_bytes: Most bytes of a response, decoded.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(
        self, path: str, seconds: float, *, most_bytes: int = MOST_BYTES, **options: Any
    ) -> None:
        # `Retry` repeats requests; the client must not.
        super().__init__(**{"impersonate": "chrome", "retry": 0, **options})
        self._most_bytes = most_bytes
        self._path = path
        self._seconds = seconds
        self._call = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Within this context, all requests of this thread end in so many seconds."""
        self._call.__dict__.clear()
        self._call.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._call.deadline = None

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """See `curl_cffi.requests.Session.request`."""
        is_validated = self._path in url
        limit = self._seconds if is_validated else min(self._seconds, _COOKIE_SECONDS)
        deadline = getattr(self._call, "deadline", None)
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        ends = time.monotonic() + max(limit, 0.001)
        try:
            response = self._within_yahoo(method, url, ends, *args, **options)
        except SourceNonsense as exc:
            if not is_validated:  # The client does without a cookie.
                raise RequestException(str(exc)) from exc
            raise
        except Timeout as exc:
            if not is_validated:
                raise
            raise unreachable(TITLE, f"it did not answer within {limit:.0f} s") from exc
        except RequestException as exc:
            if not is_validated:
                raise
            raise unreachable(TITLE, str(exc).split(". See ")[0]) from exc
        if is_validated:
            self.validate(response)
        elif url.partition("?")[0].endswith(_CRUMB_PATH) and response.status_code == 200:
            _raise_unless_crumb(response.content)
        return response

    def _within_yahoo(
        self, method: Any, url: str, ends: float, *args: Any, **options: Any
    ) -> Response:
        """The response behind all redirects, none of which may leave Yahoo."""
        for _ in range(_MOST_REDIRECTS + 1):
            options["timeout"] = max(ends - time.monotonic(), 0.001)
            response = self._bounded(method, url, *args, **options)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            target = urljoin(url, location)
            raise_for_redirect(TITLE, url, target, is_same=_are_yahoos)
            if response.status_code not in {307, 308} and method not in {"GET", "HEAD"}:
                method = "GET"
                options = {name: options[name] for name in options if name not in _CONTENT}
            url, args = target, ()
            options.pop("params", None)  # The address has them.
        raise SourceNonsense(
            f"{TITLE} redirects more than {_MOST_REDIRECTS} times. A login page of this network "
            "or a proxy stands in between: choose another source, or try again later."
        )

    def _bounded(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """The response to one request, its body read up to the most bytes."""
        body = Body(TITLE, most=self._most_bytes)  # curl decodes it
        is_full = False

        def take(piece: bytes) -> int:
            nonlocal is_full
            is_full = is_full or not body.add(piece)
            return CURL_WRITEFUNC_ERROR if is_full else len(piece)

        options |= {"allow_redirects": False, "content_callback": take}
        try:
            response = self.send(method, url, *args, **options)
        except UnicodeError as exc:  # in its headers
            raise RequestException(f"headers that cannot be read ({exc})") from exc
        except RequestException as exc:
            if is_full:
                raise too_large(TITLE, self._most_bytes) from exc
            raise
        except CurlError as exc:  # of an address that it cannot use
            raise RequestException(str(exc)[:200]) from exc
        if is_full:  # An answer that ends in the same piece ends without an error.
            raise too_large(TITLE, self._most_bytes)
        response.content = body.content()
        return response

    def send(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Send the request without validation."""
        return super().request(method, url, *args, **options)

    def _is_first_refusal(self) -> bool:
        """Whether it is the first one of the attempt: yfinance then gets another cookie."""
        self._call.n_unauthorized = getattr(self._call, "n_unauthorized", 0) + 1
        return bool(self._call.n_unauthorized == 1)

    @abstractmethod
    def validate(self, response: Response) -> None:
        """Raise on a response that yfinance must not read.

        Raises:
            SourceError: What is wrong with it.
        """


class ChartSession(ValidatingSession):
    """The connection to Yahoo's charts.

    Args:
        chart_seconds: Time limit of one chart.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, chart_seconds: float = 8.0, **options: Any) -> None:
        super().__init__("/v8/finance/chart/", chart_seconds, **options)

    @property
    def clock(self) -> pd.Timestamp | None:
        """Yahoo's own time, UTC, at the last chart of this thread."""
        return getattr(self._call, "clock", None)

    def validate(self, response: Response) -> None:
        """See `ValidatingSession.validate`."""
        self._call.clock = server_time(response.headers) or self.clock
        if response.status_code != 401 or not self._is_first_refusal():
            _raise_unless_chart(response)


class EarningsSession(ValidatingSession):
    """The connection to Yahoo's earnings calendar.

    Args:
        page_seconds: Time limit of one page.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, page_seconds: float = 10.0, **options: Any) -> None:
        super().__init__("/calendar/earnings", page_seconds, **options)

    def validate(self, response: Response) -> None:
        """See `ValidatingSession.validate`."""
        raise_for_status(TITLE, response.status_code, response.headers, response.text)
        page = response.text.lower()
        if "will be right back" in page[:4000]:
            raise SourceDown(f"{TITLE} shows a page that says it is down. Try again later.")
        is_consent = "consent.yahoo.com" in response.url
        if response.status_code != 200 or "earnings" not in page or is_consent:
            raise SourceNonsense(
                f"{TITLE} answered (HTTP {response.status_code}), but not with its earnings "
                "calendar. A captcha, a page that asks for consent or a proxy stands in between: "
                "open https://finance.yahoo.com/calendar/earnings in a browser from this network."
            )


class CalendarSession(ValidatingSession):
    """The connection to Yahoo's economic calendar.

    Args:
        page_seconds: Time limit of one page of it.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, page_seconds: float = 10.0, **options: Any) -> None:
        super().__init__("/v1/finance/visualization", page_seconds, **options)

    def table(self, fields: Sequence[str]) -> tuple[int, list[list[Any]]]:
        """The last page of this thread: number of all rows, and its rows in the order of fields.

        Raises:
            SourceNonsense: A field is missing.
        """
        empty: tuple[int, list[str], list[list[Any]]] = (0, [], [])
        total, names, rows = getattr(self._call, "page", empty)
        missing = [field for field in fields if field not in names]
        if missing:
            raise _no_calendar(200, f"without {', '.join(missing)}")
        places = [names.index(field) for field in fields]
        return total, [[row[place] for place in places] for row in rows]

    def validate(self, response: Response) -> None:
        """See `ValidatingSession.validate`."""
        self._call.page = 0, [], []
        if response.status_code != 401 or not self._is_first_refusal():
            self._call.page = _calendar_page(response)


def _calendar_page(response: Response) -> tuple[int, list[str], list[list[Any]]]:
    """Number of all rows, names of the columns, and the rows of an answer."""
    status, body = response.status_code, response.text
    raise_for_status(TITLE, status, response.headers, body)
    raise_for_page(TITLE, response.headers.get("Content-Type", ""), body)
    try:
        calendar = parse_json(TITLE, body)["finance"]
        error, results = calendar.get("error"), calendar.get("result")
    except (AttributeError, ValueError, LookupError, TypeError) as exc:
        raise _no_calendar(status, "in another format") from exc
    if error:
        said = error.get("description", "") if isinstance(error, dict) else error
        if status == 401:
            raise SourceBlocked(
                f"{TITLE} wants a login from this address (HTTP 401: {str(said)[:200]}). Try "
                "again later."
            )
        raise _no_calendar(status, f"with an error: {str(said)[:200]}")
    try:
        total, table = results[0]["total"], results[0]["documents"][0]
        names = [column["id"] for column in table["columns"]]
        rows = table["rows"]
        is_table = isinstance(rows, list) and len(rows) <= _MOST_ROWS and isinstance(total, int)
        if not is_table or any(len(row) != len(names) for row in rows):
            raise TypeError(f"{len(rows)} rows of {len(names)} columns")
    except (AttributeError, LookupError, TypeError) as exc:
        raise _no_calendar(status, f"{type(exc).__name__}: {exc}") from exc
    return total, names, rows


def _no_calendar(status: int, found: str) -> SourceNonsense:
    return SourceNonsense(
        f"{TITLE} answered (HTTP {status}), but not with its economic calendar ({found[:200]}). It "
        "may have changed its format: update the application."
    )


def _raise_unless_crumb(content: bytes) -> None:
    """The client keeps a crumb and adds it to every later address."""
    if not _CRUMB.fullmatch(content):
        raise RequestException(f"a crumb of {len(content):,} bytes that is none")


def _raise_unless_chart(response: Response) -> None:
    status, body = response.status_code, response.text
    raise_for_status(TITLE, status, response.headers, body)
    raise_for_page(TITLE, response.headers.get("Content-Type", ""), body)
    try:
        document = parse_json(TITLE, body)
        # Some errors come in the format of another part of Yahoo.
        chart = document["finance"] if "finance" in document else document["chart"]
        results, error = chart["result"], chart["error"]
    except (ValueError, LookupError, TypeError) as exc:
        raise SourceNonsense(
            f"{TITLE} answered (HTTP {status}), but not with a chart. It may have changed its "
            "format: update the application, or choose another source."
        ) from exc
    if error:
        raise _refusal(status, error)
    if not results:
        raise UnknownSymbol(f"{TITLE} has no bars of that symbol.")
    _raise_unless_readable(results)


def _raise_unless_readable(results: Any) -> None:
    """Raise on a chart that would harm who reads it: too long, or on no clock."""
    try:
        chart = results[0]
        stamps, meta = chart.get("timestamp") or [], chart["meta"]
        if len(stamps) > _MOST_BARS:
            raise SourceNonsense(
                f"{TITLE} sent {len(stamps):,} bars, more than {_MOST_BARS:,}. Ask for a later "
                "start, or for wider bars."
            )
        if "exchangeTimezoneName" in meta:
            raise_for_zone(TITLE, meta["exchangeTimezoneName"])
    except (AttributeError, LookupError, TypeError) as exc:
        raise SourceNonsense(
            f"{TITLE} sent a chart that cannot be read ({type(exc).__name__}: {exc}). It may have "
            "changed its format: update the application, or choose another source."
        ) from exc


def _are_yahoos(old: str, new: str) -> bool:
    """Whether both are hosts of Yahoo, which sends a client from one to another."""
    return all(host == "yahoo.com" or host.endswith(".yahoo.com") for host in (old, new))


def _refusal(status: int, error: Any) -> Exception:
    """The error for Yahoo's own error document."""
    said = str(error.get("description", "") if isinstance(error, dict) else error)[:300].rstrip(".")
    if status == 401:
        return SourceBlocked(
            f"{TITLE} wants a login from this address (HTTP 401: {said}). Try again later, or "
            "choose another source."
        )
    if status == 404 or "No data found" in said:
        return UnknownSymbol(
            f"{TITLE} has no such symbol ({said}). Search for the name of the instrument, or add "
            "the suffix of its exchange, such as .L for London."
        )
    if "Data doesn't exist" in said:
        return UnknownSymbol(f"{TITLE} has no bars there ({said}). Ask for another range.")
    return IntervalUnavailable(
        f"{TITLE} does not give these bars (HTTP {status}: {said}). Ask for a later start, or for "
        "wider bars."
    )
