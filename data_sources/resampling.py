"""Wider bars put together from narrower ones, where the result is exact.

A wider bar has the first open, the highest high, the lowest low, the last close, and the sum of
the volume.
"""

from __future__ import annotations

import pandas as pd

__all__ = ["as_half_hours", "as_weeks"]

_HALF_HOUR = pd.Timedelta(minutes=30)


def as_weeks(days: pd.DataFrame) -> pd.DataFrame:
    """Weekly bars of daily ones, Monday to Sunday, stamped with Monday's midnight.

    Args:
        days: Columns open, high, low, close, volume; in order, indexed by midnights on the
            exchange's own clock.
    """
    index = pd.DatetimeIndex(days.index)
    dates = index.tz_localize(None).normalize()
    weeks = _joined(days, dates - pd.to_timedelta(dates.day_of_week, unit="D"))
    stamps = pd.DatetimeIndex(weeks.index)
    weeks.index = stamps.tz_localize(index.tz, ambiguous=True, nonexistent="shift_forward")
    return weeks


def as_half_hours(bars: pd.DataFrame, opening: pd.Timestamp) -> pd.DataFrame:
    """Bars of 30 minutes, counted from the opening of a session.

    The first one is left out if the bars begin in the middle of it.

    Args:
        bars: Columns open, high, low, close, volume, of a width that divides 30 minutes; in
            order, indexed by aware open times.
        opening: When a session opens: some open at a quarter past the hour.
    """
    index = pd.DatetimeIndex(bars.index)
    phase = (opening.tz_convert("UTC") - pd.Timestamp(0, tz="UTC")) % _HALF_HOUR
    opens = (index.tz_convert("UTC") - phase).floor("30min") + phase
    wider = _joined(bars, opens)
    wider.index = pd.DatetimeIndex(wider.index).tz_convert(index.tz)
    return wider.iloc[1:] if len(index) and index[0] != opens[0] else wider


def _joined(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> pd.DataFrame:
    return bars.groupby(opens).agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
