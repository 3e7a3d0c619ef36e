"""Open times of the next bars."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.calendars.exchanges import ALWAYS_OPEN, FX, METALS, ROUND_THE_CLOCK, check_zone
from kronos.calendars.fx_week import NEW_YORK, fx_days, is_fx_open, next_fx_bars
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.calendars.sessions import holidays_known_until, schedule
from kronos.errors import InvalidCandles, InvalidRequest

__all__ = ["MAX_HORIZON", "calendar_note", "future_timestamps"]

MAX_HORIZON = 10_000
_DAY = pd.Timedelta(days=1)
_RECENT_SESSIONS = 40
_RECENT_STAMPS = 60


def future_timestamps(
    last: pd.DatetimeIndex | pd.Timestamp, n: int, *, interval: str, calendar: str, zone: str
) -> pd.DatetimeIndex:
    """Open times of the next n bars.

    The pattern of the bars continues: at the times of day, counted from the session's opening, of
    recent sessions, so that bars stamped with their end, bars before the opening and lunch breaks
    stay the same. Sessions, holidays and early closes are the calendar's; no bar follows an early
    close. Beyond the recorded holidays of an exchange, every weekday counts as a session
    (`calendar_note` says so).

    Args:
        last: Open times so far (more of them show more of the pattern), or the last one alone;
            aware; the last one is the origin.
        n: Number of bars, 1 to 10,000.
        interval: Name of the bar width.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: Clock of days and weeks.

    Returns:
        (n,) strictly increasing timestamps in UTC, all after the last bar.

    Raises:
        InvalidCandles: Unknown interval, calendar or zone, or naive timestamps.
        InvalidRequest: n is out of range.
    """
    index = pd.DatetimeIndex([last]) if isinstance(last, pd.Timestamp) else last
    if not len(index) or index.tz is None:
        raise InvalidCandles("Future timestamps need at least one timestamp with a time zone.")
    if isinstance(n, bool) or int(n) != n or not 1 <= n <= MAX_HORIZON:
        raise InvalidRequest(f"n must be a whole number from 1 to {MAX_HORIZON:,}, found {n}.")
    index = index.tz_convert("UTC").as_unit("ns")
    width, zone = interval_width(interval), check_zone(zone)
    if interval == "1w":
        future = _steps(index[-1], int(n), 7, zone)
    elif calendar == ALWAYS_OPEN:
        if is_intraday(interval):
            steps = width.to_timedelta64() * np.arange(1, n + 1)
            future = pd.DatetimeIndex(index[-1].asm8 + steps, tz="UTC")
        else:
            future = _steps(index[-1], int(n), 1, zone)
    elif calendar in (FX, METALS):
        future = (
            next_fx_bars(index, int(n), width, calendar=calendar)
            if is_intraday(interval)
            else _fx_days(index, int(n), zone)
        )
    elif is_intraday(interval):
        future = _session_bars(index, int(n), width, calendar, zone)
    else:
        future = _session_days(index, int(n), calendar, zone)
    return pd.DatetimeIndex(future, name="timestamp").as_unit("ns")


def calendar_note(calendar: str, last: pd.Timestamp) -> str | None:
    """A note for timestamps up to `last` beyond the recorded holidays; else None."""
    if calendar in ROUND_THE_CLOCK:
        return None
    until = holidays_known_until(calendar)
    if until is None or last.tz_convert("UTC").tz_localize(None) <= until + _DAY:
        return None
    return (
        f"The holidays of {calendar} are recorded until {until:%Y-%m-%d}; after that every "
        "weekday is counted as a session."
    )


def _localize(wall: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    local = wall.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC")


def _steps(last: pd.Timestamp, n: int, days: int, zone: str) -> pd.DatetimeIndex:
    """Every `days` days at the same wall-clock time."""
    wall = last.tz_convert(zone).tz_localize(None)
    return _localize(pd.DatetimeIndex(wall + _DAY * days * np.arange(1, n + 1)), zone)


def _usual_time(wall: pd.DatetimeIndex) -> tuple[pd.Timedelta, float]:
    """The commonest time of day of recent stamps, and its share."""
    recent = wall[-_RECENT_STAMPS:]
    found = recent - recent.normalize()
    if (found == found[0]).all():  # almost always, and counts take ten times as long
        return pd.Timedelta(found[0]), 1.0
    times = pd.Series(found).value_counts(normalize=True)
    return pd.Timedelta(times.index[0]), float(times.iloc[0])


def _fx_days(index: pd.DatetimeIndex, n: int, zone: str) -> pd.DatetimeIndex:
    """Daily FX bars: the weekdays of recent weeks, at their usual time."""
    # Bars that open at 17:00 New York follow that clock in any zone.
    clock = max((zone, NEW_YORK), key=lambda z: _usual_time(index.tz_convert(z))[1])
    wall = index.tz_convert(clock).tz_localize(None)
    time, _ = _usual_time(wall)
    counts = np.bincount(wall[-_RECENT_STAMPS:].day_of_week.to_numpy(), minlength=7)
    weekdays = np.flatnonzero(counts >= 0.4 * counts.max())
    if len(index) < 10:
        weekdays = np.arange(5) if counts[6] == 0 else np.array([0, 1, 2, 3, 6])
    days = pd.DatetimeIndex(wall[-1].normalize() + _DAY * np.arange(1, 7 * n + 29))
    traded = fx_days(days[np.isin(days.day_of_week.to_numpy(), weekdays)], time)
    return _localize(traded[:n] + time, clock)


def _session_days(index: pd.DatetimeIndex, n: int, calendar: str, zone: str) -> pd.DatetimeIndex:
    """Daily bars: the next sessions, stamped like the bars so far."""
    wall = index[-_RECENT_STAMPS:].tz_convert(zone).tz_localize(None)
    time, _ = _usual_time(wall)
    last = wall[-1].normalize()
    recent = wall[-_RECENT_SESSIONS:].normalize()
    known = pd.DatetimeIndex(schedule(calendar, recent[0], last + 10 * _DAY, zone=zone).index)
    # A session that opens the evening before may have that evening's date.
    is_eve = time > pd.Timedelta(hours=12) and (
        (recent + _DAY).isin(known).sum() > recent.isin(known).sum()
    )
    shift = _DAY if is_eve else pd.Timedelta(0)
    end = last + _DAY * (n * 2 + 40)
    sessions = pd.DatetimeIndex(schedule(calendar, last + shift + _DAY, end, zone=zone).index)
    return _localize(pd.DatetimeIndex(sessions[:n] - shift + time), zone)


def _session_bars(
    index: pd.DatetimeIndex, n: int, width: pd.Timedelta, calendar: str, zone: str
) -> pd.DatetimeIndex:
    """Intraday bars: the times of day of recent sessions, in the next sessions."""
    last = index[-1]
    day = last.tz_localize(None).normalize()
    past = schedule(calendar, day - 90 * _DAY, day + 4 * _DAY, zone=zone)
    offsets, is_end_stamped = _session_offsets(index, past, width)
    per_session = max(
        1, len(offsets) if offsets is not None else int(pd.Timedelta(hours=6) / width)
    )
    ahead = day + _DAY * (3 * (n // per_session + 1) + 30)
    coming = schedule(calendar, day - 4 * _DAY, ahead, zone=zone)
    bars = (
        _grid(coming, last, width)
        if offsets is None
        else _lay_over(coming, offsets, _usual_length(past), is_end_stamped)
    )
    bars = np.unique(bars)
    coming_bars = pd.DatetimeIndex(bars[bars > last.to_datetime64()]).tz_localize("UTC")
    if offsets is None and calendar == "CMES":
        # Sessions of the calendar last 24 hours; bars of one session do not show the daily pause,
        # which is that of metals.
        coming_bars = coming_bars[is_fx_open(coming_bars, width, calendar=METALS)]
    return coming_bars[:n]


def _naive(column: pd.Series) -> np.ndarray:
    return column.dt.tz_convert(None).to_numpy().astype("datetime64[ns]")


def _usual_length(sessions: pd.DataFrame) -> np.timedelta64:
    lengths, counts = np.unique(
        _naive(sessions["close"]) - _naive(sessions["open"]), return_counts=True
    )
    return lengths[np.argmax(counts)]


def _session_offsets(
    index: pd.DatetimeIndex, sessions: pd.DataFrame, width: pd.Timedelta
) -> tuple[np.ndarray | None, bool]:
    """Times from the opening with a bar in at least half of the recent sessions.

    Returns:
        Offsets, ascending (None where fewer than two ordinary sessions have bars), and whether
        bars are stamped with their end.
    """
    opens, closes = _naive(sessions["open"]), _naive(sessions["close"])
    stamps = index.tz_localize(None).to_numpy()
    stamps = stamps[stamps >= opens[0] - np.timedelta64(12, "h")]
    # A bar outside the hours belongs to the session that is nearer.
    borders = closes[:-1] + (opens[1:] - closes[:-1]) // 2
    session = np.searchsorted(borders, stamps, side="right")
    ordinary = (closes - opens == _usual_length(sessions))[session]
    session, stamps = session[ordinary], stamps[ordinary]
    carried = np.unique(session)[-_RECENT_SESSIONS:]
    if len(carried) < 2:
        return None, False
    is_recent = session >= carried[0]
    values, counts = np.unique(stamps[is_recent] - opens[session[is_recent]], return_counts=True)
    offsets = values[counts * 2 >= len(carried)]
    if not offsets.size:
        return None, False
    is_end_stamped = bool(offsets[0] > np.timedelta64(0) and _usual_length(sessions) in offsets)
    return offsets, is_end_stamped


def _lay_over(
    sessions: pd.DataFrame, offsets: np.ndarray, usual: np.timedelta64, is_end_stamped: bool
) -> np.ndarray:
    opens, closes = _naive(sessions["open"])[:, None], _naive(sessions["close"])[:, None]
    bars = opens + offsets[None, :]
    before_close = bars <= closes if is_end_stamped else bars < closes
    is_early = closes - opens < usual
    return bars[before_close | ~is_early]


def _grid(sessions: pd.DataFrame, last: pd.Timestamp, width: pd.Timedelta) -> np.ndarray:
    """Bars from each opening (and from the end of each break), in phase with the last bar."""
    step, stamp = width.to_timedelta64(), last.to_datetime64()
    pieces = []
    for _, row in sessions.iterrows():
        stops = [row["open"], row["break_start"], row["break_end"], row["close"]]
        segments = [stops] if pd.isna(stops[1]) else [stops[:2], stops[2:]]
        for segment in segments:
            start, end = (
                moment.tz_convert("UTC").tz_localize(None).to_datetime64().astype("M8[ns]")
                for moment in (segment[0], segment[-1])
            )
            # A segment too short for the phase still has a bar, at its start.
            phased = start + (stamp - start) % step
            pieces.append(np.arange(phased if phased < end else start, end, step))
    return np.concatenate(pieces) if pieces else np.empty(0, "M8[ns]")
