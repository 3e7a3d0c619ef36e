"""Texts that pages and their files share: the disclaimer, times and numbers. No page in here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.candles import Candles

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

DISCLAIMER = (
    "Simulated futures from a statistical model: not advice, and no promise that prices will "
    "stay inside a band."
)


def table_pixels(n_rows: int, most: int) -> int:
    """Height of a table of n rows of the usual height, without a gap below them; at most `most`."""
    return min(35 * (n_rows + 1) + 2, most)


def number_text(template: str, *values: float) -> str:
    """Numbers in a text, such as ("{:+.1%}", -0.024), with minus signs; "–" if one is missing."""
    if any(math.isnan(value) for value in values):
        return "–"
    return template.format(*values).replace("-", "−")


Format = str | Callable[[Any], str]
"""How a number is written: a template, such as "{:,.2f}", or a function of it."""


def in_print(table: pd.DataFrame, formats: Mapping[str, Format]) -> Styler:
    """A table whose numbers are written with separators of thousands and minus signs.

    It sorts and downloads by its values. A missing number leaves the cell empty.

    Args:
        table: For `st.dataframe`; a format in `column_config` would win over these.
        formats: By column. Columns that the table lacks are left out.
    """
    known: dict[Any, str | Callable[[object], str] | None] = {
        name: partial(number_text, each) if isinstance(each, str) else each
        for name, each in formats.items()
        if name in table
    }
    return table.style.format(known, na_rep="")


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


def file_part(name: str, otherwise: str) -> str:
    """A name as part of a file's name: letters and digits of every script, safe on every system.

    Args:
        name: What the file is of.
        otherwise: Where the name has neither.
    """
    return re.sub(r"[\W_]+", "-", name).strip("-")[:40].rstrip("-") or otherwise


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
