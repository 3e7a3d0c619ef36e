"""Calls of replicas, whose answers arrive in a future: nothing asks Ray again and again.

An event loop in a thread of its own awaits them all. Ray raises what it likes where a replica, a
deployment or a node goes away; `lost` names it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import Any

from kronos.errors import ServiceUnreachable
from kronos.serving.cluster.connection import is_joined, n_joined

__all__ = [
    "PATIENCE",
    "PAUSE",
    "Call",
    "NothingDeployed",
    "full",
    "is_undeployed",
    "lost",
    "require_node",
]

PATIENCE = 60.0
"""Seconds for which a call is waited for, or one that was lost is asked again."""
PAUSE = 0.1
"""Seconds until one that was lost is asked again."""
_LOOK_EVERY = 1.0
"""Seconds between two looks at whether the node is there: a call of one that is gone never ends."""


class NothingDeployed(ServiceUnreachable):
    """The cluster is there, and its deployments are not, or not yet."""


class Call:
    """A question to a replica.

    Attributes:
        answer: What the replica returns, or what Ray raises.
    """

    def __init__(self, handle: Any, joined: int, *args: Any) -> None:
        """Args:
        handle: Of the method.
        joined: `n_joined` of when the handle was made.
        args: Of the method.

        Raises:
            ConnectionError: The node is gone, or another has been joined since.
        """
        try:
            self._response = handle.remote(*args)
        except Exception:  # whatever Ray likes, where another thread has left the cluster
            require_node(joined)
            raise
        self._joined = joined
        self.answer: Future[Any] = asyncio.run_coroutine_threadsafe(self._await(), _loop())

    async def _await(self) -> Any:
        try:
            return await self._response
        except asyncio.CancelledError:
            if _is_given_up():
                raise
            raise ConnectionError("The call was cancelled.") from None
        except Exception:
            if _is_given_up():  # nobody asks for the error
                raise asyncio.CancelledError from None
            raise

    def result(self) -> Any:
        """Wait for the answer while the node is there.

        Raises:
            ConnectionError: The node is gone, or another has been joined since.
            TimeoutError: There is no answer for a minute.
        """
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self.answer.result(_LOOK_EVERY)
            except TimeoutError:
                if self.answer.done():  # it is the replica's own
                    raise
                if time.monotonic() > give_up:
                    self.cancel()
                    raise
                self.require_node()

    def require_node(self) -> None:
        """Give the call up where the node is gone, or another has been joined since.

        Raises:
            ConnectionError: It is.
        """
        try:
            require_node(self._joined)
        except ConnectionError:
            self.answer.cancel()  # Ray would have it wait for ever
            raise

    def cancel(self) -> None:
        """Tell the replica that nobody waits for the answer."""
        self.answer.cancel()
        self._response.cancel()


def require_node(joined: int) -> None:
    """Raise ConnectionError where the node is gone, or another has been joined since."""
    if joined != n_joined() or not is_joined():
        raise ConnectionError("The node that was joined is gone.")


def lost() -> tuple[type[Exception], ...]:
    """What a call raises whose replica, deployment or node went away."""
    from ray import exceptions
    from ray.serve.exceptions import (
        DeploymentUnavailableError,
        ReplicaUnavailableError,
        RequestCancelledError,
    )

    return (
        exceptions.RayActorError, exceptions.RaySystemError, exceptions.NodeDiedError,
        exceptions.OwnerDiedError, exceptions.ObjectLostError, ReplicaUnavailableError,
        DeploymentUnavailableError, RequestCancelledError, ConnectionError, NothingDeployed,
    )  # fmt: skip


def is_undeployed(error: Exception) -> bool:
    """Whether a call was lost because its deployment is gone."""
    from ray.serve.exceptions import DeploymentUnavailableError

    return isinstance(error, DeploymentUnavailableError | NothingDeployed)


def full() -> type[Exception]:
    """What a call raises that the replicas have no room for."""
    from ray.serve.exceptions import BackPressureError

    found: type[Exception] = BackPressureError
    return found


def _is_given_up() -> bool:
    """Whether the answer that the running task waits for was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_starting = threading.Lock()
_running: asyncio.AbstractEventLoop | None = None


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _starting:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="kronos-calls", daemon=True).start()
        return _running
