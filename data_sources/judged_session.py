"""A connection to Yahoo whose answers are judged before its client can misread them.

The client keeps broken answers in a cache, replaces messages with its own, and forgets headers.
So the session it is given raises for whatever is not what was asked for, says what Yahoo said,
and keeps the time limits. Cookies and crumbs are the client's business.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException, Timeout

from data_sources.http import no_answer

__all__ = ["TITLE", "JudgedSession"]

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
