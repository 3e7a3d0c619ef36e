"""The clock on which timestamps without an offset were written, from the trading hours.

On the right clock no bar lies in a time without trading, in any season: weekends, nights, daily
pauses. `find_clock` reads the bars on every known clock and counts, against the calendar of the
instrument,

- bars that lie wholly outside the trading hours, and times that a clock change skips,
- bars that are missing right before and after a time without trading, of both sides together; more
  than `_MOST_MISSING` are a hole in the data and say nothing.

A clock that is an hour off moves bars into such a time, and leaves bars missing at its other side.
The days on which New York and Europe change their clocks lie weeks apart, so that a file of a year
tells clocks apart that agree in one season. Missing bars never speak for a wrong clock: a shift
leaves the sum of both sides as it is, and a bar outside weighs as much as the largest such sum.

Clocks that give all bars of the file the same instants are one: nothing depends on the choice
among them, as future bars follow from these instants and the calendar alone. If several others
count alike, the file does not decide, and the caller has to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kronos.calendars.exchanges import (
    ALWAYS_OPEN,
    EXCHANGES,
    FX,
    METALS,
    WEEKDAYS,
    calendar_zone,
    check_zone,
)
from kronos.calendars.fx_week import NEW_YORK, closures
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.calendars.sessions import schedule

__all__ = [
    "BROKER_CLOCK",
    "CLOCKS",
    "COMMON_CLOCKS",
    "MARGIN",
    "ClockChoice",
    "check_clock",
    "clock_title",
    "distinct_clocks",
    "find_clock",
    "repeats",
    "to_utc",
]

BROKER_CLOCK = "New York + 7 h"
"""Clock of brokers that close their day at 17:00 New York, so that every week is five whole days.
No IANA zone does that all year."""
_BROKER_LEAD = pd.Timedelta(hours=7)
COMMON_CLOCKS = (
    *("UTC", NEW_YORK, "Europe/London", "Europe/Berlin", "Europe/Athens", BROKER_CLOCK),
    *("Asia/Tokyo", "America/Chicago", "Asia/Shanghai", "Asia/Kolkata", "Australia/Sydney"),
    *("Europe/Moscow", "America/Los_Angeles", "America/Denver", "America/Toronto"),
    *("America/Halifax", "America/Sao_Paulo", "Asia/Hong_Kong", "Asia/Singapore", "Asia/Seoul"),
    *("Asia/Dubai", "Asia/Jakarta", "Pacific/Auckland"),
)
# Etc/GMT+5 is five hours behind UTC.
_FIXED = tuple(f"Etc/GMT{hours:+d}" for hours in range(-14, 13) if hours)
CLOCKS = (*COMMON_CLOCKS, *_FIXED)
"""Every clock that is tried, the more common ones first."""

_CELL = pd.Timedelta(minutes=15)  # narrower bars are counted in cells of this width
_MOST_CELLS = 60_000  # the latest cells of a file that are counted
_MOST_MISSING = 4  # the weight of a bar outside as well
_WIDEST_OFFSET = pd.Timedelta(hours=15)
MARGIN = 4.0
"""Cost by which another clock must be worse to be ruled out."""
_MARGIN_SHARE = 0.08  # of the closures, where that is more
# Outside bars for each closure up to which a clock explains a file.
_STRAY_SHARE = 0.02
# Pauses that a file must keep before they count as the market's.
_MIN_PAUSES = 5
_DAY, _HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
_AUCTION = pd.Timedelta(minutes=30)
_EXTENDED_HOURS = (pd.Timedelta(hours=4), pd.Timedelta(hours=20))  # of New York


@dataclass(frozen=True, slots=True)
class ClockChoice:
    """The clock of a file.

    Attributes:
        clock: An IANA name or `BROKER_CLOCK`; the assumed one where the file does not decide.
        candidates: Where it does not, one name for each reading of the file that its bars allow,
            the assumed one first; empty where it does.
        has_pause: Whether the bars keep the daily pause of metals and of CME Globex.
        cost: What the reading leaves to explain; infinite where no clock explains the bars.
    """

    clock: str
    candidates: tuple[str, ...] = ()
    has_pause: bool = False
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class _Count:
    """What the reading on one clock leaves to explain.

    Attributes:
        clock: Name.
        outside: Bars where there is no trading.
        missing: Bars that are missing beside such a time.
        n_closures: Times without trading within the file.
    """

    clock: str
    outside: int
    missing: int
    n_closures: int

    @property
    def cost(self) -> int:
        return _MOST_MISSING * self.outside + self.missing

    @property
    def is_explained(self) -> bool:
        return self.outside <= _STRAY_SHARE * self.n_closures


Closures = Callable[[pd.Timestamp, pd.Timestamp], tuple[np.ndarray, np.ndarray]]


def find_clock(
    wall: pd.DatetimeIndex, *, interval: str, calendar: str, zone: str | None = None
) -> ClockChoice:
    """The clock on which naive timestamps keep the hours of a calendar.

    Dates of daily and weekly bars are no moments: nothing is to be found for them.

    Args:
        wall: (T,) sorted naive open times, at least one.
        interval: Name of the bar width.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: The market's own clock, which is assumed before others; default: the calendar's.

    Raises:
        InvalidCandles: Unknown interval or calendar.
    """
    own = zone or calendar_zone(calendar)
    clocks = tuple(dict.fromkeys((own, *CLOCKS)))
    if not is_intraday(interval):
        if (wall == wall.normalize()).all():
            return ClockChoice(own)
        counts = [_daily_count(wall, clock, calendar) for clock in clocks]
        return _decide(wall, counts)
    width = interval_width(interval)
    stamps, cell = _cells(wall, width)
    readings = {clock: _reading(stamps, clock) for clock in clocks}
    tried = []
    for closed, is_pause in _variants(calendar, cell):
        counts = _counts(readings, stamps, cell.value, closed, must_be_seen=is_pause)
        best = min(counts, key=lambda count: count.cost)
        tried.append(counts)
        if not best.is_explained or (
            is_pause and calendar != METALS and best.n_closures < _MIN_PAUSES
        ):
            continue
        found = _decide(wall, counts)
        has_pause = is_pause and best.n_closures >= _MIN_PAUSES
        return replace(found, has_pause=has_pause, cost=best.cost)
    # No clock explains the bars: every one may be right.
    everything = sorted(tried[-1], key=lambda count: count.cost)
    return replace(_ask(wall, [count.clock for count in everything]), cost=np.inf)


def to_utc(wall: pd.DatetimeIndex, clock: str) -> pd.DatetimeIndex:
    """Naive wall-clock timestamps in UTC.

    In an hour that a clock change repeats, the order of the bars decides: where their times run
    through it a second time, that is winter time. An hour that is there once is summer time. Times
    that a clock change skips move forward.

    Args:
        wall: Naive timestamps.
        clock: IANA name, or `BROKER_CLOCK` for the clock many FX brokers run.
    """
    is_summer = ~_second_runs(wall, clock)
    if clock == BROKER_CLOCK:
        wall, clock = wall - _BROKER_LEAD, NEW_YORK
    local = wall.tz_localize(check_zone(clock), ambiguous=is_summer, nonexistent="shift_forward")
    return local.tz_convert("UTC")


def repeats(wall: pd.DatetimeIndex, clock: str) -> np.ndarray:
    """Whether a clock shows each naive timestamp twice, as it is set back: (T,) bool."""
    if clock == BROKER_CLOCK:
        wall, clock = wall - _BROKER_LEAD, NEW_YORK
    check_zone(clock)
    summer, winter = (
        wall.tz_localize(clock, ambiguous=np.full(len(wall), is_summer), nonexistent="NaT")
        for is_summer in (True, False)
    )
    return np.asarray(summer.asi8 != winter.asi8)


def _second_runs(wall: pd.DatetimeIndex, clock: str) -> np.ndarray:
    """Timestamps of the second run through an hour that a clock repeats: (T,) bool."""
    rows = np.flatnonzero(repeats(wall, clock))
    second = np.zeros(len(wall), bool)
    steps = np.diff(wall[rows].as_unit("ns").asi8, prepend=np.iinfo(np.int64).min // 2)
    is_change = np.abs(steps) > _DAY.value  # the hours of two changes lie half a year apart
    n_back = np.cumsum((steps <= 0) & ~is_change)
    change = np.cumsum(is_change) - 1
    second[rows] = n_back > n_back[np.flatnonzero(is_change)][change]
    return second


def check_clock(clock: str) -> str:
    """Returns the clock if it exists.

    Raises:
        InvalidCandles: It is neither an IANA name nor `BROKER_CLOCK`.
    """
    return clock if clock == BROKER_CLOCK else check_zone(clock)


def clock_title(clock: str) -> str:
    """Name of a clock for a label."""
    if clock == BROKER_CLOCK:
        return "New York + 7 hours (broker time)"
    if clock.startswith("Etc/GMT"):
        return f"UTC{-int(clock.removeprefix('Etc/GMT')):+d}, no daylight saving"
    return clock


def _decide(wall: pd.DatetimeIndex, counts: Sequence[_Count]) -> ClockChoice:
    """The best clock, or all that are about as good."""
    ranked = sorted(counts, key=lambda count: count.cost)
    best = ranked[0]
    limit = best.cost + max(MARGIN, _MARGIN_SHARE * best.n_closures)
    if not best.is_explained:
        limit = np.inf
    return _ask(wall, [count.clock for count in ranked if count.cost <= limit])


def _ask(wall: pd.DatetimeIndex, clocks: Sequence[str]) -> ClockChoice:
    """One name for each reading; a single reading is no question."""
    names = distinct_clocks(wall, clocks)
    return ClockChoice(names[0], names if len(names) > 1 else ())


def distinct_clocks(wall: pd.DatetimeIndex, clocks: Sequence[str]) -> tuple[str, ...]:
    """The first of all clocks that give naive timestamps the same instants, in order."""
    hours = pd.DatetimeIndex(wall.floor("h").unique())
    readings: dict[bytes, str] = {}
    for clock in clocks:
        readings.setdefault(_instants(hours, clock).tobytes(), clock)
    return tuple(readings.values())


def _cells(wall: pd.DatetimeIndex, width: pd.Timedelta) -> tuple[pd.DatetimeIndex, pd.Timedelta]:
    """The latest bars, or the cells that hold narrower ones, and their width."""
    if width >= _CELL:
        return wall[-_MOST_CELLS:], width
    return pd.DatetimeIndex(wall.floor(_CELL).unique())[-_MOST_CELLS:], _CELL


def _instants(wall: pd.DatetimeIndex, clock: str) -> np.ndarray:
    """(T,) int64 nanoseconds since 1970 UTC; times that a clock change skips move forward."""
    if clock == BROKER_CLOCK:
        wall, clock = wall - _BROKER_LEAD, NEW_YORK
    if clock.startswith("Etc/GMT"):
        return wall.as_unit("ns").asi8 + int(clock.removeprefix("Etc/GMT")) * 3600 * 10**9
    local = wall.tz_localize(clock, ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC").as_unit("ns").asi8


def _reading(stamps: pd.DatetimeIndex, clock: str) -> tuple[np.ndarray, int]:
    """Instants on a clock, and how many stamps its changes skip."""
    instants = _instants(stamps, clock)
    # Times that are skipped are put on the first moment after the change.
    skipped = int((np.diff(instants) <= 0).sum())
    return instants, skipped


def _counts(
    readings: dict[str, tuple[np.ndarray, int]],
    stamps: pd.DatetimeIndex,
    cell: int,
    closed: Closures,
    *,
    must_be_seen: bool,
) -> list[_Count]:
    """Counts of every clock.

    Args:
        readings: Instants, and stamps that its changes skip, by clock.
        stamps: The naive stamps.
        cell: Width of a bar in nanoseconds.
        closed: Times without trading.
        must_be_seen: Whether bars that cover such a time count as one bar outside, although each
            of them reaches out of it; bars wider than it do not.
    """
    first = (stamps[0] - _WIDEST_OFFSET).tz_localize("UTC")
    last = (stamps[-1] + _WIDEST_OFFSET).tz_localize("UTC")
    starts, ends = closed(first, last)
    # The same closures count on every clock, or their number would decide.
    inner = (starts >= (stamps[0] + _WIDEST_OFFSET).value) & (
        ends <= (stamps[-1] - _WIDEST_OFFSET).value
    )
    found = []
    for clock, (instants, skipped) in readings.items():
        begin = np.searchsorted(instants, starts, side="left")
        end = np.searchsorted(instants, ends - cell, side="right")
        outside = int(np.maximum(end - begin, 0).sum()) + skipped
        before = instants[begin[inner] - 1] + cell
        after = instants[np.minimum(end[inner], len(instants) - 1)]
        # A bar that reaches into the closure on one side makes up for the other side, or a shift
        # by less than a bar would hide a bar that is missing.
        gaps = (starts[inner] - before) + (after - ends[inner])
        if must_be_seen:
            lengths = ends[inner] - starts[inner]
            outside += int(((after <= before) & (cell <= lengths)).sum())
        bars = gaps // cell
        # A wide bar may be a whole session: where it is missing, there is no edge to compare.
        is_edge = (bars > 0) & (bars <= _MOST_MISSING) & (cell <= _HOUR.value)
        missing = int(bars[is_edge].sum())
        found.append(_Count(clock, outside, missing, int(inner.sum())))
    return found


# Times without trading.


def _variants(calendar: str, cell: pd.Timedelta) -> list[tuple[Closures, bool]]:
    """The hours that bars of a calendar may keep, the likeliest first, and whether they pause."""
    if calendar in (ALWAYS_OPEN, WEEKDAYS):
        return [(_never, False)]
    if calendar in (FX, METALS) or _is_round_the_clock(calendar):
        week, pausing = (_week(FX), False), (_week(METALS), True)
        # Bars wider than the pause show it only through the opening on Sunday.
        is_visible = cell <= _HOUR
        return [pausing, week] if is_visible or calendar != FX else [week]
    hours = [(_nights(calendar, pd.Timedelta(0)), False), (_nights(calendar, _AUCTION), False)]
    return [*hours, (_extended_nights, False)] if calendar == "XNYS" else hours


def _is_round_the_clock(calendar: str) -> bool:
    known = EXCHANGES.get(calendar)
    return known is not None and known.open == known.close


def _never(first: pd.Timestamp, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


def _week(calendar: str) -> Closures:
    def closed(first: pd.Timestamp, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
        # Some brokers quote on holidays: their bars say nothing about the clock.
        return closures(first, last, calendar=calendar, holidays=False)

    return closed


def _nights(calendar: str, auction: pd.Timedelta) -> Closures:
    """Between the sessions of an exchange, without its auctions, and its lunch breaks."""

    def closed(first: pd.Timestamp, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
        sessions = schedule(
            calendar,
            first.tz_localize(None) - 10 * _DAY,
            last.tz_localize(None) + 10 * _DAY,
            zone="UTC",
        )
        moments = {
            name: pd.DatetimeIndex(sessions[name]).as_unit("ns")
            for name in ("open", "break_start", "break_end", "close")
        }
        has_break = moments["break_start"].notna()
        starts = np.concatenate(
            [moments["close"].asi8[:-1] + auction.value, moments["break_start"].asi8[has_break]]
        )
        ends = np.concatenate(
            [moments["open"].asi8[1:] - auction.value, moments["break_end"].asi8[has_break]]
        )
        order = np.argsort(starts, kind="stable")
        return starts[order], ends[order]

    return closed


def _extended_nights(first: pd.Timestamp, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """Between the extended hours of New York, 04:00 to 20:00, as many vendors deliver them."""
    days = pd.bdate_range(
        first.tz_localize(None).normalize() - 10 * _DAY,
        last.tz_localize(None).normalize() + 10 * _DAY,
    )
    opens, closes = (
        (days + time).tz_localize(NEW_YORK).tz_convert("UTC").as_unit("ns").asi8
        for time in _EXTENDED_HOURS
    )
    return closes[:-1], opens[1:]


# Daily and weekly bars with a time of day.


def _daily_count(wall: pd.DatetimeIndex, clock: str, calendar: str) -> _Count:
    """Bars that are not stamped with the opening or the close of their market's day."""
    instants = pd.DatetimeIndex(_instants(wall, clock), tz="UTC")
    hits = 0
    for zone, minutes in _day_stamps(calendar):
        local = instants.tz_convert(zone)
        hits = max(hits, int((local.hour * 60 + local.minute == minutes).sum()))
    return _Count(clock, len(wall) - hits, 0, len(wall))


def _day_stamps(calendar: str) -> list[tuple[str, int]]:
    """Clock and minute of the day of usual stamps of daily bars."""
    if calendar in (FX, METALS) or _is_round_the_clock(calendar):
        return [(NEW_YORK, 17 * 60), (NEW_YORK, 18 * 60), ("UTC", 0)]
    if calendar in EXCHANGES:
        hours = EXCHANGES[calendar]
        return [(hours.zone, hours.open), (hours.zone, hours.close)]
    return []
