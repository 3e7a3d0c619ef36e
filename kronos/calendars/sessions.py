"""Trading sessions of exchanges, past and future, from the exchange_calendars library.

The library takes a second to import and up to several seconds to build one calendar, so it is
imported on first use and each calendar is built once per process.

How far ahead holidays are known differs. Most calendars are rules and hold for any year. Some
(Shanghai, Mumbai) are lists that end with the last year the exchange has announced: outside
the recorded dates every weekday is taken to be a session with regular hours, and
`holidays_known_until` lets callers say so.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from kronos.calendars.exchanges import WEEKDAYS
from kronos.errors import InvalidCandles

__all__ = ["exchange_zone", "holidays_known_until", "schedule"]

_COLUMNS = ["open", "break_start", "break_end", "close"]
_FIRST_YEAR = 1990
_YEARS_AHEAD = 3
_ONE_DAY = pd.Timedelta(days=1)
# The library keeps built calendars in a plain dictionary, and building takes seconds: one
# thread builds, the others wait for it.
_BUILDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Calendar:
    sessions: pd.DataFrame
    zone: str
    until: pd.Timestamp | None  # last date with recorded holidays; None where rules give any


def schedule(calendar: str, first: pd.Timestamp, last: pd.Timestamp, *, zone: str) -> pd.DataFrame:
    """Sessions of a calendar within two dates, both included.

    Args:
        calendar: Code of exchange_calendars, or "weekdays".
        first: Naive date.
        last: Naive date.
        zone: Clock of the midnights between which "weekdays" sessions last; exchanges have
            their own.

    Returns:
        One row a session, indexed by its naive date; columns open, break_start, break_end and
        close are UTC timestamps (breaks NaT where there are none).

    Raises:
        InvalidCandles: No such calendar.
    """
    first, last = first.normalize(), last.normalize()
    if calendar == WEEKDAYS:
        return _weekdays(first, last, zone)
    built = _build(calendar, *_years(first, last))
    start, end = built.sessions.index[0], built.sessions.index[-1]
    if built.until is None or built.until > end:
        # The recorded range may close with holidays; they are not sessions to be filled in.
        end = built.until or pd.Timestamp(end.year, 12, 31)
    parts = [built.sessions.loc[first:last]]
    if first < start:
        parts.insert(0, _regular(built, 0, first, min(last, start - _ONE_DAY)))
    if last > end:
        parts.append(_regular(built, -1, max(first, end + _ONE_DAY), last))
    return pd.concat([part for part in parts if len(part)] or parts[:1])


def holidays_known_until(calendar: str) -> pd.Timestamp | None:
    """Last date for which holidays are recorded; None where rules give them for any year."""
    if calendar == WEEKDAYS:
        return None
    today = pd.Timestamp.now().normalize()
    return _build(calendar, *_years(today, today)).until


def exchange_zone(calendar: str) -> str:
    """IANA name of the clock of an exchange.

    Raises:
        InvalidCandles: No such calendar.
    """
    today = pd.Timestamp.now().normalize()
    return _build(calendar, *_years(today, today)).zone


def _years(first: pd.Timestamp, last: pd.Timestamp) -> tuple[int, int]:
    """Years to build: wide and round, so that one calendar serves nearly every request."""
    end = pd.Timestamp.now().year + _YEARS_AHEAD
    return min(_FIRST_YEAR, first.year // 10 * 10), max(end, (last.year // 10 + 1) * 10 - 1)


def _build(calendar: str, first_year: int, last_year: int) -> _Calendar:
    with _BUILDING:
        return _build_once(calendar, first_year, last_year)


@lru_cache(maxsize=64)
def _build_once(calendar: str, first_year: int, last_year: int) -> _Calendar:
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    start, end = f"{first_year}-01-01", f"{last_year}-12-31"
    # A calendar refuses dates before or after its records: then it chooses that end itself.
    failure: Exception | None = None
    for bounds in ({"start": start, "end": end}, {"end": end}, {"start": start}, {}):
        try:
            built = exchange_calendars.get_calendar(calendar, **bounds)
        except InvalidCalendarName as exc:
            raise InvalidCandles(
                f"Unknown calendar {calendar!r}; give 24/7, fx, weekdays or an exchange code "
                "such as XNYS, XLON or XTKS."
            ) from exc
        except (ValueError, NotImplementedError) as exc:
            failure = exc
            continue
        until = None if "end" in bounds else (built.bound_max() or built.last_session)
        return _Calendar(built.schedule[_COLUMNS], str(built.tz), until)
    raise InvalidCandles(
        f"The calendar {calendar!r} cannot be built by the installed exchange_calendars "
        f"({failure}); choose another calendar, or weekdays."
    ) from failure


def _weekdays(first: pd.Timestamp, last: pd.Timestamp, zone: str) -> pd.DataFrame:
    """Monday to Friday, each from local midnight to local midnight."""
    days = pd.bdate_range(first, last)
    return _sessions(days, zone, pd.Timedelta(0), _ONE_DAY, None)


def _regular(
    built: _Calendar, nearest: int, first: pd.Timestamp, last: pd.Timestamp
) -> pd.DataFrame:
    """Every weekday with the hours that are usual at one end (0 or -1) of the records."""
    sample = built.sessions.iloc[-60:] if nearest else built.sessions.iloc[:60]
    clock = sample.apply(lambda column: column.dt.tz_convert(built.zone).dt.tz_localize(None))
    offsets = clock.sub(pd.Series(sample.index, sample.index), axis=0)
    usual = {name: offsets[name].dropna().mode() for name in _COLUMNS}
    pause = None
    if len(usual["break_start"]):
        pause = (usual["break_start"].iloc[0], usual["break_end"].iloc[0])
    days = pd.bdate_range(first, last)
    return _sessions(days, built.zone, usual["open"].iloc[0], usual["close"].iloc[0], pause)


def _sessions(
    days: pd.DatetimeIndex,
    zone: str,
    opens: pd.Timedelta,
    closes: pd.Timedelta,
    pause: tuple[pd.Timedelta, pd.Timedelta] | None,
) -> pd.DataFrame:
    def at(offset: pd.Timedelta) -> pd.DatetimeIndex:
        wall = (days + offset).as_unit("ns")
        local = wall.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
        return local.tz_convert("UTC")

    none = pd.DatetimeIndex([pd.NaT] * len(days), tz="UTC").as_unit("ns")
    breaks = (at(pause[0]), at(pause[1])) if pause else (none, none)
    columns = (at(opens), *breaks, at(closes))
    return pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)), index=days)
