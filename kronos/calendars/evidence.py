"""What the bars themselves say about their calendar: weekends, hours and holidays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from kronos.calendars.exchanges import EXCHANGES, Exchange
from kronos.calendars.sessions import schedule

__all__ = ["HoursMatch", "holiday_agreement", "local_stamps", "match_hours", "weekday_shares"]

# New York bars with pre-market and after-hours trading, as many vendors deliver them.
_EXTENDED = Exchange("New York, extended hours", "America/New_York", 240, 1200)
_SLOW = ("XKRX",)  # many seconds to build: only a symbol may point there
_TOLERANCE = 45.0  # minutes that hours may be off in all


@dataclass(frozen=True, slots=True)
class HoursMatch:
    """An exchange whose hours the bars keep, and the clock naive bars were written on."""

    calendar: str
    clock: str
    misfit: float


def weekday_shares(wall: pd.DatetimeIndex) -> np.ndarray:
    """Share of the bars on each weekday, Monday first: (7,)."""
    counts = np.bincount(wall.day_of_week.to_numpy(), minlength=7)
    return counts / max(1, len(wall))


def local_stamps(index: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Naive wall clock of timestamps: aware ones are converted, naive ones taken as they are."""
    if index.tz is None:
        return index
    return index.tz_convert(zone).tz_localize(None)


def match_hours(
    index: pd.DatetimeIndex, width: pd.Timedelta, *, only: str | None = None
) -> list[HoursMatch]:
    """Exchanges whose regular hours fit intraday weekday bars, best first.

    Args:
        index: Bar open times. Naive stamps are tried as the exchange's clock and as UTC.
        width: Width of a bar.
        only: The one exchange to try; default every known one that is quick to build.
    """
    recent = index[-20_000:]
    minutes = int(width.total_seconds() // 60)
    aware = recent if recent.tz is not None else recent.tz_localize("UTC")
    candidates = [*EXCHANGES.items(), ("XNYS", _EXTENDED)]
    matches: list[HoursMatch] = []
    for code, hours in candidates:
        if hours.open == hours.close or (code in _SLOW if only is None else code != only):
            continue  # round the clock is told by other signs
        readings = {"UTC": local_stamps(aware, hours.zone)}
        if recent.tz is None:
            readings = {hours.zone: recent, **readings}
        for clock, wall in readings.items():
            misfit = _hours_misfit(wall, minutes, hours)
            if misfit <= _TOLERANCE:
                matches.append(HoursMatch(code, clock, misfit))
    return sorted(matches, key=lambda match: match.misfit)


def _hours_misfit(wall: pd.DatetimeIndex, width: int, hours: Exchange) -> float:
    """Minutes by which the usual first and last bar and the lunch break miss the hours."""
    slots = _usual_slots(wall)
    if not slots.size:
        return np.inf

    def ends(shift: int) -> float:
        first, last = slots[0] - shift, slots[-1] - shift
        # The first bar holds the opening, the last one trades before the close.
        opening = 0.0 if hours.open - width < first <= hours.open else abs(first - hours.open)
        closing = 0.0 if last < hours.close <= last + width else abs(last + width - hours.close)
        aligned = 0.0 if first == hours.open else 1.0
        return opening + closing + aligned

    # Some vendors stamp a bar with its end.
    return min(ends(0), ends(width) + 2.0) + _pause_misfit(slots, width, hours)


def _pause_misfit(slots: np.ndarray, width: int, hours: Exchange) -> float:
    gaps = [(a + width, b) for a, b in pairwise(slots.tolist()) if b - a > width]
    if hours.pause is None:
        return float(sum(end - start for start, end in gaps))
    pause = hours.pause[1] - hours.pause[0]
    if width > pause:
        return 0.0
    longest = max((end - start for start, end in gaps), default=0)
    return float(abs(pause - longest))


def _usual_slots(wall: pd.DatetimeIndex) -> np.ndarray:
    """Minutes of the day that carry a bar on at least half of the days, ascending."""
    minute = wall.hour.to_numpy() * 60 + wall.minute.to_numpy()
    days = wall.normalize().nunique()
    counts = np.bincount(minute, minlength=1440)
    return np.flatnonzero(counts * 2 >= days) if days else np.empty(0, int)


def holiday_agreement(dates: pd.DatetimeIndex, calendar: str, zone: str) -> tuple[float, int]:
    """How well days without bars match a calendar's holidays, weekends aside.

    Args:
        dates: Naive local dates of the bars.
        calendar: Code of an exchange.
        zone: Its clock.

    Returns:
        The F1 score of the two sets of days, and how many holidays the calendar has in the span.
        1.0 when neither has any.
    """
    days = pd.DatetimeIndex(dates.normalize().unique()).sort_values()
    weekdays = pd.bdate_range(days[0], days[-1]).as_unit("ns")
    sessions = pd.DatetimeIndex(schedule(calendar, days[0], days[-1], zone=zone).index).as_unit(
        "ns"
    )
    holidays = weekdays.difference(sessions)
    empty = weekdays.difference(days.as_unit("ns"))
    # A long run without bars is a hole in the data; it says nothing about holidays.
    if len(empty):
        run = np.cumsum(np.diff(weekdays.get_indexer(empty), prepend=-2) != 1)
        short = np.bincount(run)[run] <= 7
        hole = empty[~short]
        holidays, empty = holidays.difference(hole), empty[short]
    both = len(holidays.intersection(empty))
    total = len(holidays) + len(empty)
    return (2 * both / total if total else 1.0), len(holidays)
