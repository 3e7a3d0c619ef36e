"""A `ForecastService` on another machine: what `kronos serve` or `kronos app` answers there."""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Self

import httpx2

from kronos.errors import (
    Busy,
    DeadlineExceeded,
    InvalidRequest,
    KronosError,
    NotFinished,
    ServiceUnreachable,
)
from kronos.request import EngineRequest, ModelFacts
from kronos.serving.interface import FACTS_KEPT, ForecastService
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.model_cache import LoadedModel
from kronos.serving.wire import dump, error_class, load
from kronos.system import connection_text

__all__ = ["Client"]

_ASK_SECONDS = 20.0
"""Seconds for which the server holds a question for an answer."""
_TRIES = 4
_TOO_MANY = httpx2.codes.TOO_MANY_REQUESTS
_GONE = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
)
_RESULTS_KEPT = 32


class _Recent:
    """The answers used last: a page that looks again need not fetch them again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str) -> Any:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def put(self, key: str, answer: Any) -> None:
        with self._lock:
            self._answers[key] = answer
            if len(self._answers) > _RESULTS_KEPT:
                self._answers.popitem(last=False)


class Client(ForecastService):
    """Forecasts of a server; use it like the service of this process.

        with kronos.Client("https://forecasts.example", api_key=KEY) as service:
            forecast = service.run(request)

    Equal requests are one job, so every call may be repeated: it is tried again for a second or two
    while the server does not answer, and waits where the key has asked too often. Any thread may
    call.
    """

    watch_every = 0.25  # a key has a number of requests a minute

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = 30.0) -> None:
        """Args:
        url: Address of the server, such as http://localhost:8600.
        api_key: One of its keys; None for a server on this machine.
        timeout: Seconds after which a server that does not answer counts as gone.

        Raises:
            InvalidRequest: This is no address, or no key.
        """
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise InvalidRequest(
                "An API key has no spaces, line ends or letters with accents; copy it again."
            )
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.url = _address(url)
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=f"{self.url}/v1/engine", headers=headers,
            timeout=httpx2.Timeout(timeout, read=timeout + _ASK_SECONDS),
        )  # fmt: skip
        self._facts: dict[str, tuple[float, ModelFacts]] = {}
        self._results = _Recent()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """See `ForecastService.is_closed`."""
        return self._is_closed

    def submit(
        self,
        request: EngineRequest,
        *,
        owner: str,
        priority: Priority = Priority.PERSON,
        deadline: float | None = None,
        supersede: bool = True,
        wait: bool = False,
        keep: bool = True,
    ) -> JobStatus:
        """See `ForecastService.submit`."""
        end = None if deadline is None else time.monotonic() + deadline
        body = dump(request)
        options: dict[str, Any] = {
            "owner": owner, "priority": int(priority), "supersede": supersede, "keep": keep,
        }  # fmt: skip
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    "The server had no room before the deadline; allow more time next time."
                )
            limit = {} if left is None else {"deadline": left}
            try:
                # Equal requests are one job: to send one again changes nothing.
                return self._ask("POST", "/submit", options | limit, body)
            except Busy as error:
                # Without a place in line it is closed, or the key is at its end.
                if not wait or error.position is None:
                    raise
                time.sleep(random.uniform(0.1, 0.3))

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """See `ForecastService.status`."""
        known = self._results.get(key)
        asked: dict[str, Any] = {"key": key, "brief": known is not None}
        found: JobStatus | None = self._ask(
            "GET", "/status", asked if owner is None else asked | {"owner": owner}
        )
        if found is None or found.state != "done":
            return found
        if known is None:
            self._results.put(key, found.result)
            return found
        return replace(found, result=known)

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """See `ForecastService.result`."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _ASK_SECONDS if end is None else max(end - time.monotonic(), 0.0)
            asked = {"key": key, "owner": owner, "timeout": min(left, _ASK_SECONDS)}
            try:
                return self._ask("GET", "/result", asked)
            except NotFinished:
                if end is not None and time.monotonic() >= end:
                    raise

    def run(self, request: EngineRequest, **options: Any) -> Any:
        """See `ForecastService.run`; what a server forgot, as after a restart, is sent again."""
        for _ in range(_TRIES - 1):
            try:
                return super().run(request, **options)
            except InvalidRequest:
                if self.status(request.digest) is not None:
                    raise
        return super().run(request, **options)

    def leave(self, key: str, *, owner: str) -> None:
        """See `ForecastService.leave`."""
        self._ask("POST", "/leave", {"key": key, "owner": owner})

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """See `ForecastService.leave_all`."""
        return tuple(self._ask("POST", "/leave-all", {"owner": owner}))

    def facts(self, model: str) -> ModelFacts:
        """See `ForecastService.facts`; asked again after a few seconds."""
        now = time.monotonic()
        known = self._facts.get(model)
        if known is None or now - known[0] > FACTS_KEPT:
            known = self._facts[model] = (now, self._ask("GET", "/facts", {"model": model}))
        return known[1]

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """See `ForecastService.models`."""
        return tuple(self._ask("GET", "/models", {}))

    def close(self) -> bool:
        """Close the connection; the server goes on."""
        self._is_closed = True
        self._http.close()
        return True

    def _ask(self, method: str, path: str, options: dict[str, Any], body: bytes = b"") -> Any:
        """Ask the server.

        Raises:
            KronosError: What the server answered instead; `ServiceUnreachable` where it is gone.
        """
        if self._is_closed:
            raise Busy(f"This client of {self.url} is closed; open another kronos.Client.")
        patient_until = time.monotonic() + self._timeout
        answer = self._response(method, path, options, body)
        while answer.status_code == _TOO_MANY and time.monotonic() < patient_until:
            time.sleep(min(_seconds(answer), max(patient_until - time.monotonic(), 0.0)))
            answer = self._response(method, path, options, body)
        if answer.status_code != 200:
            raise self._error(answer)
        try:
            return load(answer.content)
        except InvalidRequest as error:
            raise ServiceUnreachable(
                f"{self.url} answers, but not as a forecast server of this version does. Compare "
                "the address with that of kronos serve, and kronos --version of both machines."
            ) from error

    def _response(
        self, method: str, path: str, options: dict[str, Any], body: bytes
    ) -> httpx2.Response:
        for i in range(_TRIES):
            try:
                return self._http.request(method, path, params=options, content=body)
            except httpx2.TransportError as error:
                if i == _TRIES - 1 or not isinstance(error, _GONE):
                    raise ServiceUnreachable(
                        f"The forecast server {self.url} does not answer "
                        f"({connection_text(str(error))}). Start it there with kronos serve, or "
                        "set KRONOS_ENGINE=local to compute on this machine."
                    ) from error
                time.sleep(0.2 * 2**i)
        raise AssertionError("a loop that returns or raises")

    def _error(self, answer: httpx2.Response) -> KronosError:
        try:
            found = answer.json()
            name = str(found["type"]).rpartition(":")[2]
            detail, more = str(found["detail"]), found
        except (ValueError, KeyError, TypeError):
            name, detail, more = "", f"status {answer.status_code}", {}
        if answer.status_code == 401:
            return ServiceUnreachable(
                f"The forecast server {self.url} refuses this key: {detail} Give the key as "
                "KRONOS_API_KEY."
            )
        if answer.status_code == _TOO_MANY:
            return Busy(
                f"The forecast server {self.url} has no room for more requests of this key: "
                f"{detail} Its administrator can allow more: kronos keys add NAME --limit."
            )
        cls = error_class("".join(word.capitalize() for word in name.split("-")))
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR and cls is KronosError:
            return ServiceUnreachable(
                f"The forecast server {self.url} failed ({answer.status_code}): {detail}"
            )
        if cls is KronosError:
            return ServiceUnreachable(
                f"The forecast server {self.url} answered {answer.status_code}: {detail} It may be "
                "of another version."
            )
        if issubclass(cls, Busy):
            return cls(detail, position=more.get("position"))
        return cls(detail)


def _address(url: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL:
        found = httpx2.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise InvalidRequest(
            f"The address of a forecast server is like http://localhost:8600, found {url[:80]!r}."
        )
    return url.rstrip("/")


def _seconds(answer: httpx2.Response) -> float:
    """Seconds to wait before the next request."""
    try:
        return min(max(float(answer.headers.get("Retry-After", "1")), 0.1), 60.0)
    except ValueError:
        return 1.0
