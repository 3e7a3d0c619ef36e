"""What the bars say of one prediction: which steps have come true since it was last scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width, is_intraday
from kronos.candles import Candles
from kronos.store.prediction import Prediction

__all__ = ["CORRECTION", "KnownBars", "News", "find_news"]

CORRECTION = 1e-5
"""A return that moved by more than this, a tenth of a basis point, was corrected. Less is the
rounding of prices that a source rescaled."""

OBSERVED, MISSING, LATE, CORRECTED = "observed", "missing", "late", "corrected"
_PENDING, _DISPUTED, _KNOWN = "pending", "disputed", "known"

Row = Mapping[str, Any]
"""A row of `signal_evaluations`, or the part of it that says what happened."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownBars:
    """Bars that had ended at some moment.

    Attributes:
        closes: (T,) closes, indexed by open time in UTC.
        interval: Width of a bar.
        zone: The exchange's own clock.
        source: Where the bars came from.
        as_of: The moment, UTC.
    """

    closes: pd.Series
    interval: str
    zone: str
    source: str
    as_of: pd.Timestamp

    @classmethod
    def of(cls, candles: Candles, *, source: str, as_of: pd.Timestamp) -> KnownBars:
        """The bars of candles that had ended by `as_of`; later ones are not looked at."""
        closes = candles.frame["close"]
        ends = bar_ends(pd.DatetimeIndex(closes.index), candles.interval, candles.zone)
        return cls(closes[ends <= as_of], candles.interval, candles.zone, source, as_of)


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What is new of one prediction.

    Attributes:
        rows: What happened, for every step to be recorded: columns of `signal_evaluations`
            without the scores.
        returns: (H,) log-returns from the origin, NaN where none is recorded or to be recorded.
        n_pending: Steps whose bar has not come and may still come in time.
        n_disputed: Steps that were scored with another source's bar, which had another return.
    """

    rows: list[dict[str, Any]]
    returns: np.ndarray
    n_pending: int
    n_disputed: int


def find_news(prediction: Prediction, bars: KnownBars, recorded: Mapping[int, Row]) -> News | None:
    """Compares a prediction with the bars.

    Args:
        prediction: What was predicted.
        bars: What is known.
        recorded: The newest row of `signal_evaluations` of every step that has one.

    Returns:
        What is new; None where the bars have none at the origin, so that no return is known.
    """
    at_origin = bars.closes.get(prediction.origin)
    if at_origin is None:
        return None
    origin_close = float(at_origin)
    places = bars.closes.index.get_indexer(prediction.timestamps)
    closes = np.where(places >= 0, bars.closes.to_numpy()[places], np.nan)
    ends = bar_ends(prediction.timestamps, bars.interval, bars.zone)
    is_passed = prediction.timestamps < bars.closes.index[-1]
    rows: list[dict[str, Any]] = []
    returns = np.full(prediction.horizon, np.nan)
    n_of = {_PENDING: 0, _DISPUTED: 0}
    for i, close in enumerate(closes):
        before = recorded.get(i + 1)
        moved = float(np.log(close / origin_close))
        outcome = _outcome(moved, before, bars.source, is_passed=bool(is_passed[i]))
        if outcome in n_of:
            n_of[outcome] += 1
        if outcome in (OBSERVED, LATE, CORRECTED):
            returns[i] = moved
        elif before is not None and before["outcome"] != MISSING:
            returns[i] = before["actual_return"]
        if outcome in (OBSERVED, MISSING, LATE, CORRECTED):
            came = outcome != MISSING
            # The first value of a bar was known when it ended. That a bar is missing, has come
            # late or was changed is known from this moment on.
            known_at = ends[i] if outcome == OBSERVED else bars.as_of
            rows.append(
                {
                    "prediction_id": prediction.id,
                    "step": i + 1,
                    "revision": 0 if before is None else int(before["revision"]) + 1,
                    "timestamp": prediction.timestamps[i].to_pydatetime(),
                    "outcome": outcome,
                    "actual": float(close) if came else None,
                    "origin_close": origin_close if came else None,
                    "actual_return": moved if came else None,
                    "ahead": bool(prediction.created_at < ends[i]),
                    "source": bars.source,
                    "resolved_at": known_at.to_pydatetime(),
                }
            )
    return News(rows, returns, n_of[_PENDING], n_of[_DISPUTED])


def _outcome(moved: float, before: Row | None, source: str, *, is_passed: bool) -> str:
    """What a step has become: `moved` is the return of its bar, NaN where there is no bar."""
    if np.isnan(moved):
        if before is not None:
            return _KNOWN  # a source that forgets old bars takes nothing back
        return MISSING if is_passed else _PENDING
    if before is None:
        return OBSERVED
    if before["outcome"] == MISSING:
        return LATE
    if abs(moved - before["actual_return"]) <= CORRECTION:
        return _KNOWN
    # Two sources seldom agree to the last digit: only the one that gave a bar can correct it.
    return CORRECTED if before["source"] == source else _DISPUTED


def bar_ends(stamps: pd.DatetimeIndex, interval: str, zone: str) -> pd.DatetimeIndex:
    """When bars have ended for certain: an interval after they open, days by the local clock."""
    width = interval_width(interval)
    if is_intraday(interval):
        return pd.DatetimeIndex(stamps + width)
    wall = stamps.tz_convert(zone).tz_localize(None) + width
    local = wall.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    return local.tz_convert("UTC")
