"""Columns of timestamps: ISO, day-first, month-first, epochs, with and without a zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data_sources.csv.dates import DateText, offset_minutes, split_stamp
from data_sources.csv.order import day_comes_first
from kronos.errors import InvalidCandles

__all__ = ["TimeReading", "parse_times"]

_EARLIEST, _LATEST = pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01")
_EPOCHS = ((1e8, 1e11, "s"), (1e11, 1e14, "ms"), (1e14, 1e17, "us"), (1e17, 1e20, "ns"))
_EPOCH_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(frozen=True, slots=True, eq=False)
class TimeReading:
    """What a column of timestamps says.

    Attributes:
        written: (T,) naive wall clock as written.
        utc: (T,) the same moments in UTC where the file tells the offset; None otherwise.
        description: How the timestamps are written.
        assumptions: What was left open and how it was decided.
    """

    written: pd.DatetimeIndex
    utc: pd.DatetimeIndex | None
    description: str
    assumptions: list[str] = field(default_factory=list)

    @property
    def moments(self) -> pd.DatetimeIndex:
        """(T,) aware where the offset is known, else as written."""
        return self.written if self.utc is None else self.utc


def parse_times(
    cells: Sequence[str],
    *,
    clock_cells: Sequence[str] | None,
    column: str,
    lines: Sequence[int],
    day_first: bool | None,
) -> TimeReading:
    """Timestamps of a column, or of a date column and a time-of-day column.

    Args:
        cells: Text of the column.
        clock_cells: Text of the time-of-day column, if there is one.
        column: Name, for messages.
        lines: Line number of each row, for messages.
        day_first: The user's answer for 03/04/2024; None to find out.

    Raises:
        InvalidCandles: A cell is no timestamp, or day and month cannot be told apart.
    """
    trimmed = [cell.strip() for cell in cells]
    if clock_cells is None:
        reading = _numeric(trimmed)
        if reading is not None:
            return _bounded(reading, trimmed, column, lines)
        if (halves := _halves(trimmed)) is not None:
            trimmed, clock_cells = halves
    days, order_note, shape, micros, offsets = _split(
        trimmed, clock_cells, column, lines, day_first
    )
    written = pd.DatetimeIndex((days + micros).astype("datetime64[us]"))
    utc = None
    description = shape + (" with time of day" if micros.any() else "")
    if offsets is not None:
        moments = (days + micros - offsets.astype("timedelta64[m]")).astype("datetime64[us]")
        utc = pd.DatetimeIndex(moments).tz_localize("UTC")
        description += " and offset from UTC"
    notes = [order_note] if order_note else []
    return _bounded(TimeReading(written, utc, description, notes), trimmed, column, lines)


def _bounded(
    reading: TimeReading, cells: Sequence[str], column: str, lines: Sequence[int]
) -> TimeReading:
    outside = np.asarray((reading.written < _EARLIEST) | (reading.written >= _LATEST))
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidCandles(
            f"Line {lines[row]}, column {column}: {cells[row][:40]!r} is read as "
            f"{reading.written[row]}, which lies outside 1900 to 2100."
        )
    return reading


def _numeric(cells: list[str]) -> TimeReading | None:
    """Epochs, compact dates (20240131, 202401311530) and Excel day numbers."""
    if not re.fullmatch(r"\d+(\.\d*)?", cells[0]):
        return None
    try:
        values = np.fromiter(map(float, cells), float, len(cells))
    except ValueError:
        return None
    digits = {len(cell.partition(".")[0]) for cell in cells}
    formats = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if len(digits) == 1 and (pattern := formats.get(next(iter(digits)))) is not None:
        stamps = pd.to_datetime(pd.Series(cells), format=pattern, errors="coerce")
        if stamps.notna().all():
            shape = pattern.replace("%", "").replace("Y", "YYYY").replace("m", "MM", 1)
            return TimeReading(pd.DatetimeIndex(stamps), None, f"compact digits ({shape})")
    low, high = float(values.min()), float(values.max())
    if low >= 20_000 and high <= 80_000:
        stamps = pd.Timestamp("1899-12-30") + pd.to_timedelta(np.rint(values * 86400), unit="s")
        note = "numbers from 20,000 to 80,000 are Excel day numbers (days since 1899-12-30)"
        return TimeReading(pd.DatetimeIndex(stamps), None, "Excel day numbers", [note])
    for lower, upper, unit in _EPOCHS:
        if lower <= low and high < upper:
            scale = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[unit]
            micros = np.rint(values * scale).astype("int64")
            utc = pd.DatetimeIndex(micros.astype("datetime64[us]")).tz_localize("UTC")
            return TimeReading(utc.tz_localize(None), utc, f"{_EPOCH_NAMES[unit]} since 1970 (UTC)")
    return None


def _halves(cells: list[str]) -> tuple[list[str], list[str]] | None:
    """Dates and times of day apart, where every cell is "date time"; None otherwise.

    Intraday files repeat few dates and few times of day, so reading the halves is far quicker.
    """
    match = re.match(r"[\d./-]+([T ])\d", cells[0])
    if match is None:
        return None
    dates, _, clocks = zip(*(cell.partition(match[1]) for cell in cells), strict=True)
    return (list(dates), list(clocks)) if all(clocks) else None


def _first_rows(codes: np.ndarray, n_texts: int) -> np.ndarray:
    """Row at which each distinct text is first seen."""
    rows = np.zeros(n_texts, int)
    rows[codes[::-1]] = np.arange(len(codes))[::-1]
    return rows


def _split(
    cells: list[str],
    clock_cells: Sequence[str] | None,
    column: str,
    lines: Sequence[int],
    day_first: bool | None,
) -> tuple[np.ndarray, str, str, np.ndarray, np.ndarray | None]:
    """Days, day-order note, shape, time of day and offsets (minutes) of every row."""
    # Most files repeat a date or a time many times: each distinct text is read once.
    codes, texts = pd.factorize(np.array(cells, dtype=object))
    rows = _first_rows(codes, len(texts))
    parts = [_stamp(text, row, column, lines) for text, row in zip(texts, rows, strict=True)]
    days, note, shape = _days([part[0] for part in parts], codes, column, lines, day_first)
    micros = np.array([part[1] for part in parts], "int64")[codes]
    zones = np.array([part[2] for part in parts], dtype=object)[codes]
    if clock_cells is not None:
        clocks, clock_texts = pd.factorize(np.array([c.strip() for c in clock_cells], object))
        rows = _first_rows(clocks, len(clock_texts))
        read = [_time_of_day(text, row, lines) for text, row in zip(clock_texts, rows, strict=True)]
        micros = micros + np.array([part[0] for part in read], "int64")[clocks]
        zones = zones + np.array([part[1] for part in read], dtype=object)[clocks]
    return days, note, shape, micros.astype("timedelta64[us]"), _offsets(zones, lines)


def _stamp(text: str, row: int, column: str, lines: Sequence[int]) -> tuple[DateText, int, str]:
    parts = split_stamp(text)
    if parts is None or parts[0] is None:
        found = repr(text[:40]) if text else "an empty cell"
        raise InvalidCandles(
            f"Line {lines[row]}, column {column}: {found} is not a timestamp. Write dates as "
            "2024-01-31 and times as 2024-01-31 15:30, with +00:00 for UTC."
        )
    return parts[0], parts[1], parts[2]


def _time_of_day(text: str, row: int, lines: Sequence[int]) -> tuple[int, str]:
    parts = split_stamp(text, has_date=False)
    if parts is None and re.fullmatch(r"\d{1,5}", text):
        # 93000 is 09:30:00 with its leading zero lost.
        parts = split_stamp(text.zfill(6 if len(text) == 5 else 4), has_date=False)
    if parts is None:
        raise InvalidCandles(
            f"Line {lines[row]}, time of day: {text[:40]!r} is not a time such as 15:30."
        )
    return parts[1], parts[2]


def _days(
    dates: list[DateText],
    codes: np.ndarray,
    column: str,
    lines: Sequence[int],
    day_first: bool | None,
) -> tuple[np.ndarray, str, str]:
    """Dates as days: (T,) datetime64[D], with a note on the order of day and month."""
    year = np.array([date.year for date in dates])
    first = np.array([date.first for date in dates])
    second = np.array([date.second for date in dates])
    orders = np.array([date.order for date in dates])
    note, shape = "", dates[0].shape
    is_open = orders == "?"
    is_day_first = orders == "dmy"
    if is_open.any():
        answer, note = day_comes_first(
            year[codes], first[codes], second[codes], is_open[codes], lines, day_first
        )
        is_day_first = is_day_first | (is_open & answer)
    month = np.where(is_day_first, second, first)
    day = np.where(is_day_first, first, second)
    if orders[0] != "ymd":
        sign = dates[0].shape
        shape = sign.join(("DD", "MM", "YYYY") if is_day_first[0] else ("MM", "DD", "YYYY"))
    valid_month = (month >= 1) & (month <= 12)
    starts = ((year - 1970) * 12 + np.where(valid_month, month, 1) - 1).astype("datetime64[M]")
    length = ((starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]")).astype(int)
    wrong = ~valid_month | (day < 1) | (day > length)
    if wrong.any():
        i = int(np.argmax(wrong))
        row = int(np.argmax(codes == i))
        raise InvalidCandles(
            f"Line {lines[row]}, column {column}: there is no day {day[i]} in month {month[i]} "
            f"of {year[i]} (read as {shape})."
        )
    return (starts.astype("datetime64[D]") + (day - 1))[codes], note, shape


def _offsets(zones: np.ndarray, lines: Sequence[int]) -> np.ndarray | None:
    """Minutes east of UTC of every row; None where no row says."""
    codes, texts = pd.factorize(zones)
    if list(texts) == [""]:
        return None
    if "" in list(texts):
        bare = int(np.argmax(codes == list(texts).index("")))
        raise InvalidCandles(
            f"Line {lines[bare]} has no offset from UTC but other lines have one. Write it "
            "everywhere or nowhere."
        )
    rows = _first_rows(codes, len(texts))
    minutes = [_minutes(text, lines[row]) for text, row in zip(texts, rows, strict=True)]
    return np.array(minutes)[codes]


def _minutes(text: str, line: int) -> int:
    minutes = offset_minutes(text)
    if minutes is None:
        raise InvalidCandles(
            f"Line {line}: {text!r} is no offset from UTC; offsets run from -14:00 to +14:00."
        )
    return minutes
