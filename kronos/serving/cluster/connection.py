"""Joining a Ray cluster as a driver, and starting one on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import sys
import threading
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.errors import InvalidRequest, ServiceUnreachable
from kronos.extras import require

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "NAMESPACE",
    "address_of",
    "code_digest",
    "disconnect",
    "forget_deployments",
    "is_joined",
    "join",
    "join_again",
    "load_ray",
    "load_serve",
    "n_joined",
    "start",
]

NAMESPACE = "kronos"
PORT = 6379
OBJECT_STORE = 256 << 20
"""Bytes of the object store of a node that is started here; requests and answers are small."""
_LOCAL = "auto"
_PATIENCE = 5.0
_LOOK_EVERY = 0.2
logger = logging.getLogger(__name__)
_socket: str | None = None
"""Of the node that this process has joined: where its own process, the raylet, listens."""
_seen = float("-inf")
"""When it last did."""
_n_joined = 0
_lock = threading.Lock()
_LIBRARY = Path(__file__).resolve().parents[2]
_NEEDS = "A cluster engine"


def load_ray() -> ModuleType:
    """The package, with its usage statistics off.

    Raises:
        MissingExtra: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would count the lines of every warning of workers among those of this process.
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # Threads of Serve that outlive a connection would start a cluster of their own.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    # Ray would end this process a minute after the head of the cluster.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "86400")
    # Ray itself demands its token of clusters that it finds, and not of those that are named.
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    return require("ray", "ray", _NEEDS)


def load_serve() -> ModuleType:
    """Serve, which writes warnings alone.

    Raises:
        MissingExtra: Ray is not installed.
    """
    load_ray()
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return serve


def address_of(text: str) -> str:
    """The address that Ray takes, of one such as ray://10.0.0.5, ray://head:6379 or ray://auto.

    `auto` is the cluster that a node of this machine belongs to.

    Raises:
        InvalidRequest: It is none.
    """
    scheme, _, place = text.partition("://")
    host, _, port = place.rstrip("/").partition(":")
    if scheme != "ray" or not host or (port and not port.isdecimal()):
        raise InvalidRequest(
            "A cluster is named like ray://auto, ray://10.0.0.5 or ray://head:6379, found "
            f"{text[:80]!r}."
        )
    return host if host == _LOCAL else f"{host}:{port or PORT}"


def join(address: str) -> None:
    """Join a cluster as a driver without processors of its own; nothing where one was joined.

    Args:
        address: As `address_of` gives it.

    Raises:
        MissingExtra: Ray is not installed.
        ServiceUnreachable: There is no such cluster, or no node of it on this machine.
    """
    ray = load_ray()
    if ray.is_initialized():
        return
    try:
        if address != _LOCAL:  # Ray would ask for minutes
            host, _, port = address.partition(":")
            socket.create_connection((host, int(port)), _PATIENCE).close()
        _quieten()
        joined = ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="WARNING",
            runtime_env={"env_vars": _environment()},
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError, ray.exceptions.AuthenticationError) as error:
        if "Failed to connect" in str(error):  # by Ray, which had found it
            raise ServiceUnreachable(
                f"The cluster at {address} was found and lets nobody join here. Either it demands "
                "its token, and this user has none or another: copy the file ~/.ray/auth_token of "
                "the machine where it was started, readable by you alone, or set RAY_AUTH_TOKEN. "
                "Or the Ray process of this machine has ended: join with ray start "
                "--address=HOST:PORT. Then start this program again."
            ) from error
        raise ServiceUnreachable(
            f"No Ray cluster answers at {address} ({str(error).splitlines()[0][:200]}). Start one "
            "with kronos cluster start, or join it on this machine with ray start "
            "--address=HOST:PORT."
        ) from error
    _note(joined)


def join_again(address: str) -> None:
    """Join a cluster where the node that was joined is gone; any thread may call.

    Raises:
        ServiceUnreachable: See `join`.
    """
    with _lock:
        if not is_joined():
            disconnect()
            join(address)


def n_joined() -> int:
    """How often this process has joined or left a cluster: a handle of before cannot be used."""
    return _n_joined


def is_joined() -> bool:
    """Whether the node that this process has joined is there; asked of the node itself.

    Ray's calls would wait for a minute where the node is gone, or for ever where another has taken
    its place.
    """
    global _seen
    if not load_ray().is_initialized():
        return False
    if _socket is None or time.monotonic() - _seen < _LOOK_EVERY:
        return True
    try:
        if _socket.startswith("tcp://"):
            host, _, port = _socket.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host, int(port)), 1).close()
        else:
            with socket.socket(socket.AF_UNIX) as node:
                node.settimeout(1)
                node.connect(_socket)
    except (TimeoutError, BlockingIOError):
        pass  # there, and busy
    except OSError:
        return False
    _seen = time.monotonic()
    return True


def start(n_cpus: int | None = None, n_gpus: int | None = None, **options: Any) -> str:
    """Start a cluster of one node that ends with this process; returns its address.

    Args:
        n_cpus: Processors that it may use; None for those of this machine.
        n_gpus: Likewise; None for those that are found.
        options: Further ones of `ray.init`.

    Raises:
        MissingExtra: Ray is not installed.
    """
    ray = load_ray()
    _quieten()
    found = ray.init(
        "local", num_cpus=n_cpus, num_gpus=n_gpus, namespace=NAMESPACE, include_dashboard=False,
        object_store_memory=OBJECT_STORE, log_to_driver=False, logging_level="WARNING",
        runtime_env={"env_vars": _environment()}, **options,
    )  # fmt: skip
    _note(found)
    return str(found.address_info["address"])


def disconnect() -> None:
    """Leave the cluster; one that this process started ends.

    What was asked of its replicas raises that it was cancelled.
    """
    global _socket, _seen, _n_joined
    is_serving = "ray.serve" in sys.modules
    if is_serving:
        _end_requests()
    load_ray().shutdown()
    _socket, _seen, _n_joined = None, float("-inf"), _n_joined + 1
    if is_serving:
        forget_deployments()


def forget_deployments() -> None:
    """Have Serve look for its controller, and for deployments, again.

    It keeps what it knows of a cluster by the number of the driver, and the next cluster may give
    this process the same one.
    """
    from ray.serve import context

    context._disconnect()


def _end_requests() -> None:
    """End what Serve does in the background: it looks for lost replicas for ever.

    Ray ends a process without a word that calls it after it has left a cluster.
    """
    from ray.serve._private.router import SingletonThreadRouter

    if (loop := SingletonThreadRouter._asyncio_loop) is None:
        return

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        if others:
            await asyncio.wait(others, timeout=_PATIENCE)

    asyncio.run_coroutine_threadsafe(end(), loop).result(2 * _PATIENCE)


def _quieten() -> None:
    """Have what Ray says of its processes in the log.

    It prints that a worker died among the output of a command, with `log_to_driver` off as well;
    what the worker did is done again.
    """
    from ray._private import worker

    worker.print_to_stdstream = _log


def _log(data: Any, ignore_prefix: bool) -> None:
    logger.info("%s: %s", data["pid"], "\n".join(data["lines"]))


def _note(joined: Any) -> None:
    global _socket, _n_joined
    _socket = joined.address_info["raylet_socket_name"]
    _n_joined += 1


@cache
def code_digest() -> str:
    """Digest of the library's sources, and torch's version: equal ones draw equal paths."""
    return f"{sources_digest(_LIBRARY)} with torch {version('torch')}"


def sources_digest(root: Path) -> str:
    """Digest of the sources below a folder, without what an installation puts beside them.

    A wheel has the pages in the library's folder, a checkout beside it.
    """
    found = hashlib.sha256()
    names = {file.relative_to(root).as_posix(): file for file in root.rglob("*.py")}
    for name, file in sorted(names.items()):
        if not name.startswith(("_app/", "_assets/")):
            found.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _has_token() -> bool:
    """Whether this user has a token of Ray: in a variable, or in a file."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    place = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(place) if place else Path.home() / ".ray" / "auth_token").is_file()


def _environment() -> dict[str, str]:
    """Variables that processes of the cluster need to find this library as this one does."""
    root = str(_LIBRARY.parent)
    known = os.environ.get("PYTHONPATH", "")
    paths = [root, *(path for path in known.split(os.pathsep) if path and path != root)]
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    own = {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0"}
    # Serve's controller would wait a minute for a replica that does not answer any more.
    return own | {"RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1"} | kept


_KEPT = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE")
"""Where models and caches lie: the same for all processes of a machine."""
