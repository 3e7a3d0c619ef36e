"""Connections of `requests` whose answers are bounded in time and in bytes.

The time limits of HTTP clients hold for one read of a socket each: a server that sends a byte now
and then keeps them for ever. Here a clock runs from the request to the last byte of the answer
and shuts the connection down when the time is over. The body is read before the client sees it,
and its bytes are counted as they are decoded.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from data_sources.http import MOST_BYTES, Body, raise_for_redirect, too_large

__all__ = ["BoundedAdapter"]

_PIECE = 1 << 16
_current = threading.local()  # the clock of this thread's request


class _Clock:
    """Shuts connections down when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Clock:
        _current.clock = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        _current.clock = None
        self._timer.cancel()
        with self._lock:
            for line in self._lines:
                line.close()
            self._lines.clear()

    def watch(self, line: socket.socket) -> None:
        """Watch a copy: the client may close its own before it has read the answer."""
        with self._lock:
            self._lines.append(line.dup())
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            for line in self._lines:
                # The other side may have closed it.
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)


class _Watched:
    """A connection that the clock of its request can shut down, its TLS handshake included."""

    _line: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        line: socket.socket = super()._new_conn()  # type: ignore[misc]
        self._forget()
        self._line = line.dup()  # TLS takes the socket itself away
        self._watch()
        return line

    def request(self, *args: Any, **options: Any) -> None:
        self._watch()
        super().request(*args, **options)  # type: ignore[misc]

    def close(self) -> None:
        self._forget()
        super().close()  # type: ignore[misc]

    def _watch(self) -> None:
        clock = getattr(_current, "clock", None)
        if clock is not None and self._line is not None:
            clock.watch(self._line)

    def _forget(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class _WatchedHttp(_Watched, HTTPConnection):
    pass


class _WatchedHttps(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHttps


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class BoundedAdapter(HTTPAdapter):
    """Sends the requests of a `requests.Session`; to be mounted for http:// and https://.

    A request ends within its timeout, from the connection to the last byte, and an answer has at
    most so many bytes, decoded. Redirects lead to the same host only.

    Args:
        title: Name of the source, for messages.
        most_bytes: Most bytes of an answer.
    """

    def __init__(self, title: str, *, most_bytes: int = MOST_BYTES) -> None:
        self._title = title
        self._most_bytes = most_bytes
        self._deadline = threading.local()
        super().__init__(max_retries=0)  # `Retry` repeats requests
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Within this context, all requests of this thread end in so many seconds together."""
        self._deadline.at = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline.at = None

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """See `HTTPAdapter.send`; the response has its whole body.

        Raises:
            SourceNonsense: The answer has too many bytes, cannot be decoded, or redirects to
                another host.
        """
        at = getattr(self._deadline, "at", None)
        left = timeout if at is None else min(timeout, at - time.monotonic())
        left = max(left, 0.001)
        # What is not asked for is not decoded either.
        request.headers["Accept-Encoding"] = "gzip, deflate"
        with _Clock(left) as clock:
            try:
                response = super().send(request, True, left, verify, cert, proxies)
                self._read(response)
            except (HTTPError, OSError) as error:
                if clock.is_over:
                    raise ReadTimeout("Read timed out.", request=request) from error
                if isinstance(error, HTTPError):
                    raise RequestsConnectionError(error, request=request) from error
                raise
            if clock.is_over:  # A connection that is shut down looks like the end of the body.
                raise ReadTimeout("Read timed out.", request=request)
        if response.is_redirect:
            target = urljoin(str(request.url), response.headers["Location"])
            raise_for_redirect(self._title, str(request.url), target)
        return response

    def _read(self, response: Response) -> None:
        encoding = response.headers.get("Content-Encoding", "")
        body = Body(self._title, encoding, most=self._most_bytes)
        try:
            while piece := response.raw.read(_PIECE, decode_content=False):
                if not body.add(piece):
                    raise too_large(self._title, self._most_bytes)
        finally:
            if not body.is_whole:
                response.close()
        response._content = body.content()
        response._content_consumed = True
