"""Texts that pages and their files share: the disclaimer, times and numbers. No page in here."""

from __future__ import annotations

import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.candles import Candles

DISCLAIMER = (
    "Simulated futures from a statistical model: not advice, and no promise that prices will "
    "stay inside a band."
)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as "1 bar" or "1,500 bars"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_text(n_bytes: int) -> str:
    """A file size, such as "0.4 MB" or "24 MB"."""
    return f"{n_bytes / 1e6:,.{0 if n_bytes >= 10_000_000 else 1}f} MB"


def moment_text(moment: pd.Timestamp, candles: Candles) -> str:
    """A bar's time on the exchange's clock."""
    return bar_time(moment.tz_convert(candles.zone), candles.interval)


def bar_time(moment: pd.Timestamp, interval: str) -> str:
    """When a bar opened: a day, and its time where a day has several.

    Args:
        moment: On its exchange's clock.
        interval: Width of a bar.
    """
    return f"{moment:%d %b %Y %H:%M}" if is_intraday(interval) else f"{moment:%d %b %Y}"


def origin_query(origin: pd.Timestamp, interval: str) -> dict[str, str]:
    """Parameters under which a page starts from a bar: a day alone means the last bar of that day.

    Args:
        origin: When the bar opened, on its exchange's clock.
        interval: Width of a bar.
    """
    day = {"origin": f"{origin:%Y-%m-%d}"}
    return day | {"origin_time": f"{origin:%H:%M}"} if is_intraday(interval) else day


def age_text(origin: pd.Timestamp, now: pd.Timestamp) -> str:
    """How old the newest bar is, in the unit that says it best."""
    age = now - origin
    if age < pd.Timedelta(0):
        return "in the future"
    for width, name in (("1D", "day"), ("1h", "hour"), ("1min", "minute")):
        count = age // pd.Timedelta(width)
        if count >= 1:
            return f"{count:,} {name}{'' if count == 1 else 's'} old"
    return "less than a minute old"
