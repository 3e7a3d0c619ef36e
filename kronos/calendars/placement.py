"""Timestamps as written in a file, placed in UTC on the clock of their market."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from kronos.calendars.clocks import BROKER_CLOCK, check_clock, to_utc
from kronos.calendars.exchanges import WEEKDAYS, calendar_title, calendar_zone, check_zone
from kronos.calendars.fx_week import NEW_YORK
from kronos.calendars.infer import CalendarChoice, infer_calendar, with_clock
from kronos.calendars.intervals import is_intraday

__all__ = ["Placement", "place_bars"]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Bars placed in time.

    Attributes:
        index: (T,) open times in UTC, in the order given.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: IANA name of the market's clock.
        clock: Clock of the naive timestamps, for display.
        reason: Reason for the calendar, in one sentence.
        clocks: Clocks of naive timestamps that the bars do not tell apart, `clock` first; empty
            where the clock is known, or the bars decide it.
    """

    index: pd.DatetimeIndex
    calendar: str
    zone: str
    clock: str
    reason: str
    clocks: tuple[str, ...] = ()


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
        clock: Clock of naive timestamps, if known: an IANA name or `clocks.BROKER_CLOCK`.
        zone: The market's clock, if known; also that of naive timestamps without `clock`. Default:
            the calendar's clock. The calendar "weekdays" has none and takes `clock`.
        calendar: Calendar, if known.

    Raises:
        InvalidCandles: Unknown interval, zone or calendar.
    """
    if clock:
        check_clock(clock)
    if zone:
        check_zone(zone)
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
    stand_in = NEW_YORK if clock == BROKER_CLOCK else clock
    market = zone or (choice.zone if has_own_clock else stand_in or choice.zone)
    are_dates = not is_intraday(interval) and bool((written == written.normalize()).all())
    if are_dates:
        return Placement(
            to_utc(written, market), choice.calendar, market, f"{market} (dates)", choice.reason
        )
    if not is_naive:
        return Placement(
            index.tz_convert("UTC"), choice.calendar, market, "as written", choice.reason
        )
    open_clocks = () if clock else choice.clocks
    clock = clock or choice.clock
    moments = to_utc(index, clock) if index.tz is None else index
    return Placement(moments, choice.calendar, market, clock, choice.reason, open_clocks)


def _chosen(index: pd.DatetimeIndex, interval: str, calendar: str) -> CalendarChoice:
    """A given calendar, and the clock on which naive bars fit it."""
    zone = calendar_zone(calendar)
    text = f"Calendar: {calendar_title(calendar)}; as chosen."
    choice = CalendarChoice(calendar, zone, zone, text)
    return choice if index.tz is not None else with_clock(choice, index, interval, is_certain=True)
