"""Leading markets at the moment when a bar is complete.

Only closed bars of a leader are read, and none while its market is shut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from kronos.calendars.spans import bar_spans, is_trading
from kronos.candles import Candles
from kronos.errors import InvalidRequest

__all__ = ["LEADERS", "Leaders", "hourly_returns", "leaders_text", "level_scores"]

LEADERS = {
    "btc": "Bitcoin",
    "spy": "US equities",
    "dxy": "the dollar index",
    "vix": "the VIX",
}
"""Names of the leading markets, and their titles."""

_HOUR = pd.Timedelta(hours=1).value
N_LEVELS = 252
MIN_LEVELS = 20
_MOST_SIGMAS = 3.0
# Longer than any holiday: an older level is not the present one.
_OLDEST_LEVEL = pd.Timedelta(days=7).value


@dataclass(frozen=True, slots=True, eq=False)
class Leaders:
    """Bars of the leading markets; a missing one leaves its channel at 0.

    Attributes:
        btc: Bitcoin in dollars, 1h bars.
        spy: US equities, 1h bars.
        dxy: The dollar index, 1h bars.
        vix: Implied volatility of US equities, bars of an hour or a day.

    Raises:
        InvalidRequest: On construction, for another bar width.
    """

    btc: Candles | None = None
    spy: Candles | None = None
    dxy: Candles | None = None
    vix: Candles | None = None

    def __post_init__(self) -> None:
        for name in ("btc", "spy", "dxy"):
            _require_interval(name, getattr(self, name), ("1h",))
        _require_interval("vix", self.vix, ("1h", "1d"))

    def until(self, moment: pd.Timestamp) -> Leaders:
        """The bars that open before a moment: no later one can have closed by then."""
        at = moment.tz_convert("UTC").as_unit("ns").value
        cut = {}
        for name in LEADERS:
            leader = getattr(self, name)
            cut[name] = None if leader is None else _cut(leader, at)
        return Leaders(**cut)

    @property
    def digest(self) -> str:
        """SHA-256 of all bars; "" without any."""
        known = [(name, getattr(self, name)) for name in LEADERS]
        facts = [f"{name} {_digest(leader)}" for name, leader in known if leader is not None]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest() if facts else ""


def hourly_returns(leader: Candles | None, moments: np.ndarray) -> np.ndarray:
    """Log returns of a leader over its last closed hour.

    The return runs from close to close; after a pause of the market from the bar's own open, so
    that it covers an hour at most.

    Args:
        leader: 1h bars; None gives zeros.
        moments: (T,) int64 nanoseconds UTC.

    Returns:
        (T,) returns; 0 while the leader's market is shut, and an hour or more after the close of
        its last bar.
    """
    out = np.zeros(len(moments))
    if leader is None or not len(moments):
        return out
    ends, returns = _hourly(leader)
    last = np.searchsorted(ends, moments, side="right") - 1
    at = np.maximum(last, 0)
    usable = (
        (last >= 0)
        & (moments - ends[at] < _HOUR)
        & is_trading(moments, calendar=leader.calendar, zone=leader.zone)
    )
    out[usable] = returns[at][usable]
    return out


def level_scores(leader: Candles | None, moments: np.ndarray) -> np.ndarray:
    """Standard scores of the last closed level of a leader against the year before.

    Mean and sample standard deviation are of the daily closes of the 20 to 252 days before the
    level's own day.

    Args:
        leader: Bars of an hour or a day; None gives zeros.
        moments: (T,) int64 nanoseconds UTC.

    Returns:
        (T,) scores within -3 and 3; 0 while the leader's market is shut, where its last bar is a
        week old, and with too few days.
    """
    out = np.zeros(len(moments))
    if leader is None or not len(moments):
        return out
    ends, scores = _levels(leader)
    last = np.searchsorted(ends, moments, side="right") - 1
    at = np.maximum(last, 0)
    usable = (
        (last >= 0)
        & (moments - ends[at] < _OLDEST_LEVEL)
        & is_trading(moments, calendar=leader.calendar, zone=leader.zone)
    )
    out[usable] = np.clip(scores[at][usable], -_MOST_SIGMAS, _MOST_SIGMAS)
    return out


def leaders_text(leaders: Mapping[str, str | None]) -> str:
    """What a forecast says of the leading markets, as half a sentence.

    Args:
        leaders: As in `Forecast.leaders`.
    """
    told = [
        f"{LEADERS[name]} (until the bar of {pd.Timestamp(until):%Y-%m-%d %H:%M})"
        for name, until in leaders.items()
        if until is not None
    ]
    absent = [LEADERS[name] for name, until in leaders.items() if until is None]
    parts = [", ".join(told)] if told else []
    parts += [f"nothing of {', '.join(absent)}"] if absent else []
    return "; ".join(parts)


# Computed once for bars that many requests read: Candles are compared by identity.


@lru_cache(maxsize=32)
def _cut(leader: Candles, at: int) -> Candles | None:
    n = int(pd.DatetimeIndex(leader.frame.index).as_unit("ns").asi8.searchsorted(at))
    return leader if n == len(leader) else leader.slice(None, n) if n else None


@lru_cache(maxsize=32)
def _digest(leader: Candles) -> str:
    times = pd.DatetimeIndex(leader.frame.index).as_unit("ns").asi8
    digest = hashlib.sha256(f"{leader.interval} {leader.calendar} {leader.zone}".encode())
    digest.update(times.astype("<i8").tobytes())
    digest.update(leader.frame[["open", "close"]].to_numpy("<f8").tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=32)
def _hourly(leader: Candles) -> tuple[np.ndarray, np.ndarray]:
    """Ends of all bars, and their log returns."""
    opens, ends = _closed_bars(leader)
    closes = leader.frame["close"].to_numpy()
    starts = leader.frame["open"].to_numpy().copy()
    follows = np.flatnonzero(opens[1:] == ends[:-1]) + 1
    starts[follows] = closes[follows - 1]
    return ends, np.log(closes / starts)


@lru_cache(maxsize=32)
def _levels(leader: Candles) -> tuple[np.ndarray, np.ndarray]:
    """Ends of all bars, and the scores of their levels."""
    _, ends = _closed_bars(leader)
    levels = leader.frame["close"]
    days = leader.local_index.normalize()
    daily = levels.groupby(days).last()
    before = daily.shift(1).rolling(N_LEVELS, min_periods=MIN_LEVELS)
    mean, sigma = (series.reindex(days).to_numpy() for series in (before.mean(), before.std()))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of equal levels rounding alone is left.
        scores = np.where(sigma > 1e-12 * np.abs(mean), (levels.to_numpy() - mean) / sigma, 0.0)
    return ends, scores


def _closed_bars(leader: Candles) -> tuple[np.ndarray, np.ndarray]:
    spans = bar_spans(
        pd.DatetimeIndex(leader.frame.index),
        interval=leader.interval,
        calendar=leader.calendar,
        zone=leader.zone,
    )
    return spans.open, spans.end


def _require_interval(name: str, leader: Candles | None, allowed: tuple[str, ...]) -> None:
    if leader is not None and leader.interval not in allowed:
        raise InvalidRequest(
            f"The leader {name} must have bars of {' or '.join(allowed)}, found "
            f"{leader.interval} ({leader.symbol})."
        )
