"""A connection to Yahoo whose answers are judged before its client can misread them.

The client keeps broken answers in a cache, replaces messages with its own, and forgets headers.
So the session it is given raises for whatever is not what was asked for, says what Yahoo said,
and keeps the time limits. Cookies and crumbs are the client's business.
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

from data_sources.http import no_answer, refuse_page, refuse_status, source_clock
from kronos.errors import (
    IntervalUnavailable,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)

__all__ = ["TITLE", "ChartSession", "EarningsSession", "JudgedSession"]

TITLE = "Yahoo Finance"
# A cookie is nice to have: it may take this long, in seconds.
_COOKIE_SECONDS = 3.0


class JudgedSession(Session[Response]):
    """A session that gives answers of one kind, or raises what was wrong with them.

    Args:
        asked: Part of the addresses whose answers are judged.
        seconds: How long one of those may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, asked: str, seconds: float, **options: Any) -> None:
        super().__init__(**{"impersonate": "chrome", **options})
        self._asked = asked
        self._seconds = seconds
        self._call = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All requests of this thread end within so many seconds."""
        self._call.__dict__.clear()
        self._call.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._call.deadline = None

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """See `curl_cffi.requests.Session.request`."""
        is_asked = self._asked in url
        limit = self._seconds if is_asked else _COOKIE_SECONDS
        deadline = getattr(self._call, "deadline", None)
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        options["timeout"] = max(limit, 0.001)
        if not is_asked:
            return self.send(method, url, *args, **options)
        try:
            answer = self.send(method, url, *args, **options)
        except Timeout as exc:
            raise no_answer(TITLE, f"it did not answer within {limit:.0f} s") from exc
        except RequestException as exc:
            raise no_answer(TITLE, str(exc).split(". See ")[0]) from exc
        self.judge(answer)
        return answer

    def send(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Sends the request as it is."""
        return super().request(method, url, *args, **options)

    @abstractmethod
    def judge(self, answer: Response) -> None:
        """Returns if the client may read this answer.

        Raises:
            SourceError: It may not.
        """


class ChartSession(JudgedSession):
    """A session that takes charts from Yahoo, or raises what was wrong with them.

    Args:
        chart_seconds: How long one chart may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, chart_seconds: float = 8.0, **options: Any) -> None:
        super().__init__("/v8/finance/chart/", chart_seconds, **options)

    @property
    def clock(self) -> pd.Timestamp | None:
        """Yahoo's own time, UTC, at this thread's last chart."""
        return getattr(self._call, "clock", None)

    def judge(self, answer: Response) -> None:
        """See `JudgedSession.judge`."""
        self._call.clock = source_clock(answer.headers) or self.clock
        # At the first refusal the client may get another cookie and ask once more.
        if answer.status_code != 401 or not self._is_first_refusal():
            _require_chart(answer)

    def _is_first_refusal(self) -> bool:
        self._call.n_unauthorized = getattr(self._call, "n_unauthorized", 0) + 1
        return bool(self._call.n_unauthorized == 1)


def _require_chart(answer: Response) -> None:
    status, body = answer.status_code, answer.text
    refuse_status(TITLE, status, answer.headers, body)
    refuse_page(TITLE, answer.headers.get("Content-Type", ""), body)
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
    """What Yahoo's own error means."""
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


class EarningsSession(JudgedSession):
    """A session that takes pages of the earnings calendar from Yahoo, or raises what was wrong.

    Args:
        page_seconds: How long one page may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, page_seconds: float = 10.0, **options: Any) -> None:
        super().__init__("/calendar/earnings", page_seconds, **options)

    def judge(self, answer: Response) -> None:
        """See `JudgedSession.judge`."""
        refuse_status(TITLE, answer.status_code, answer.headers, answer.text)
        page = answer.text.lower()
        if "will be right back" in page[:4000]:
            raise SourceDown(f"{TITLE} shows a page that says it is down. Try again later.")
        if answer.status_code != 200 or "earnings" not in page or "consent.yahoo.com" in answer.url:
            raise SourceNonsense(
                f"{TITLE} answered (HTTP {answer.status_code}), but not with its earnings "
                "calendar. A captcha, a page that asks for consent or a proxy stands in between: "
                "open https://finance.yahoo.com/calendar/earnings in a browser from this network."
            )
