"""yfinance, which has one connection in the whole process, shared among sessions and threads."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, Protocol

from kronos.errors import SourceDown
from kronos.extras import require
from kronos.system import user_cache

__all__ = ["TITLE", "TimedSession", "yfinance_with"]

TITLE = "Yahoo Finance"
_free = threading.Condition()
_users: list[object] = []  # one entry a thread within `yfinance_with`, all of the same session


class TimedSession(Protocol):
    """A session that ends the requests of a thread in time."""

    def within(self, seconds: float, /) -> AbstractContextManager[None]: ...


@contextmanager
def yfinance_with(session: TimedSession, *, seconds: float) -> Iterator[Any]:
    """yfinance with all its requests through one session, for one attempt at a request.

    Threads with the same session use it at the same time; others wait for them. No response of
    an earlier attempt is reused.

    Args:
        session: To be given to yfinance with every object (`Ticker(symbol, session=session)`).
        seconds: How long the attempt may take, the wait for other sessions included.

    Raises:
        SourceDown: The other sessions take longer.
    """
    with session.within(seconds):
        with _free:
            if not _free.wait_for(lambda: not _users or _users[0] is session, timeout=seconds):
                raise SourceDown(
                    f"{TITLE} is still busy with earlier requests. Try again in some seconds."
                )
            _users.append(session)
        try:
            client = _configured()
            client.data.YfData.cache_get.cache_clear()
            yield client
        except Exception as error:
            if type(error).__module__ != "peewee":
                raise
            raise SourceDown(
                f"The cache of {TITLE} in {user_cache('yfinance')} cannot be used: {error}. Free "
                "some space, or make the folder writable."
            ) from error
        finally:
            with _free:
                _users.remove(session)
                _free.notify_all()


@cache
def _configured() -> Any:
    """yfinance, with the settings of the whole process; takes a second to load."""
    yfinance = require("yfinance", "markets", TITLE)

    yfinance.config.debug.hide_exceptions = False
    yfinance.config.network.retries = 0  # `Retry` repeats requests
    yfinance.set_tz_cache_location(str(user_cache("yfinance")))
    # Its callers raise what it warns of; the other warnings are about its own code.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    return yfinance
