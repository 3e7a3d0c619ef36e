"""The FX week: Sunday 17:00 to Friday 17:00 New York time, in summer and winter time.

There are no holidays: Christmas and New Year, with thin or partial trading, differ by broker and
count as ordinary days.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = [
    "BROKER_CLOCK",
    "NEW_YORK",
    "best_fx_clock",
    "from_broker_clock",
    "is_fx_open",
    "next_fx_bars",
]

NEW_YORK = "America/New_York"
_HOUR = 3600
_WEEK = 7 * 24 * _HOUR
_FRIDAY_CLOSE = (4 * 24 + 17) * _HOUR  # seconds after Monday 00:00 New York
_SUNDAY_OPEN = (6 * 24 + 17) * _HOUR
# Brokers that close their day at 17:00 New York run a clock 7 hours ahead of New York, so that
# every week is five whole days. No IANA zone does that all year.
_BROKER_LEAD = pd.Timedelta(hours=7)
BROKER_CLOCK = "New York + 7 h"
_BROKER_ZONES = (NEW_YORK, "Europe/London", "Europe/Berlin", "Europe/Athens")
_MARGIN = 0.25  # hours a week by which another clock must fit better than UTC


def is_fx_open(index: pd.DatetimeIndex, width: pd.Timedelta) -> np.ndarray:
    """Whether a bar opening at each UTC timestamp sees any trading: (T,) bool."""
    second = _second_of_week(index.tz_convert(NEW_YORK))
    closed = (second >= _FRIDAY_CLOSE) & (second + width.total_seconds() <= _SUNDAY_OPEN)
    return ~closed


def next_fx_bars(index: pd.DatetimeIndex, n: int, width: pd.Timedelta) -> pd.DatetimeIndex:
    """The next n intraday bars after the last of `index` (UTC).

    Bars of two hours or more may lie on a UTC grid or on New York's 17:00; the grid that the bars
    keep through clock changes continues.
    """
    last = index[-1]
    # Room for weekends (2 days of 7) and a pause of up to an hour a day.
    steps = np.arange(1, int(n * 1.6) + 2 * int(pd.Timedelta(days=3) / width) + 2) * width
    if _is_on_new_york_grid(index, width):
        wall = pd.DatetimeIndex(last.tz_convert(NEW_YORK).tz_localize(None) + steps)
        local = wall.tz_localize(NEW_YORK, ambiguous="NaT", nonexistent="NaT")
        future = pd.DatetimeIndex(local[local.notna()]).tz_convert("UTC")
    else:
        future = pd.DatetimeIndex(last + steps)
    future = future[is_fx_open(future, width)]
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


def from_broker_clock(wall: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Naive timestamps on a clock 7 hours ahead of New York, in UTC."""
    return (
        (wall - _BROKER_LEAD)
        .tz_localize(NEW_YORK, ambiguous=True, nonexistent="shift_forward")
        .tz_convert("UTC")
    )


def best_fx_clock(wall: pd.DatetimeIndex, width: pd.Timedelta) -> tuple[str, pd.DatetimeIndex]:
    """The clock on which naive intraday FX bars were written.

    It puts every bar inside the FX week and the week's first bar at its opening.

    Returns:
        An IANA name or `BROKER_CLOCK`, and the bars in UTC.
    """
    clocks = {"UTC": wall.tz_localize("UTC"), BROKER_CLOCK: from_broker_clock(wall)}
    for zone in _BROKER_ZONES:
        local = wall.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        clocks[zone] = local.tz_convert("UTC")
    scores = {name: _misfit(index, width) for name, index in clocks.items()}
    best = min(scores, key=lambda name: scores[name])
    if scores["UTC"] - scores[best] < _MARGIN:
        best = "UTC"
    return best, clocks[best]


def _misfit(index: pd.DatetimeIndex, width: pd.Timedelta) -> float:
    """Bars outside the week, and hours missing at its opening and close, per week."""
    outside = float((~is_fx_open(index, width)).sum())
    seconds = width.total_seconds()
    # A bar belongs to the week in which it ends; the first one may open before the week does.
    since_open = (_second_of_week(index.tz_convert(NEW_YORK)) + seconds - 1 - _SUNDAY_OPEN) % _WEEK
    week = (index.as_unit("s").asi8 - since_open) // _HOUR // 168
    weeks = pd.Series(since_open).groupby(week)
    late = max(0.0, float(weeks.min().median()) - seconds)
    early = max(0.0, _FRIDAY_CLOSE + _WEEK - _SUNDAY_OPEN - 1 - float(weeks.max().median()))
    return outside / max(1, weeks.ngroups) + (late + early) / _HOUR


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
