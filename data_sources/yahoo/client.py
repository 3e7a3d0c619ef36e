"""The client for Yahoo, which has one connection in the whole process."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from kronos.errors import SourceDown
from kronos.system import user_cache

__all__ = ["bound_client"]

_free = threading.Condition()
_users: list[object] = []


@contextmanager
def bound_client(session: object, *, seconds: float) -> Iterator[Any]:
    """yfinance, whose requests go through one session as long as the context lasts.

    Threads with the same session use it together; others wait for them.

    Args:
        session: Given to yfinance with every question (`Ticker(symbol, session=session)`).
        seconds: How long to wait for others.

    Raises:
        SourceDown: They take longer.
    """
    with _free:
        if not _free.wait_for(lambda: not _users or _users[0] is session, timeout=seconds):
            raise SourceDown(
                "Yahoo Finance is still busy with earlier requests. Try again in some seconds."
            )
        _users.append(session)
    try:
        yield _configured()
    finally:
        with _free:
            _users.remove(session)
            _free.notify_all()


@cache
def _configured() -> Any:
    """The client, with settings that hold for the whole process; takes a second to load."""
    import yfinance

    yfinance.config.debug.hide_exceptions = False
    yfinance.set_tz_cache_location(str(user_cache("yfinance")))
    # What it warns of is retried or raised by its callers, or is about its own code.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    return yfinance
