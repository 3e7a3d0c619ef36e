"""Texts that pages and their files share: the disclaimer, times and numbers. No page in here."""

from __future__ import annotations

import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.candles import Candles

DISCLAIMER = (
    "Simulated futures from a statistical model: not advice, and no promise that prices will "
    "stay inside a band."
)


def table_pixels(n_rows: int, most: int) -> int:
    """Height of a table of n rows of the usual height, without a gap below them; at most `most`."""
    return min(35 * (n_rows + 1) + 2, most)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as "1 bar" or "1,500 bars"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_text(n_bytes: int | None) -> str:
    """A size in kB, MB or GB."""
    if n_bytes is None:
        return "Unknown"
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:,.0f} kB"
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"


def moment_text(moment: pd.Timestamp, candles: Candles) -> str:
    """The time of a bar in the time zone of its exchange."""
    return bar_time(moment.tz_convert(candles.zone), candles.interval)


def bar_time(moment: pd.Timestamp, interval: str) -> str:
    """The open time of a bar: the date, and the time of day of intraday bars.

    Args:
        moment: In the time zone of its exchange.
        interval: Width of a bar.
    """
    return f"{moment:%d %b %Y %H:%M}" if is_intraday(interval) else f"{moment:%d %b %Y}"


def origin_query(origin: pd.Timestamp, interval: str) -> dict[str, str]:
    """Link parameters of a forecast origin; a date alone means the last bar of that day.

    Args:
        origin: Open time of the bar, in the time zone of its exchange.
        interval: Width of a bar.
    """
    day = {"origin": f"{origin:%Y-%m-%d}"}
    return day | {"origin_time": f"{origin:%H:%M}"} if is_intraday(interval) else day


def age_text(origin: pd.Timestamp, now: pd.Timestamp) -> str:
    """The age of a moment, such as "2 hours old"; from two years on in years."""
    age = now - origin
    if age < pd.Timedelta(0):
        return "in the future"
    if age >= pd.Timedelta(days=730):
        return f"{age // pd.Timedelta(days=365)} years old"
    for width, name in (("1D", "day"), ("1h", "hour"), ("1min", "minute")):
        count = age // pd.Timedelta(width)
        if count >= 1:
            return f"{counted(count, name)} old"
    return "less than a minute old"
