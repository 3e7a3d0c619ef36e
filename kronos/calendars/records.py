"""Recorded sessions of one exchange, from the exchange_calendars library.

The library takes a fraction of a second to import, so it is imported on first use. Its calendars
compute every holiday from 1970 to 2200, several times over; here only those of the requested years
are computed, once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import pandas as pd
from pandas.tseries.holiday import AbstractHolidayCalendar

from kronos.errors import InvalidCandles

__all__ = ["COLUMNS", "Records", "records"]

COLUMNS = ["open", "break_start", "break_end", "close"]
_ONE_YEAR = pd.DateOffset(years=1)
# Building is slow, and the widest span so far stays in memory: one thread builds, others wait.
_BUILDING = threading.Lock()
_BUILT: dict[str, Records] = {}


@dataclass(frozen=True, slots=True)
class Records:
    """Sessions of an exchange over the requested years, as far as its holidays are recorded.

    Attributes:
        sessions: One row for each session, indexed by its naive date, with `COLUMNS` in UTC (breaks
            NaT where there are none).
        zone: IANA name of the exchange's clock.
        first: First date covered: a date from here on without a row is no session.
        last: Last date covered.
        until: Last date with recorded holidays, which may lie after `last`; None where rules
            give them for any year.
        years: First and last requested year.
    """

    sessions: pd.DataFrame
    zone: str
    first: pd.Timestamp
    last: pd.Timestamp
    until: pd.Timestamp | None
    years: tuple[int, int]


def records(calendar: str, years: tuple[int, int] | None = None) -> Records:
    """Records of an exchange over some years, as far as recorded.

    They are cached; a request for further years widens them.

    Args:
        calendar: Code of exchange_calendars.
        years: First and last year; None takes the cached records.

    Raises:
        InvalidCandles: No such calendar.
    """
    with _BUILDING:
        cached = _BUILT.get(calendar)
        if cached is None:
            this_year = pd.Timestamp.now().year
            years = years or (this_year, this_year)
        elif years is None or (cached.years[0] <= years[0] and years[1] <= cached.years[1]):
            return cached
        else:
            years = min(years[0], cached.years[0]), max(years[1], cached.years[1])
        built = _BUILT[calendar] = _build(calendar, years)
        return built


def _build(calendar: str, years: tuple[int, int]) -> Records:
    kind = _calendar_class(calendar)
    start, end = _recorded_span(kind, years)
    bounded = _bounded(kind, start - _ONE_YEAR, end + _ONE_YEAR)
    # A calendar may refuse dates within its own bounds: then it chooses that end itself.
    attempts: tuple[tuple[Any, dict[str, pd.Timestamp]], ...] = (
        (bounded, {"start": start, "end": end}),
        (kind, {"end": end}),
        (kind, {"start": start}),
        (kind, {}),
    )
    failure: Exception | None = None
    for factory, bounds in attempts:
        try:
            built = factory(**bounds)
        except (ValueError, NotImplementedError) as exc:
            failure = exc
            continue
        last = bounds.get("end", built.last_session)
        return Records(
            sessions=built.schedule[COLUMNS],
            zone=str(built.tz),
            first=bounds.get("start", built.first_session),
            last=last,
            until=built.bound_max() or (None if "end" in bounds else last),
            years=years,
        )
    raise InvalidCandles(
        f"The calendar {calendar!r} cannot be built by the installed exchange_calendars "
        f"({failure}); choose another calendar, or weekdays."
    ) from failure


def _recorded_span(kind: Any, years: tuple[int, int]) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The part of some years with records, or the nearest recorded year.

    Regular hours before or after the records follow from that year.
    """
    start, end = pd.Timestamp(years[0], 1, 1), pd.Timestamp(years[1], 12, 31)
    earliest, latest = kind.bound_min(), kind.bound_max()
    if latest is not None:
        end = min(end, latest)
        start = min(start, latest - _ONE_YEAR)
    if earliest is not None:
        start = max(start, earliest)
        end = max(end, earliest + _ONE_YEAR)
    return start, end


def _calendar_class(calendar: str) -> Any:
    """The library's class of a calendar.

    Raises:
        InvalidCandles: No such calendar.
    """
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    try:
        code = exchange_calendars.resolve_alias(calendar)
    except InvalidCalendarName as exc:
        raise InvalidCandles(
            f"Unknown calendar {calendar!r}; give 24/7, fx, metals, weekdays or an exchange code "
            "such as XNYS, XLON or XTKS."
        ) from exc
    try:
        module = import_module(f"exchange_calendars.exchange_calendar_{code.lower()}")
        return getattr(module, f"{code}ExchangeCalendar")
    except (ImportError, AttributeError):
        # A few calendars live elsewhere, or were registered by the user.
        return type(exchange_calendars.get_calendar(code))


def _bounded(kind: Any, first: pd.Timestamp, last: pd.Timestamp) -> Any:
    """A calendar class that computes its regular holidays within two dates only."""

    class Bounded(kind):
        @cached_property
        def regular_holidays(self) -> Any:
            holidays = super().regular_holidays
            # A calendar with its own computation stays unchanged.
            computation = getattr(type(holidays), "holidays", None)
            follows_rules = computation is AbstractHolidayCalendar.holidays
            return _HolidaysWithin(holidays, first, last) if follows_rules else holidays

    return Bounded


class _HolidaysWithin(AbstractHolidayCalendar):
    """The holidays of another calendar, by default those within two dates."""

    def __init__(
        self, calendar: AbstractHolidayCalendar, first: pd.Timestamp, last: pd.Timestamp
    ) -> None:
        super().__init__(calendar.name, calendar.rules)
        self._first, self._last = first, last

    def holidays(self, start: Any = None, end: Any = None, return_name: bool = False) -> Any:
        start = self._first if start is None else start
        end = self._last if end is None else end
        return super().holidays(start, end, return_name)  # type: ignore[call-overload]
