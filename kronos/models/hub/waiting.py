"""Work in a thread of its own, so that the thread that wants the result is never stuck in it.

That bounds what the hub client's own timeouts do not: name resolution, waiting for the lock of
another process, pauses between its retries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from kronos.models.hub.explain import explain
from kronos.models.hub.repository import Repository

__all__ = ["TICK_SECONDS", "Work", "patiently"]

TICK_SECONDS = 0.2
"""How often the waiting thread looks after its work."""
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
"""A hub that asks for a longer pause has, for our purposes, said no."""
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

T = TypeVar("T")


class Work(Generic[T]):
    """A function at work in a daemon thread.

    The function is given an event that is set when its result is no longer wanted.
    """

    def __init__(self, function: Callable[[threading.Event], T]) -> None:
        self._function = function
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._values: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="kronos-hub", daemon=True).start()

    def _run(self) -> None:
        try:
            self._values.append(self._function(self._stop))
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread
            self._error = error
        finally:
            self._ended.set()

    def result(self, look: Callable[[], None], repo: Repository) -> T:
        """Waits for the function, calling `look` meanwhile, which may raise to give up.

        Raises:
            CheckpointUnavailable: The network, the hub or the disk failed the function.
        """
        import httpx2

        try:
            while not self._ended.wait(TICK_SECONDS):
                look()
        except BaseException:
            # The client notices at its next chunk, and removes its partial file.
            self._stop.set()
            self._ended.wait(1.0)
            raise
        if isinstance(self._error, (OSError, httpx2.HTTPError)):
            raise explain(self._error, repo) from self._error
        if self._error is not None:
            raise self._error
        return self._values[0]


def patiently(attempt: Callable[[], T], stop: threading.Event) -> T:
    """Calls `attempt` again after a transient failure, a bounded number of times."""
    pause = FIRST_PAUSE_SECONDS
    for n_left in reversed(range(ATTEMPTS)):
        try:
            return attempt()
        except Exception as error:
            wait = _pause_after(error, pause)
            if wait is None or n_left == 0 or stop.wait(wait):
                raise
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _pause_after(error: BaseException, pause: float) -> float | None:
    """Seconds to wait before another attempt, or None when it would not help."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _pause_after(error.__cause__, pause)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in _TRANSIENT:
            return None
        asked = error.response.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdigit() else pause
        return wait if wait <= LONGEST_PAUSE_SECONDS else None
    if isinstance(error, httpx2.TimeoutException):
        return None  # It has had its time.
    # The client reports a file cut short as an OSError without a number.
    is_cut = isinstance(error, OSError) and error.errno is None
    return pause if is_cut or isinstance(error, httpx2.TransportError) else None
