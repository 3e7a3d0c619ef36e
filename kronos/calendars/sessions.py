"""Trading sessions of exchanges, past and future.

Most calendars are rules and hold for any year. Some (Shanghai, Mumbai) are lists that end with the
last year that the exchange has announced: outside the recorded dates every weekday counts as a
session with regular hours, and `holidays_known_until` lets callers say so.
"""

from __future__ import annotations

import pandas as pd

from kronos.calendars.exchanges import WEEKDAYS
from kronos.calendars.records import COLUMNS, Records, records

__all__ = ["holidays_known_until", "schedule"]

_ONE_DAY = pd.Timedelta(days=1)


def schedule(calendar: str, first: pd.Timestamp, last: pd.Timestamp, *, zone: str) -> pd.DataFrame:
    """Sessions of a calendar within two dates, both included.

    Args:
        calendar: Code of exchange_calendars, or "weekdays".
        first: Naive date.
        last: Naive date.
        zone: Clock of "weekdays" sessions, which last from midnight to midnight; exchanges have
            their own.

    Returns:
        One row for each session, indexed by its naive date, with `COLUMNS` in UTC: open,
        break_start, break_end and close (breaks NaT where there are none).

    Raises:
        InvalidCandles: No such calendar.
    """
    first, last = first.normalize(), last.normalize()
    if calendar == WEEKDAYS:
        return _weekdays(first, last, zone)
    built = records(calendar, _decades(first, last))
    parts = [built.sessions.loc[first:last]]
    if first < built.first:
        parts.insert(0, _regular(built, 0, first, min(last, built.first - _ONE_DAY)))
    if last > built.last:
        parts.append(_regular(built, -1, max(first, built.last + _ONE_DAY), last))
    found = [part for part in parts if len(part)] or parts[:1]
    return found[0] if len(found) == 1 else pd.concat(found)


def holidays_known_until(calendar: str) -> pd.Timestamp | None:
    """Last date for which holidays are recorded; None where rules give them for any year."""
    if calendar == WEEKDAYS:
        return None
    return records(calendar).until


def _decades(first: pd.Timestamp, last: pd.Timestamp) -> tuple[int, int]:
    """First and last year of the decades of two dates, so that the cache serves most requests."""
    return first.year // 10 * 10, last.year // 10 * 10 + 9


def _weekdays(first: pd.Timestamp, last: pd.Timestamp, zone: str) -> pd.DataFrame:
    """Monday to Friday, each from local midnight to local midnight."""
    days = pd.bdate_range(first, last)
    return _sessions(days, zone, pd.Timedelta(0), _ONE_DAY, None)


def _regular(built: Records, nearest: int, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    """Every weekday with the usual hours at one end (0 or -1) of the records."""
    sample = built.sessions.iloc[-60:] if nearest else built.sessions.iloc[:60]
    clock = sample.apply(lambda column: column.dt.tz_convert(built.zone).dt.tz_localize(None))
    offsets = clock.sub(pd.Series(sample.index, sample.index), axis=0)
    usual = {name: offsets[name].dropna().mode() for name in COLUMNS}
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
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=days)
