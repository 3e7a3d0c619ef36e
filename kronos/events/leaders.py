"""Leading markets at the moment when a bar is complete.

Only closed bars of a leader are read, and none while its market is shut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars.spans import bar_spans, is_trading
from kronos.candles import Candles
from kronos.errors import InvalidRequest

__all__ = ["Leaders", "hourly_returns", "level_scores"]

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
    opens, ends = _closed_bars(leader)
    closes = leader.frame["close"].to_numpy()
    starts = leader.frame["open"].to_numpy().copy()
    follows = np.flatnonzero(opens[1:] == ends[:-1]) + 1
    starts[follows] = closes[follows - 1]
    last = np.searchsorted(ends, moments, side="right") - 1
    at = np.maximum(last, 0)
    usable = (
        (last >= 0)
        & (moments - ends[at] < _HOUR)
        & is_trading(moments, calendar=leader.calendar, zone=leader.zone)
    )
    out[usable] = np.log(closes[at] / starts[at])[usable]
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
    _, ends = _closed_bars(leader)
    levels = leader.frame["close"]
    days = leader.local_index.normalize()
    daily = levels.groupby(days).last()
    before = daily.shift(1).rolling(N_LEVELS, min_periods=MIN_LEVELS)
    mean, sigma = (series.reindex(days).to_numpy() for series in (before.mean(), before.std()))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of equal levels rounding alone is left.
        scores = np.where(sigma > 1e-12 * np.abs(mean), (levels.to_numpy() - mean) / sigma, 0.0)
    last = np.searchsorted(ends, moments, side="right") - 1
    at = np.maximum(last, 0)
    usable = (
        (last >= 0)
        & (moments - ends[at] < _OLDEST_LEVEL)
        & is_trading(moments, calendar=leader.calendar, zone=leader.zone)
    )
    out[usable] = np.clip(scores[at][usable], -_MOST_SIGMAS, _MOST_SIGMAS)
    return out


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
