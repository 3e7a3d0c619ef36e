"""Connections of a server for programs: the head of a request is bounded in size and time.

A key is known only once the head was read. uvicorn bounds neither: one header without an end would
fill the memory, and connections that say nothing would use up all file descriptors.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_SECONDS", "MAX_HEAD", "BoundedHttp"]

MAX_HEAD = 64 << 10
"""Bytes that may arrive without ending a head or adding to a body, beside those of one read."""
HEAD_SECONDS = 30.0
"""Seconds from the first byte of a head, or from a connection without one, to its end."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """A connection of uvicorn with these bounds; see the option `http` of uvicorn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """See uvicorn."""
        super().__init__(*args, **options)
        self._n_waiting = 0
        self._advanced = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio. Counts the bytes of heads, of trailers, and of extensions of chunks."""
        self._advanced = False
        super().data_received(data)
        self._n_waiting = 0 if self._advanced else self._n_waiting + len(data)
        if self._n_waiting > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        if self._timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._advanced = True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._advanced = True
        super().on_body(body)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
