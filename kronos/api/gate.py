"""Before every request: who asks, how often and how much. Around it: id, log, figures.

Without a key only this machine is answered: the connection comes from a loopback address, names a
loopback host, passed no proxy, and is of no foreign web page.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kronos.api.keys import ApiKey, Keys, is_loopback
from kronos.api.metrics import Metrics
from kronos.api.problems import MEDIA_TYPE, problem, problem_of
from kronos.errors import KronosError

__all__ = ["MAX_BODY", "Gate", "caller_of", "guarded"]

logger = logging.getLogger("kronos.api.requests")

MAX_BODY = 8 << 20
"""Bytes of a body; 20,000 bars are about 2 MB."""
_MAX_DRAINED = 8 * MAX_BODY
"""Bytes of a body that is too large that are read and dropped before the refusal: most clients read
no answer before they have written everything, and would report a broken connection instead."""
BODY_SECONDS = 30.0
_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_CALLER = "kronos.caller"


def caller_of(request: Request) -> str:
    """Name under which the caller of a request waits for its forecasts."""
    return str(request.scope[_CALLER])


class _Refused(Exception):
    """The answer to a request that does not get through."""

    def __init__(self, status: int, title: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.body = problem(status, title, detail)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Gate:
    """Middleware of the API; see the module.

    Args:
        app: The API.
        keys: The keys that are accepted.
        metrics: Counts what passes.
        prefixes: Paths that belong to the API; others pass untouched.
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, metrics: Metrics, prefixes: tuple[str, ...] = ("/",)
    ) -> None:
        self._app, self._keys, self._metrics, self._prefixes = app, keys, metrics, prefixes
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limits: dict[str, RateLimitItem] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefixes):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        begun, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            scope[_CALLER] = self._admit(scope, headers)
            body = await _read(receive, headers)
            await self._app(scope, _replay(body, receive), answer)
        except _Refused as refused:
            await _send(answer, refused.body, refused.headers)
        except KronosError as error:
            await _send(answer, problem_of(error), {})
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.count(method, route, status, seconds)
            logger.info(
                json.dumps(
                    {
                        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                        "request_id": request_id,
                        "method": scope["method"],
                        "path": scope["path"][:200],
                        "status": status,
                        "ms": round(1000 * seconds, 2),
                        "caller": scope.get(_CALLER, ""),
                    }
                )
            )

    def _admit(self, scope: Scope, headers: Headers) -> str:
        """Name of the caller.

        Raises:
            _Refused: It may not ask, or not now.
            StoreUnavailable: The keys cannot be read.
        """
        text = headers.get("authorization")
        if text is None:
            if not _is_local(scope, headers):
                raise _Refused(
                    401, "No key", "Requests from elsewhere need a key: Authorization: Bearer KEY. "
                    "The server's administrator makes one with: kronos keys add NAME.",
                    WWW_Authenticate="Bearer",
                )  # fmt: skip
            return "api"
        scheme, _, given = text.partition(" ")
        key = self._keys.find(given.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise _Refused(
                401, "Unknown key", "This key is not known here; it may have been removed. Ask the "
                "server's administrator for another: kronos keys add NAME.",
                WWW_Authenticate='Bearer error="invalid_token"',
            )  # fmt: skip
        self._count(key)
        return f"api {key.name}"

    def _count(self, key: ApiKey) -> None:
        limit = self._limits.get(key.limit)
        if limit is None:
            limit = self._limits[key.limit] = parse(key.limit)
        if not self._limiter.hit(limit, key.sha256):
            reset, _ = self._limiter.get_window_stats(limit, key.sha256)
            seconds = max(1, round(reset - time.time()))
            allowed = key.limit.replace("/", " times a ")
            detail = f"This key may ask {allowed}. Try again in {seconds} s."
            raise _Refused(429, "Too many requests", detail, Retry_After=str(seconds))


def guarded(app: ASGIApp, keys: Keys) -> Gate:
    """An application of another kind behind the same gate, without figures of its own."""
    return Gate(app, keys, Metrics(lambda: None, lambda: 0, dict))


async def _read(receive: Receive, headers: Headers) -> bytes:
    """The body of a request.

    Raises:
        _Refused: It is too large, or arrives too slowly.
    """
    announced = headers.get("content-length", "0")
    n_bytes, pieces, more = 0, [], announced != "0" or "transfer-encoding" in headers
    if announced.isdecimal() and int(announced) > _MAX_DRAINED:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and n_bytes <= _MAX_DRAINED:
                message = await receive()
                piece = message.get("body", b"")
                n_bytes += len(piece)
                if n_bytes <= MAX_BODY:
                    pieces.append(piece)
                more = message.get("more_body", False)
    except TimeoutError:
        raise _Refused(
            408, "Too slow", f"The body did not arrive within {BODY_SECONDS:.0f} s. Send it again.",
            Connection="close",
        ) from None  # fmt: skip
    if n_bytes > MAX_BODY:
        raise _too_large()
    return b"".join(pieces)


def _too_large() -> _Refused:
    return _Refused(
        413, "Too large", f"A body has at most {MAX_BODY >> 20} MB. Send the bars that are read: "
        "2,048 at most, and 500 more for a calibrated fan.", Connection="close",
    )  # fmt: skip


def _replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for whoever reads it next."""
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _is_local(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return False
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    # A foreign page in a browser of this machine: by a name that points here, or by its script.
    own = {_host(f"//{headers.get('host', '')}")}
    if (origin := headers.get("origin")) is not None:
        own.add(_host(origin))
    return own <= _LOCAL_NAMES


def _host(address: str) -> str:
    """The host of an address; empty where there is none, or no address."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def _send(send: Send, body: dict[str, object], headers: dict[str, str]) -> None:
    data = json.dumps(body).encode()
    every = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(data))} | headers
    if isinstance(body.get("retry_after"), int | float):
        every.setdefault("Retry-After", f"{body['retry_after']:.0f}")
    raw = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    await send({"type": "http.response.start", "status": body["status"], "headers": raw})
    await send({"type": "http.response.body", "body": data})
