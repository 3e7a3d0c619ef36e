"""The weeks of currencies and of metals, on the clock of New York in summer and winter time.

Currencies trade from Sunday 17:00 to Friday 17:00. Metals open at 18:00 and pause from 17:00 to
18:00 every day, as gold and silver do on CME Globex. Neither trades on 25 December and 1 January:
the day before ends at 17:00, and trading starts again at the usual opening of that evening. Holiday
notices of brokers and of CME Globex publish these times; hours of thin trading on other days
(24 December, Thanksgiving) differ by broker and count as ordinary ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.calendars.exchanges import FX, METALS

__all__ = ["NEW_YORK", "closures", "fx_days", "is_fx_open", "next_fx_bars"]

NEW_YORK = "America/New_York"
_HOUR = 3600
_DAY = pd.Timedelta(days=1)
_CLOSE = pd.Timedelta(hours=17)
_OPENING = {FX: pd.Timedelta(hours=17), METALS: pd.Timedelta(hours=18)}
_HOLIDAYS = ((12, 25), (1, 1))


def closures(
    first: pd.Timestamp, last: pd.Timestamp, *, calendar: str = FX, holidays: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the times without trading around two moments.

    Args:
        first: Aware.
        last: Aware; a week before `first` and after `last` is covered as well.
        calendar: "fx" or "metals".
        holidays: Whether 25 December and 1 January are closed.

    Returns:
        (C,) and (C,) int64 nanoseconds since 1970 UTC, ascending, without overlap.
    """
    margin = 7 * _DAY
    days = pd.date_range(
        first.tz_convert(NEW_YORK).tz_localize(None).normalize() - margin,
        last.tz_convert(NEW_YORK).tz_localize(None).normalize() + margin,
    ).as_unit("ns")
    weekday = days.day_of_week.to_numpy()
    # The evening of a closed trading day: no trading from 17:00 to the opening of the next day.
    next_closed = np.isin(weekday, (4, 5))
    if holidays:
        eve = days + _DAY
        month, day = eve.month.to_numpy(), eve.day.to_numpy()
        next_closed |= np.logical_or.reduce([(month == m) & (day == d) for m, d in _HOLIDAYS])
    opening = _OPENING[calendar]
    starts = _wall_ns(days + _CLOSE)
    ends = np.where(next_closed, _wall_ns(days + _DAY + opening), _wall_ns(days + opening))
    is_closed = ends > starts
    starts, ends = starts[is_closed], ends[is_closed]
    # Evenings in a row are one closure.
    is_new = np.append(True, starts[1:] > np.maximum.accumulate(ends)[:-1])
    return starts[is_new], np.append(ends[:-1][is_new[1:]], ends[-1:])


def is_fx_open(index: pd.DatetimeIndex, width: pd.Timedelta, *, calendar: str = FX) -> np.ndarray:
    """Whether a bar opening at each UTC timestamp sees any trading: (T,) bool."""
    if not len(index):
        return np.zeros(0, bool)
    starts, ends = closures(index.min(), index.max() + width, calendar=calendar)
    opens = index.as_unit("ns").asi8
    closed = np.searchsorted(starts, opens, side="right") - 1
    return ~((closed >= 0) & (opens + width.value <= ends[closed]))


def next_fx_bars(
    index: pd.DatetimeIndex, n: int, width: pd.Timedelta, *, calendar: str = FX
) -> pd.DatetimeIndex:
    """The next n intraday bars after the last of `index` (UTC).

    Bars of two hours or more may lie on a UTC grid or on New York's 17:00; the grid that the bars
    keep through clock changes continues.
    """
    last = index[-1]
    # Room for weekends (2 days of 7), a pause of up to an hour a day, and holidays.
    n_steps = int(n * 1.6) + 2 * int(pd.Timedelta(days=6) / width) + 1
    steps = np.arange(1, n_steps + 1) * width.to_timedelta64()
    if _is_on_new_york_grid(index, width):
        wall = pd.DatetimeIndex(last.tz_convert(NEW_YORK).tz_localize(None) + steps)
        local = wall.tz_localize(NEW_YORK, ambiguous="NaT", nonexistent="NaT")
        future = pd.DatetimeIndex(local[local.notna()]).tz_convert("UTC")
    else:
        future = pd.DatetimeIndex(last.asm8 + steps, tz="UTC")  # an aware one adds one by one
    future = future[is_fx_open(future, width, calendar=calendar)]
    return future[~_is_daily_pause(future, index, width)][:n]


def _is_daily_pause(
    future: pd.DatetimeIndex, past: pd.DatetimeIndex, width: pd.Timedelta
) -> np.ndarray:
    """Future bars at a time of day, New York, at which recent days had none (metals pause)."""
    recent = past[past > past[-1] - pd.Timedelta(days=28)].tz_convert(NEW_YORK)
    days = recent.normalize().nunique()
    if width > pd.Timedelta(hours=1) or days < 10:
        return np.zeros(len(future), bool)
    counts = np.bincount(recent.hour.to_numpy() * 60 + recent.minute.to_numpy(), minlength=1440)
    local = future.tz_convert(NEW_YORK)
    return counts[local.hour.to_numpy() * 60 + local.minute.to_numpy()] * 10 < days


def fx_days(days: pd.DatetimeIndex, time: pd.Timedelta) -> pd.DatetimeIndex:
    """Days without those whose daily bar is that of 25 December or 1 January.

    Args:
        days: Naive dates on the clock of the bars.
        time: Time of day at which bars open; from noon on, a bar is that of the next date.
    """
    dates = days + _DAY if time >= pd.Timedelta(hours=12) else days
    month, day = dates.month.to_numpy(), dates.day.to_numpy()
    return days[~np.logical_or.reduce([(month == m) & (day == d) for m, d in _HOLIDAYS])]


def _wall_ns(wall: pd.DatetimeIndex) -> np.ndarray:
    """Wall clock of New York as nanoseconds since 1970 UTC; no clock changes in the evening."""
    return wall.tz_localize(NEW_YORK).tz_convert("UTC").as_unit("ns").asi8


def _second_of_week(local: pd.DatetimeIndex) -> np.ndarray:
    """Seconds since Monday 00:00 on the local clock: (T,)."""
    day = local.day_of_week.to_numpy()
    return ((day * 24 + local.hour) * 60 + local.minute) * 60.0 + local.second


def _is_on_new_york_grid(index: pd.DatetimeIndex, width: pd.Timedelta) -> bool:
    if width <= pd.Timedelta(hours=1):
        return False  # New York is a whole number of hours off UTC: both grids are one
    seconds = int(width.total_seconds())
    recent = index[-2000:]
    new_york = _second_of_week(recent.tz_convert(NEW_YORK)) % 86400 % seconds
    utc = _second_of_week(recent) % 86400 % seconds
    keeps_utc, keeps_new_york = np.ptp(utc) == 0, np.ptp(new_york) == 0
    if keeps_utc != keeps_new_york:
        return bool(keeps_new_york)
    # Without a clock change, bars on New York's 17:00 count as following it.
    return bool(new_york[-1] == 17 * _HOUR % seconds and utc[-1] != 0)
