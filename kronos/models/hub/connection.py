"""The connections of the hub's client: encrypted or the hub's own, bounded, ended on demand.

The client follows redirects anywhere, reads the whole body of an error, sleeps as long as a server
tells it to, and its time limits hold for one read of a socket each. Hooks on its requests and
responses close these holes. They act in the threads of this package's calls alone: other users of
the client in the same process, and its settings, are left as they are.

A hub sends its clients to a storage host for the body of a large file, so other hosts are allowed,
by https alone. What they send counts only if it has the digest that the hub itself named.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import get_session
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

__all__ = ["Connections", "Refused"]

_MOST_REDIRECTS = 5
_CHUNK_BYTES = 1 << 18
_USER_AGENT = "kronos-fan"
_hooks_lock = threading.Lock()
_current = threading.local()  # the connections of this thread's call


class Refused(Exception):
    """An answer that is not the hub's; the text says what it is, to follow "answered, but"."""


class Connections:
    """The connections of one call; a context manager for the thread that makes it.

    Args:
        base: Base address of the hub, without credentials.
        authorization: Header that the hub itself gets, and no other host; empty for none.
    """

    def __init__(self, base: str, authorization: str = "") -> None:
        self._base = urlsplit(base)
        self._authorization = authorization
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._is_ended = False
        self._n_redirects = 0  # one after the other

    def __enter__(self) -> Connections:
        _add_hooks(get_session())
        _current.connections = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.connections = None
        with self._lock:
            for line in self._lines:
                line.close()
            self._lines.clear()

    def end(self) -> None:
        """End all transfers at once, whatever they wait for, and refuse further ones."""
        with self._lock:
            self._is_ended = True
            for line in self._lines:
                # The other side may have closed it.
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def check(self, request: httpx2.Request) -> None:
        """Prepare a request; redirects are further requests.

        Raises:
            Refused: It goes where no request may go.
        """
        if self._is_ended:
            raise Refused("nobody waits for it any more")
        url, base = request.url, self._base
        is_hubs = url.scheme == base.scheme and url.host == base.hostname
        if url.scheme != "https" and not is_hubs:
            raise Refused(
                f"with a redirect to {f'{url.scheme}://{url.host}'[:80]!r}, which is not followed: "
                "other hosts must be encrypted (https)"
            )
        if (
            is_hubs
            and self._authorization
            and _port(url.port, url.scheme) == _port(base.port, base.scheme)
        ):
            request.headers["Authorization"] = self._authorization
        # The client's own tells which libraries are installed here.
        request.headers["User-Agent"] = _USER_AGENT
        # What is not asked for is not decoded either.
        request.headers["Accept-Encoding"] = "identity"
        # A connection that serves another call later would be ended with this one.
        request.headers["Connection"] = "close"
        request.extensions = {**request.extensions, "trace": self._trace}

    def take(self, response: httpx2.Response) -> None:
        """Prepare the reading of an answer.

        Raises:
            Refused: It is none that a hub gives.
            HfHubHTTPError: It is an error.
        """
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        self._n_redirects = self._n_redirects + 1 if response.has_redirect_location else 0
        if self._n_redirects > _MOST_REDIRECTS:
            raise Refused("with too many redirects")
        if not response.is_success:
            # Only the bodies of files are read: those of errors and redirects may be endless.
            response.stream = _NoBody(response.stream)
            response.headers.pop("Content-Encoding", None)
            hf_raise_for_status(response)  # before the client waits as long as the server says
        elif encoding not in {"", "identity"}:
            raise Refused(f"in an encoding that was not requested ({encoding[:40]!r})")
        # Without these headers the client keeps to plain HTTP. The Xet protocol hides stalls,
        # cannot be stopped at a chunk, and mirrors do not speak it.
        for name in ("X-Xet-Hash", "X-Xet-Refresh-Route"):
            response.headers.pop(name, None)
        _read_in_small_chunks(response)

    def _trace(self, event: str, facts: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            line = facts["return_value"].get_extra_info("socket")
            with self._lock:
                self._lines.append(line.dup())  # TLS takes the socket itself away
            if self._is_ended:
                self.end()


def _port(port: int | None, scheme: str) -> int:
    return port or {"http": 80, "https": 443}[scheme]


class _NoBody(httpx2.SyncByteStream):
    """In place of a body that nobody needs."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        self._body.close()


def _add_hooks(client: httpx2.Client) -> None:
    with _hooks_lock:
        for event, hook in (("request", _check_request), ("response", _check_response)):
            if hook not in client.event_hooks[event]:
                client.event_hooks[event].append(hook)


def _check_request(request: httpx2.Request) -> None:
    connections = getattr(_current, "connections", None)
    if connections is not None:
        connections.check(request)


def _check_response(response: httpx2.Response) -> None:
    connections = getattr(_current, "connections", None)
    if connections is not None:
        connections.take(response)


def _read_in_small_chunks(response: httpx2.Response) -> None:
    """The client reports, can be stopped, and resumes at the end of a chunk only.

    Its 10 MB would be most of a minute on a slow line.
    """
    read = response.iter_bytes

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        return read(min(chunk_size or _CHUNK_BYTES, _CHUNK_BYTES))

    response.iter_bytes = iter_bytes  # type: ignore[method-assign]
