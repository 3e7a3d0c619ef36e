"""Timestamps as written in a file, placed in UTC on the clock of their market."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from kronos.calendars.exchanges import FX, WEEKDAYS, calendar_title, calendar_zone, check_zone
from kronos.calendars.fx_week import BROKER_CLOCK, best_fx_clock, from_broker_clock
from kronos.calendars.infer import CalendarChoice, infer_calendar, match_hours
from kronos.calendars.intervals import interval_width, is_intraday

__all__ = ["Placement", "place_bars", "to_utc"]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Bars placed in time.

    Attributes:
        index: (T,) open times in UTC, in the order given.
        calendar: "24/7", "fx", "weekdays" or an exchange code.
        zone: IANA name of the market's clock.
        clock: Clock of the naive timestamps, for display.
        reason: Reason for the calendar, in one sentence.
    """

    index: pd.DatetimeIndex
    calendar: str
    zone: str
    clock: str
    reason: str


def place_bars(
    index: pd.DatetimeIndex,
    *,
    interval: str,
    written: pd.DatetimeIndex | None = None,
    symbol: str | None = None,
    clock: str | None = None,
    zone: str | None = None,
    calendar: str | None = None,
) -> Placement:
    """Find calendar and clock of bars, and convert their timestamps to UTC.

    Daily and weekly bars written as dates (midnights) are labels, not moments: they become midnight
    of that date on the market's clock, even with a written offset.

    Args:
        index: Sorted open times; naive where their clock is unknown.
        interval: Name of the bar width.
        written: For aware timestamps, the naive wall clock as written; default: in the zone of
            `index`.
        symbol: Ticker, if known.
        clock: IANA name of the clock of naive timestamps, if known.
        zone: The market's clock, if known; also that of naive timestamps without `clock`. Default:
            the calendar's clock. The calendar "weekdays" has none and takes `clock`.
        calendar: Calendar, if known.

    Raises:
        InvalidCandles: Unknown interval, zone or calendar.
    """
    for name in filter(None, (clock, zone)):
        check_zone(name)
    if written is None:
        written = index if index.tz is None else index.tz_localize(None)
    clock = clock or zone
    is_naive = index.tz is None
    if is_naive and clock and is_intraday(interval):
        # A known clock makes them moments, so that no other clock is tried for the calendar.
        index = to_utc(index, clock)
    if calendar is None:
        choice = infer_calendar(index, interval=interval, symbol=symbol)
    else:
        choice = _chosen(index, interval, calendar)
    has_own_clock = choice.calendar != WEEKDAYS or choice.zone != calendar_zone(WEEKDAYS)
    market = zone or (choice.zone if has_own_clock else clock or choice.zone)
    are_dates = not is_intraday(interval) and bool((written == written.normalize()).all())
    if are_dates:
        return Placement(
            to_utc(written, market), choice.calendar, market, f"{market} (dates)", choice.reason
        )
    if not is_naive:
        return Placement(
            index.tz_convert("UTC"), choice.calendar, market, "as written", choice.reason
        )
    clock = clock or choice.clock
    moments = to_utc(index, clock) if index.tz is None else index
    return Placement(moments, choice.calendar, market, clock, choice.reason)


def to_utc(wall: pd.DatetimeIndex, clock: str) -> pd.DatetimeIndex:
    """Naive wall-clock timestamps in UTC.

    In an hour that a clock change repeats, the order of the bars decides; where it appears only
    once, it is summer time. Times that a clock change skips move forward.

    Args:
        wall: Naive timestamps.
        clock: IANA name, or `BROKER_CLOCK` for the clock many FX brokers run.
    """
    if clock == BROKER_CLOCK:
        return from_broker_clock(wall)
    check_zone(clock)
    try:
        local = wall.tz_localize(clock, ambiguous="infer", nonexistent="shift_forward")
    except ValueError:  # the repeated hour appears once only, or out of order
        local = wall.tz_localize(clock, ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC")


def _chosen(index: pd.DatetimeIndex, interval: str, calendar: str) -> CalendarChoice:
    """A given calendar, and the clock on which naive bars fit it."""
    zone = clock = calendar_zone(calendar)
    if index.tz is None and is_intraday(interval):
        width = interval_width(interval)
        if calendar == FX:
            clock = best_fx_clock(index, width)[0]
        elif found := match_hours(index, width, only=calendar):
            clock = found[0].clock
    return CalendarChoice(
        calendar, zone, clock, f"Calendar: {calendar_title(calendar)}; as chosen."
    )
