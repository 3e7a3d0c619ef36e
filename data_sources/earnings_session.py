"""The connection to Yahoo's earnings calendar: its answers are judged before they are read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException, Timeout

from data_sources.http_faults import no_answer, refuse_status
from kronos.errors import SourceDown, SourceNonsense

__all__ = ["EarningsSession"]

TITLE = "Yahoo Finance"
_CALENDAR = "/calendar/earnings"
# A cookie is nice to have: it may take this long, in seconds.
_COOKIE_SECONDS = 3.0


class EarningsSession(Session[Response]):
    """A session that takes pages of the earnings calendar from Yahoo, or raises what was wrong.

    Args:
        page_seconds: How long one page may take.
        options: As for `curl_cffi.requests.Session`.
    """

    def __init__(self, *, page_seconds: float = 10.0, **options: Any) -> None:
        super().__init__(**{"impersonate": "chrome", **options})
        self._page_seconds = page_seconds
        self._call = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All requests of this thread end within so many seconds."""
        self._call.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._call.deadline = None

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """See `curl_cffi.requests.Session.request`."""
        is_page = _CALENDAR in url
        limit = self._page_seconds if is_page else _COOKIE_SECONDS
        deadline = getattr(self._call, "deadline", None)
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        options["timeout"] = max(limit, 0.001)
        if not is_page:
            return self.send(method, url, *args, **options)
        try:
            answer = self.send(method, url, *args, **options)
        except Timeout as exc:
            raise no_answer(TITLE, f"it did not answer within {limit:.0f} s") from exc
        except RequestException as exc:
            raise no_answer(TITLE, str(exc).split(". See ")[0]) from exc
        _require_calendar(answer)
        return answer

    def send(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Sends the request as it is."""
        return super().request(method, url, *args, **options)


def _require_calendar(answer: Response) -> None:
    refuse_status(TITLE, answer.status_code, answer.headers, answer.text)
    page = answer.text.lower()
    if "will be right back" in page[:4000]:
        raise SourceDown(f"{TITLE} shows a page that says it is down. Try again later.")
    if answer.status_code != 200 or "earnings" not in page or "consent.yahoo.com" in answer.url:
        raise SourceNonsense(
            f"{TITLE} answered (HTTP {answer.status_code}), but not with its earnings calendar. A "
            "captcha, a page that asks for consent or a proxy stands in between: open "
            "https://finance.yahoo.com/calendar/earnings in a browser from this network."
        )
