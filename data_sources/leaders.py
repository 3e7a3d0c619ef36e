"""The leading markets that models read: which instruments they are, and when they are fetched.

All that need them in this process share one fetch, which goes through the bar cache. What cannot be
fetched is left out; its channels are then 0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pandas as pd

from data_sources.calendar import is_on
from data_sources.registry import open_source
from data_sources.source import DataSource
from kronos.candles import Candles
from kronos.errors import (
    IntervalUnavailable,
    InvalidCandles,
    KronosError,
    RateLimited,
    UnknownSymbol,
)
from kronos.events import LEADERS, Leaders

__all__ = ["SYMBOLS", "LeaderBars", "fetched_leaders", "leader_bars"]

SYMBOLS = {
    "btc": ("BTC-USD",),
    "spy": ("SPY", "ES=F"),
    "dxy": ("DX-Y.NYB",),
    "vix": ("^VIX",),
}
"""Tickers of Yahoo: the first that there is."""
_INTERVALS = {"btc": "1h", "spy": "1h", "dxy": "1h", "vix": "1d"}
_REACH = pd.Timedelta(days=729)  # of Yahoo's bars of an hour; nothing is fetched for earlier ones
_LATE = pd.Timedelta(minutes=35)  # by which quotes are delayed, and a bar counts as finished
_PAUSE = pd.Timedelta(minutes=5)  # between two fetches of the same leader
# Where a ticker gives no bars, the next one is tried; other errors concern the source.
_NO_BARS = (UnknownSymbol, IntervalUnavailable, InvalidCandles)


@dataclass(frozen=True, slots=True, eq=False)
class _Fetched:
    at: pd.Timestamp
    candles: Candles | None = None
    problem: str = ""
    pause: pd.Timedelta = _PAUSE


class LeaderBars:
    """The bars of the leading markets; any thread may call.

    Args:
        open_source: Opens a source by name.
        clock: The time, UTC.
    """

    def __init__(
        self,
        open_source: Callable[[str], DataSource] = open_source,
        *,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
    ) -> None:
        self._open, self._clock = open_source, clock
        self._fetching = threading.Lock()
        self._fetched: dict[str, _Fetched] = {}

    def missing(self, until: pd.Timestamp) -> tuple[str, ...]:
        """The leaders to fetch for a forecast; none for some minutes after a fetch.

        Args:
            until: When the last known bar is complete, UTC.
        """
        return tuple(name for name in LEADERS if self._is_missing(name, until))

    def known(self) -> Leaders:
        """What was fetched in this process."""
        return Leaders(**{name: fetched.candles for name, fetched in self._fetched.items()})

    def problem(self) -> str:
        """Why the last fetch left out a leader, or has older bars of it; "" where it did not."""
        return next((each.problem for each in self._fetched.values() if each.problem), "")

    def refresh(
        self, until: pd.Timestamp, *, progress: Callable[[str], None] = lambda stage: None
    ) -> Leaders:
        """Fetch what is missing; threads that want the same share one fetch.

        No error ends it: `problem` says what failed.

        Args:
            until: When the last known bar is complete, UTC.
            progress: Called before each request with what it is for; what it raises ends the fetch.

        Returns:
            What is known then.
        """
        with self._fetching:
            for name in self.missing(until):
                progress(f"Fetching {LEADERS[name]}")
                self._fetched[name] = self._fetch(name)
        return self.known()

    def _is_missing(self, name: str, until: pd.Timestamp) -> bool:
        now = self._clock()
        fetched = self._fetched.get(name)
        if fetched is not None and now - fetched.at < fetched.pause:
            return False
        if until < now - _REACH:
            return False
        return fetched is None or bool(fetched.problem) or fetched.at < min(until, now) + _LATE

    def _fetch(self, name: str) -> _Fetched:
        now, before = self._clock(), self._fetched.get(name)
        problem: KronosError | None = None
        for symbol in SYMBOLS[name]:
            try:
                bars = self._open("yahoo").fetch(symbol, interval=_INTERVALS[name])
            except KronosError as error:
                problem = problem or error
                if not isinstance(error, _NO_BARS):
                    break
            else:
                return _Fetched(now, bars.candles, bars.stale)
        wait = problem.retry_after if isinstance(problem, RateLimited) else None
        pause = max(_PAUSE, pd.Timedelta(seconds=wait or 0))
        return _Fetched(now, None if before is None else before.candles, str(problem), pause)


@cache
def leader_bars() -> LeaderBars:
    """The leading markets of this process."""
    return LeaderBars()


def fetched_leaders(until: pd.Timestamp) -> Leaders:
    """The leading markets for a forecast, fetched where they are missing and fetches are on.

    Args:
        until: When the last known bar is complete, UTC.
    """
    return leader_bars().refresh(until) if is_on() else leader_bars().known()
