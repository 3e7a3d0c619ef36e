"""Which bars are finished. An open bar still changes, so it is never given as if it were final."""

from __future__ import annotations

import pandas as pd

from kronos.calendars import ALWAYS_OPEN, FX, WEEKDAYS
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.calendars.sessions import schedule
from kronos.candles import Candles
from kronos.errors import UnknownSymbol

__all__ = ["LATEST_DELAY", "UNFINISHED", "bar_end", "without_open_bars"]

LATEST_DELAY = pd.Timedelta(minutes=30)
"""How far behind the market the slowest quotes are."""
UNFINISHED = "is not finished and was left out"
"""What the note on an open bar says; such a note is out of date when the bar has ended."""
_DAY = pd.Timedelta(days=1)
_WITHOUT_SESSIONS = (ALWAYS_OPEN, FX, WEEKDAYS)


def bar_end(opened: pd.Timestamp, *, interval: str, calendar: str, zone: str) -> pd.Timestamp:
    """When a bar is complete, in UTC: after its width, or when its last session closes.

    Args:
        opened: Open time of the bar, aware; midnight of its date for days and weeks.
        interval: Name of its width.
        calendar: "24/7", "fx", "weekdays" or an exchange code.
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


def without_open_bars(
    candles: Candles, now: pd.Timestamp, *, last_trade: pd.Timestamp | None = None
) -> tuple[Candles, list[str]]:
    """The finished bars, and a sentence about the one left out, if any.

    Args:
        candles: Bars, the last of which may be open.
        now: The source's own time, aware.
        last_trade: For a source whose quotes are delayed, the time of the latest trade it knows.
            A bar that ended is then taken to be complete once a later trade is known, or after
            `LATEST_DELAY`.

    Raises:
        UnknownSymbol: No bar is finished.
    """
    n_finished = len(candles)
    while n_finished:
        end = bar_end(
            candles.frame.index[n_finished - 1],
            interval=candles.interval,
            calendar=candles.calendar,
            zone=candles.zone,
        )
        is_known = last_trade is None or last_trade >= end or now >= end + LATEST_DELAY
        if now >= end and is_known:
            break
        n_finished -= 1
    if n_finished == len(candles):
        return candles, []
    if not n_finished:
        raise UnknownSymbol(
            f"{candles.symbol} has no finished bar of {candles.interval} there. Ask for an "
            "earlier start."
        )
    left_out = candles.local_index[n_finished]
    shown = f"{left_out:%Y-%m-%d %H:%M}" if is_intraday(candles.interval) else f"{left_out.date()}"
    return candles.slice(0, n_finished), [f"The bar of {shown} ({candles.zone}) {UNFINISHED}."]
