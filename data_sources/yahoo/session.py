"""Connections to Yahoo that validate each response before yfinance reads it.

yfinance caches broken responses, replaces messages with its own and drops headers. A session of
this module raises on everything that is not the requested document, quotes what Yahoo said and
keeps the time limits. Cookies and crumbs stay with yfinance.
"""

from __future__ import annotations

import json
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException, Timeout

from data_sources.http import raise_for_page, raise_for_status, server_time, unreachable
from data_sources.yahoo.client import TITLE
from kronos.errors import (
    IntervalUnavailable,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)

__all__ = ["ChartSession", "EarningsSession", "ValidatingSession"]

_COOKIE_SECONDS = 3.0  # limit of a request for a cookie, which charts do not need


class ValidatingSession(Session[Response]):
    """A session that returns responses of one kind or raises what is wrong with them.

    Args:
        path: Part of the addresses whose responses are validated.
        seconds: Time limit of one such request.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, path: str, seconds: float, **options: Any) -> None:
        # `Retry` repeats requests; the client must not.
        super().__init__(**{"impersonate": "chrome", "retry": 0, **options})
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
        limit = self._seconds if is_validated else _COOKIE_SECONDS
        deadline = getattr(self._call, "deadline", None)
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        options["timeout"] = max(limit, 0.001)
        if not is_validated:
            return self.send(method, url, *args, **options)
        try:
            response = self.send(method, url, *args, **options)
        except Timeout as exc:
            raise unreachable(TITLE, f"it did not answer within {limit:.0f} s") from exc
        except RequestException as exc:
            raise unreachable(TITLE, str(exc).split(". See ")[0]) from exc
        self.validate(response)
        return response

    def send(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Send the request without validation."""
        return super().request(method, url, *args, **options)

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
        # On the first refusal yfinance may get another cookie and send the request once more.
        if response.status_code != 401 or not self._is_first_refusal():
            _raise_unless_chart(response)

    def _is_first_refusal(self) -> bool:
        self._call.n_unauthorized = getattr(self._call, "n_unauthorized", 0) + 1
        return bool(self._call.n_unauthorized == 1)


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


def _raise_unless_chart(response: Response) -> None:
    status, body = response.status_code, response.text
    raise_for_status(TITLE, status, response.headers, body)
    raise_for_page(TITLE, response.headers.get("Content-Type", ""), body)
    try:
        document = json.loads(body)
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
