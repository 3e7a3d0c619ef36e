"""Which service a process uses: KRONOS_ENGINE chooses."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from kronos.errors import InvalidRequest
from kronos.serving.interface import ForecastService
from kronos.serving.jobs import Limits
from kronos.serving.local import LocalService, forecaster_facts, load_forecaster

__all__ = [
    "ForecastService",
    "LocalService",
    "forecaster_facts",
    "load_forecaster",
    "open_service",
    "running_service",
    "service",
]

VARIABLE = "KRONOS_ENGINE"
"""Names the engine of pages and commands: local, or the address of a server or cluster."""


def open_service(device: str | None = None, *, limits: Limits | None = None) -> ForecastService:
    """The service that KRONOS_ENGINE names, to be closed by the caller.

    Args:
        device: Where the engine of this process computes; see `LocalService`.
        limits: Of its queue.

    Raises:
        InvalidRequest: There is no such engine, or a device is named that is not its own.
    """
    address = os.environ.get(VARIABLE, "").strip() or _LOCAL
    scheme = address.partition("://")[0].lower()
    if scheme == _LOCAL:
        return LocalService(device=device, limits=limits)
    if scheme not in _ENGINES:
        raise InvalidRequest(
            f"{VARIABLE} is local or an address that begins with {'://, '.join(_ENGINES)}://, "
            f"found {address[:80]!r}."
        )
    if device is not None:
        raise InvalidRequest(f"--device is of this machine, and {VARIABLE} names another engine.")
    return _ENGINES[scheme](address)


def _client(url: str) -> ForecastService:
    from kronos.serving.client import Client

    return Client(url, os.environ.get("KRONOS_API_KEY") or None)


def _cluster(address: str) -> ForecastService:
    from kronos.serving.cluster.service import ClusterService

    return ClusterService(address)


_LOCAL = "local"
_ENGINES: dict[str, Callable[[str], ForecastService]] = {
    "http": _client,
    "https": _client,
    "ray": _cluster,
}
_lock = threading.Lock()
_service: ForecastService | None = None


def service() -> ForecastService:
    """The service of this process, opened when first used; a closed one is replaced.

    Raises:
        InvalidRequest: KRONOS_ENGINE names none.
    """
    global _service
    with _lock:
        if _service is None or _service.is_closed:
            _service = open_service()
            atexit.register(_service.close)
        return _service


def running_service() -> ForecastService | None:
    """The service of this process if there is one yet; starts none."""
    with _lock:
        return _service
