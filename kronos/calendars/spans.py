"""The span of time of a bar: when it is complete, and since when it covers events.

A span follows from a bar's own open time and its calendar, never from the bars around it: the
start of a window of bars changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars.exchanges import ALWAYS_OPEN, FX, METALS, ROUND_THE_CLOCK, WEEKDAYS
from kronos.calendars.fx_week import NEW_YORK, closures
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.calendars.sessions import schedule
from kronos.errors import InvalidCandles

__all__ = ["BarSpans", "bar_end", "bar_spans", "is_trading"]

_DAY = pd.Timedelta(days=1)
_WITHOUT_SESSIONS = (ALWAYS_OPEN, FX, METALS, WEEKDAYS)
# Longer than any holiday.
_LOOK_BACK = 20 * _DAY
_FRIDAY_CLOSE = pd.Timedelta(days=4, hours=17)  # after Monday 00:00 New York
_SUNDAY_OPEN = pd.Timedelta(days=6, hours=17)


@dataclass(frozen=True, slots=True, eq=False)
class BarSpans:
    """Spans of T bars: (T,) int64, nanoseconds since 1970 UTC; all half open.

    Attributes:
        open: Open times.
        end: Moment from which the bar is complete: its close, at most that of its session.
        since: The bar is the first complete one after events in [since, end): since is the open,
            or for the first bar after a pause the close before the pause.
        day_start: Events in [day_start, day_end) have the date of this bar. Intraday these are
            since and end. Daily and weekly bars take whole dates on the market's clock, and days
            without a session count to the next.
        day_end: See `day_start`.
    """

    open: np.ndarray
    end: np.ndarray
    since: np.ndarray
    day_start: np.ndarray
    day_end: np.ndarray


def bar_spans(index: pd.DatetimeIndex, *, interval: str, calendar: str, zone: str) -> BarSpans:
    """Spans of bars.

    Args:
        index: (T,) open times, aware.
        interval: Name of the bar width.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: The market's clock; daily and weekly bars are dated on it.

    Raises:
        InvalidCandles: Unknown interval or calendar, or naive timestamps.
    """
    if index.tz is None:
        raise InvalidCandles("Spans of bars need timestamps with a time zone.")
    index = index.tz_convert("UTC").as_unit("ns")
    if not len(index):
        empty = np.empty(0, np.int64)
        return BarSpans(empty, empty, empty, empty, empty)
    opens = index.asi8
    width = interval_width(interval).value
    if interval == "1w":
        end = _days_later(index, zone, 7)
        return BarSpans(opens, end, opens, opens, end)
    if is_intraday(interval):
        end, since = _intraday(index, width, calendar, zone)
        return BarSpans(opens, end, since, since, end)
    if calendar in ROUND_THE_CLOCK:
        end = _days_later(index, zone, 1)
        since = opens if calendar == ALWAYS_OPEN else _after_weekend(index, zone)
        return BarSpans(opens, end, since, since, end)
    return _session_days(index, calendar, zone)


def bar_end(opened: pd.Timestamp, *, interval: str, calendar: str, zone: str) -> pd.Timestamp:
    """When a bar is complete, in UTC: after its width, or when its last session closes.

    Args:
        opened: Open time of the bar, aware; midnight of its date for days and weeks.
        interval: Name of its width.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: IANA name of the exchange's clock.
    """
    has_sessions = calendar not in _WITHOUT_SESSIONS
    if is_intraday(interval):
        end = opened.tz_convert("UTC") + interval_width(interval)
        return min(end, _close_of(opened, calendar, zone, end)) if has_sessions else end
    first = opened.tz_convert(zone).tz_localize(None).normalize()
    days = 7 if interval == "1w" else 1
    if has_sessions:
        sessions = schedule(calendar, first, first + (days - 1) * _DAY, zone=zone)
        if len(sessions):
            return pd.Timestamp(sessions["close"].iloc[-1]).tz_convert("UTC")
    midnight = first + days * _DAY
    local = midnight.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC")


def _close_of(
    opened: pd.Timestamp, calendar: str, zone: str, default: pd.Timestamp
) -> pd.Timestamp:
    day = opened.tz_convert(zone).tz_localize(None).normalize()
    sessions = schedule(calendar, day, day + _DAY, zone=zone)
    inside = sessions[(sessions["open"] <= opened) & (opened < sessions["close"])]
    return pd.Timestamp(inside["close"].iloc[0]).tz_convert("UTC") if len(inside) else default


def is_trading(moments: np.ndarray, *, calendar: str, zone: str) -> np.ndarray:
    """Whether a market trades just before each moment: (T,) bool.

    The moment of the close counts as trading, that of the opening does not.

    Args:
        moments: (T,) int64 nanoseconds since 1970 UTC, in any order.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: The market's clock.
    """
    if not len(moments) or calendar == ALWAYS_OPEN:
        return np.ones(len(moments), bool)
    stamps = pd.DatetimeIndex(moments, tz="UTC")
    if calendar == FX:
        since_monday = _since_monday(stamps)
        return (since_monday <= _FRIDAY_CLOSE.value) | (since_monday > _SUNDAY_OPEN.value)
    starts, stops = _segments(stamps.min(), stamps.max(), calendar, zone)
    segment = np.searchsorted(stops, moments, side="left")
    inside = segment < len(stops)
    return inside & (starts[np.minimum(segment, len(stops) - 1)] < moments)


def _intraday(
    index: pd.DatetimeIndex, width: int, calendar: str, zone: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of bars, and the starts of the spans whose events they cover."""
    opens = index.asi8
    if calendar == ALWAYS_OPEN:
        return opens + width, opens
    if calendar == FX:
        opened = _since_monday(index)
        is_first = (opened <= _SUNDAY_OPEN.value) & (_SUNDAY_OPEN.value < opened + width)
        friday = _wall_to_utc(_monday(index) + _FRIDAY_CLOSE, NEW_YORK).asi8
        return opens + width, np.where(is_first, friday, opens)
    starts, stops = _segments(index[0], index[-1], calendar, zone)
    segment = np.minimum(np.searchsorted(stops, opens, side="right"), len(stops) - 1)
    start, stop = starts[segment], stops[segment]
    # Bars before the opening or after the close cover themselves alone.
    in_session = (opens < stop) & (opens + width > start)
    end = np.where(
        in_session, np.minimum(opens + width, np.maximum(stop, opens + 1)), opens + width
    )
    before = np.where(segment > 0, stops[np.maximum(segment - 1, 0)], opens)
    is_first = in_session & (opens <= start)
    return end, np.where(is_first, np.minimum(before, opens), opens)


def _session_days(index: pd.DatetimeIndex, calendar: str, zone: str) -> BarSpans:
    """Daily bars of an exchange: complete at the close of the session of their date."""
    opens = index.asi8
    dates = index.tz_convert(zone).tz_localize(None).normalize()
    sessions = schedule(calendar, dates[0] - _LOOK_BACK, dates[-1] + _DAY, zone=zone)
    days = pd.DatetimeIndex(sessions.index).as_unit("ns")
    closes = _moments(sessions["close"]).asi8
    dates = dates.as_unit("ns")
    position = np.searchsorted(days.asi8, dates.asi8, side="left")
    inside = np.minimum(position, len(days) - 1)
    is_session = (days.asi8[inside] == dates.asi8) & (closes[inside] > opens)
    day_end = _wall_to_utc(dates + _DAY, zone).asi8
    end = np.where(is_session, closes[inside], day_end)
    before = np.maximum(position - 1, 0)
    has_before = position > 0
    since = np.where(has_before, closes[before], opens)
    after_previous = _wall_to_utc(days[before] + _DAY, zone).asi8
    day_start = np.where(has_before, after_previous, opens)
    return BarSpans(opens, end, np.minimum(since, opens), np.minimum(day_start, opens), day_end)


def _segments(
    first: pd.Timestamp, last: pd.Timestamp, calendar: str, zone: str
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops of unbroken trading around some moments, without lunch breaks."""
    if calendar == METALS:
        pauses = closures(first - _LOOK_BACK, last + _LOOK_BACK, calendar=METALS)
        return pauses[1][:-1], pauses[0][1:]
    sessions = schedule(
        calendar,
        first.tz_localize(None).normalize() - _LOOK_BACK,
        last.tz_localize(None).normalize() + _LOOK_BACK,
        zone=zone,
    )
    moments = {
        name: _moments(sessions[name]) for name in ("open", "break_start", "break_end", "close")
    }
    has_break = moments["break_start"].notna()
    starts = np.concatenate([moments["open"].asi8, moments["break_end"].asi8[has_break]])
    stops = np.concatenate(
        [
            np.where(has_break, moments["break_start"].asi8, moments["close"].asi8),
            moments["close"].asi8[has_break],
        ]
    )
    order = np.argsort(starts, kind="stable")
    return starts[order], stops[order]


def _moments(column: pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(column.dt.tz_convert(None)).tz_localize("UTC").as_unit("ns")


def _days_later(index: pd.DatetimeIndex, zone: str, days: int) -> np.ndarray:
    """The same time of day on the market's clock, `days` days later."""
    wall = index.tz_convert(zone).tz_localize(None)
    return _wall_to_utc(wall + days * _DAY, zone).asi8


def _after_weekend(index: pd.DatetimeIndex, zone: str) -> np.ndarray:
    """Open times; on Mondays, where Sundays have no bars, those of the Saturday before."""
    wall = index.tz_convert(zone).tz_localize(None)
    if (wall.day_of_week == 6).any():
        return index.asi8
    saturday = _wall_to_utc(wall - 2 * _DAY, zone).asi8
    return np.where(wall.day_of_week == 0, saturday, index.asi8)


def _monday(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    wall = index.tz_convert(NEW_YORK).tz_localize(None).as_unit("ns")
    return wall.normalize() - pd.to_timedelta(wall.day_of_week, unit="D")


def _since_monday(index: pd.DatetimeIndex) -> np.ndarray:
    """Nanoseconds of wall clock since Monday 00:00 New York."""
    wall = index.tz_convert(NEW_YORK).tz_localize(None).as_unit("ns")
    return wall.asi8 - _monday(index).asi8


def _wall_to_utc(wall: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    local = wall.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    return local.tz_convert("UTC").as_unit("ns")
