"""The calendar of bars: from the symbol, checked against their weekends, hours and holidays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from kronos.calendars.clocks import (
    MARGIN,
    ClockChoice,
    distinct_clocks,
    find_clock,
    to_utc,
)
from kronos.calendars.exchanges import (
    ALWAYS_OPEN,
    EXCHANGES,
    FX,
    METALS,
    WEEKDAYS,
    Exchange,
    calendar_title,
    calendar_zone,
)
from kronos.calendars.fx_week import NEW_YORK
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.calendars.sessions import schedule
from kronos.calendars.symbols import calendar_of_symbol

__all__ = ["CalendarChoice", "HoursMatch", "infer_calendar", "match_hours", "with_clock"]

_DEFAULT = "XNYS"
# Tried in turn when New York's holidays do not fit daily bars.
_ALTERNATIVES = ("XLON", "XETR", "XSHG", "XHKG", "XTKS", "XBOM", "XASX", "XTSE")
# F1 of days without bars against holidays: to choose another exchange at once, to choose it after
# trying all, to stay with the first guess, and below which a guess is refuted.
_SURE, _CLEAR, _GOOD, _POOR = 0.9, 0.75, 0.6, 0.3
# Share of bars on Saturdays from which a market is 24/7 (a seventh is usual; night sessions of
# futures reach a twentieth), and on Sundays from which Sunday evenings are open, for intraday and
# daily bars.
_WEEKEND_SHARE = (0.10, 0.005, 0.05)
# New York bars with pre-market and after-hours trading, as many vendors deliver them.
_EXTENDED = Exchange("New York, extended hours", "America/New_York", 240, 1200)
_SLOW = ("XKRX",)  # takes many seconds to build: only a symbol leads to it
_TOLERANCE = 45.0  # largest misfit in minutes


@dataclass(frozen=True, slots=True)
class CalendarChoice:
    """A calendar and the reason for it.

    Attributes:
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: IANA name of the clock of calendar features.
        clock: For naive timestamps, the clock they were written on: an IANA name or
            `clocks.BROKER_CLOCK`.
        reason: One sentence for display.
        clocks: For naive timestamps, the clocks that explain them equally well and give other
            instants, the assumed one first; empty where the bars decide.
    """

    calendar: str
    zone: str
    clock: str
    reason: str
    clocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HoursMatch:
    """An exchange whose hours fit the bars, and the clock of naive bars."""

    calendar: str
    clock: str
    misfit: float


def infer_calendar(
    index: pd.DatetimeIndex, *, interval: str, symbol: str | None = None
) -> CalendarChoice:
    """Calendar of bars.

    Bars on Saturdays mean 24/7. Bars on Sundays only mean the FX week (or CME futures, where
    the hour before 17:00 Chicago is missing). Otherwise the symbol decides if the bars do not
    contradict it, then the hours and holidays of the bars. Daily weekday bars without any sign of
    another exchange count as New York's; bars that fit no calendar's holidays get "weekdays".

    Args:
        index: Sorted open times; naive where their clock is unknown.
        interval: Name of the bar width.
        symbol: Ticker, if known.
    """
    choice = _calendar(index, interval, symbol)
    if index.tz is not None:
        return choice
    is_named = symbol is not None and calendar_of_symbol(symbol) is not None
    return with_clock(choice, index, interval, is_certain=is_named)


def with_clock(
    choice: CalendarChoice, wall: pd.DatetimeIndex, interval: str, *, is_certain: bool
) -> CalendarChoice:
    """The calendar of naive bars with the clock on which they keep its hours.

    Args:
        choice: Calendar, and the clock that found it.
        wall: Sorted naive open times.
        interval: Name of the bar width.
        is_certain: Whether the calendar is known, and not guessed from the bars.
    """
    found = find_clock(wall, interval=interval, calendar=choice.calendar, zone=choice.zone)
    clocks = found.candidates
    if not is_intraday(interval):
        return replace(choice, clock=found.clock, clocks=clocks)
    if choice.calendar == FX and not is_certain and found.has_pause:
        why = "bars from Sunday evening with a daily pause at 16:00 Chicago"
        choice = _choice("CMES", why)
    if not is_certain and choice.calendar in EXCHANGES:
        readings = (found.clock, *clocks, *_other_markets(wall, interval, choice.calendar, found))
        distinct = distinct_clocks(wall, readings)
        clocks = distinct if len(distinct) > 1 else ()
    text = choice.reason
    if choice.calendar in (FX, METALS) and not clocks:
        text = f"{text.removesuffix('.')}; clock of the file: {found.clock}."
    return replace(choice, clock=found.clock, clocks=clocks, reason=text)


def _other_markets(
    wall: pd.DatetimeIndex, interval: str, calendar: str, found: ClockChoice
) -> list[str]:
    """Clocks on which bars keep the hours of another exchange than the one they were taken for.

    Tried are the own clock of each exchange in the latest two weeks, and every clock for New York,
    whose shares have tickers without a suffix.
    """
    own = EXCHANGES[calendar]
    clocks: list[str] = []
    width = interval_width(interval)
    if calendar != _DEFAULT and (own.pause is None or width > pd.Timedelta(hours=1)):
        second = find_clock(wall, interval=interval, calendar=_DEFAULT)
        if second.cost <= found.cost + MARGIN:
            clocks += second.candidates or (second.clock,)
    recent = wall[wall > wall[-1] - pd.Timedelta(days=14)]
    minutes = int(width.total_seconds() // 60)
    for code, hours in EXCHANGES.items():
        if hours.open != hours.close and code not in (*_SLOW, calendar):
            moments = _local_stamps(to_utc(recent, hours.zone), hours.zone)
            if _hours_misfit(moments, minutes, hours) < 1.0:
                clocks.append(hours.zone)
    return clocks


def _calendar(index: pd.DatetimeIndex, interval: str, symbol: str | None) -> CalendarChoice:
    """Calendar of bars, and for naive ones the clock on which their hours fit it."""
    width = interval_width(interval)
    hint = calendar_of_symbol(symbol) if symbol else None
    if interval == "1w":
        return _weekly(hint)
    wall = index if is_intraday(interval) else _daily_dates(index)
    saturday, sunday = _weekday_shares(wall)[[5, 6]]
    if saturday >= _WEEKEND_SHARE[0]:
        return _choice(ALWAYS_OPEN, f"the bars run through weekends ({saturday:.0%} on Saturdays)")
    if hint is not None and hint[0] in (FX, METALS):
        return _choice(*hint)
    if hint is not None and (len(wall) < 10 or hint[0] == ALWAYS_OPEN):
        if hint[0] == ALWAYS_OPEN and _spans_saturday(index):
            return _choice(WEEKDAYS, f"{hint[1]}, but there are no weekend bars")
        return _choice(*hint)
    has_sundays = sunday >= _WEEKEND_SHARE[1 if is_intraday(interval) else 2]
    if has_sundays and _is_round_the_clock(index, width, interval):
        if sunday >= _WEEKEND_SHARE[0] and is_intraday(interval) and not _spans_saturday(index):
            return _choice(ALWAYS_OPEN, "the bars run through a whole Sunday")
        if is_intraday(interval) and _has_daily_pause(index, width):
            return _choice("CMES", "bars from Sunday evening with a daily pause at 16:00 Chicago")
        return _choice(FX, "the bars run round the clock from Sunday evening to Friday")
    if is_intraday(interval):
        return _intraday(index, interval, hint)
    return _daily(wall, hint)


def match_hours(index: pd.DatetimeIndex, width: pd.Timedelta) -> list[HoursMatch]:
    """Exchanges whose regular hours fit intraday weekday bars, the best first.

    Args:
        index: Bar open times. Naive stamps are tried as the exchange's clock and as UTC.
        width: Width of a bar.
    """
    recent = index[-20_000:]
    minutes = int(width.total_seconds() // 60)
    aware = recent if recent.tz is not None else recent.tz_localize("UTC")
    candidates = [*EXCHANGES.items(), ("XNYS", _EXTENDED)]
    matches: list[HoursMatch] = []
    for code, hours in candidates:
        if hours.open == hours.close or code in _SLOW:
            continue  # other evidence decides on markets around the clock
        readings = {"UTC": _local_stamps(aware, hours.zone)}
        if recent.tz is None:
            readings = {hours.zone: recent, **readings}
        for clock, wall in readings.items():
            misfit = _hours_misfit(wall, minutes, hours)
            if misfit <= _TOLERANCE:
                matches.append(HoursMatch(code, clock, misfit))
    return sorted(matches, key=lambda match: match.misfit)


def _choice(calendar: str, reason: str, clock: str | None = None) -> CalendarChoice:
    zone = calendar_zone(calendar)
    text = f"Calendar: {calendar_title(calendar)}; {reason}."
    return CalendarChoice(calendar, zone, clock or zone, text)


def _weekly(hint: tuple[str, str] | None) -> CalendarChoice:
    if hint is not None:
        return _choice(*hint)
    return _choice(_DEFAULT, "assumed, weekly bars do not show it")


def _daily_dates(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Dates of daily bars; of aware stamps in the first zone where all are midnights."""
    if index.tz is None:
        return index.normalize()
    for zone in ("UTC", *(calendar_zone(code) for code in (_DEFAULT, *_ALTERNATIVES))):
        wall = _local_stamps(index, zone)
        if (wall == wall.normalize()).all():
            return wall
    return _local_stamps(index, "UTC").normalize()


def _spans_saturday(index: pd.DatetimeIndex) -> bool:
    """Whether a whole Saturday lies between the first and the last bar."""
    days_to_saturday = (5 - index[0].day_of_week) % 7 or 7
    saturday = index[0].normalize() + pd.Timedelta(days=days_to_saturday)
    return bool(index[-1] >= saturday + pd.Timedelta(days=1))


def _is_round_the_clock(index: pd.DatetimeIndex, width: pd.Timedelta, interval: str) -> bool:
    if not is_intraday(interval):
        return True
    per_day = pd.Timedelta(days=1) / max(width, pd.Timedelta(hours=1))
    return index.hour.nunique() >= 0.9 * per_day


def _has_daily_pause(index: pd.DatetimeIndex, width: pd.Timedelta) -> bool:
    """Whether the hour from 17:00 New York is almost always empty."""
    if width > pd.Timedelta(hours=1) or index.tz is None:
        return False
    hours = index.tz_convert(NEW_YORK).hour
    return bool((hours == 17).sum() < 0.1 * (hours == 15).sum())


def _intraday(
    index: pd.DatetimeIndex, interval: str, hint: tuple[str, str] | None
) -> CalendarChoice:
    width = interval_width(interval)
    if hint is not None:
        calendar, reason = hint
        zone = calendar_zone(calendar)
        if index.tz is not None:
            return _checked(_dates(index, zone, zone), calendar, reason, zone)
        clock = find_clock(index, interval=interval, calendar=calendar).clock
        dates = to_utc(index, clock).tz_convert(zone).tz_localize(None).normalize()
        return _checked(dates, calendar, reason, clock)
    # Several exchanges share hours: the holidays decide.
    for match in match_hours(index, width)[:4]:
        zone = calendar_zone(match.calendar)
        dates = _dates(index, match.clock, zone)
        choice = _checked(dates, match.calendar, "the bars keep its hours", match.clock)
        if choice.calendar != WEEKDAYS:
            return choice
    return _choice(WEEKDAYS, "the bars fit hours and holidays of no exchange that is known here")


def _dates(index: pd.DatetimeIndex, clock: str, zone: str) -> pd.DatetimeIndex:
    if index.tz is None and clock == zone:
        return index.normalize()
    aware = index if index.tz is not None else index.tz_localize("UTC")
    return _local_stamps(aware, zone).normalize()


def _daily(dates: pd.DatetimeIndex, hint: tuple[str, str] | None) -> CalendarChoice:
    if hint is not None:
        return _checked(dates, hint[0], hint[1], None)
    score, n_holidays = _holiday_agreement(dates, _DEFAULT, calendar_zone(_DEFAULT))
    if score >= _GOOD or (n_holidays < 2 and score >= _POOR):
        seen = "assumed, and" if n_holidays else "assumed:"
        return _choice(_DEFAULT, f"{seen} the days without bars fit {n_holidays} of its holidays")
    best, best_score = _DEFAULT, score
    for code in _ALTERNATIVES:
        other, _ = _holiday_agreement(dates, code, calendar_zone(code))
        if other > best_score:
            best, best_score = code, other
        if other >= _SURE:
            break
    if best != _DEFAULT and best_score >= _CLEAR:
        return _choice(best, "the days without bars fit its holidays")
    if score >= _POOR:
        return _choice(_DEFAULT, "assumed; the days without bars fit its holidays in part")
    return _choice(WEEKDAYS, "the days without bars fit the holidays of no known exchange")


def _checked(
    dates: pd.DatetimeIndex, calendar: str, reason: str, clock: str | None
) -> CalendarChoice:
    """The calendar, or "weekdays" where its holidays contradict the bars."""
    score, n_holidays = _holiday_agreement(dates, calendar, calendar_zone(calendar))
    if n_holidays >= 3 and score < _POOR:
        why = f"{reason}, but the bars do not keep the holidays of {calendar}"
        return CalendarChoice(
            WEEKDAYS,
            calendar_zone(calendar),
            clock or calendar_zone(calendar),
            f"Calendar: {calendar_title(WEEKDAYS)}; {why}.",
        )
    return _choice(calendar, reason, clock)


def _weekday_shares(wall: pd.DatetimeIndex) -> np.ndarray:
    """Share of the bars on each weekday, Monday first: (7,)."""
    counts = np.bincount(wall.day_of_week.to_numpy(), minlength=7)
    return counts / max(1, len(wall))


def _local_stamps(index: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Naive wall clock of timestamps; naive ones stay unchanged."""
    if index.tz is None:
        return index
    return index.tz_convert(zone).tz_localize(None)


def _hours_misfit(wall: pd.DatetimeIndex, width: int, hours: Exchange) -> float:
    """Minutes by which the usual first bar, last bar and lunch break miss the hours."""
    slots = _usual_slots(wall)
    if not slots.size:
        return np.inf

    def ends(shift: int) -> float:
        first, last = slots[0] - shift, slots[-1] - shift
        # The first bar contains the opening, the last one opens before the close.
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


def _holiday_agreement(dates: pd.DatetimeIndex, calendar: str, zone: str) -> tuple[float, int]:
    """Agreement of the days without bars with a calendar's holidays, without weekends.

    Args:
        dates: Naive local dates of the bars.
        calendar: Code of an exchange.
        zone: Its clock.

    Returns:
        The F1 score of the two sets of days, 1.0 when both are empty, and the number of holidays of
        the calendar in the span.
    """
    days = pd.DatetimeIndex(dates.normalize().unique()).sort_values()
    weekdays = pd.bdate_range(days[0], days[-1]).as_unit("ns")
    sessions = pd.DatetimeIndex(schedule(calendar, days[0], days[-1], zone=zone).index).as_unit(
        "ns"
    )
    holidays = weekdays.difference(sessions)
    empty = weekdays.difference(days.as_unit("ns"))
    # A long run without bars is a gap in the data, no evidence of holidays.
    if len(empty):
        run = np.cumsum(np.diff(weekdays.get_indexer(empty), prepend=-2) != 1)
        short = np.bincount(run)[run] <= 7
        hole = empty[~short]
        holidays, empty = holidays.difference(hole), empty[short]
    both = len(holidays.intersection(empty))
    total = len(holidays) + len(empty)
    return (2 * both / total if total else 1.0), len(holidays)
