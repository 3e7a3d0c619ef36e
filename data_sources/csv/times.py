"""Columns of timestamps: ISO, day-first, month-first, epochs, with and without a zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data_sources.csv.text import require_short
from kronos.errors import InvalidCandles

__all__ = ["DAY_ZERO", "MAX_STAMP", "TimeReading", "parse_times", "split_stamp"]

MAX_STAMP = 64
"""Characters of a date or a time of day."""
DAY_ZERO = "1899-12-30"
"""Day from which spreadsheets count days, unless they count from 1904-01-01."""
_EARLIEST, _LATEST = pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01")
_EPOCHS = ((1e8, 1e11, "s"), (1e11, 1e14, "ms"), (1e14, 1e17, "us"), (1e17, 1e20, "ns"))
_EPOCH_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_MONTHS = {
    name: i + 1
    for i, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    )
}
# Abbreviations that mean one offset only in market data; IST or CST mean several and are refused.
_OFFSETS = {
    "Z": 0,
    "UTC": 0,
    "GMT": 0,
    "EST": -300,
    "EDT": -240,
    "CET": 60,
    "CEST": 120,
    "JST": 540,
}
_WIDEST_OFFSET = 14 * 60  # minutes, the Line Islands

# No pattern repeats anything without a bound, and cells have single blanks: however a cell is
# written, it is judged in a few thousand steps.
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_COMPACT_CLOCK = r"(?P<chour>\d{2})(?P<cminute>\d{2})(?P<csecond>\d{2})?(?:\d{3})?"
_ZONE = r"(?P<zone>Z|UTC|GMT|EST|EDT|CET|CEST|JST|(?:UTC|GMT)?[+\u2212-]\d{2}:?\d{2}|[+-]\d{2})"
_DATE = (
    r"(?:[A-Za-z]{3,9},? )??"
    r"(?:(?P<y1>\d{4})(?P<s1>[-/.]?)(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<y2>\d{4}|\d{2})"
    r"|(?P<d3>\d{1,2})[-/. ](?P<m3>[A-Za-z]{3,9})\.?[-/., ]{1,8}(?P<y3>\d{4}|\d{2})"
    r"|(?P<m4>[A-Za-z]{3,9})\.?[ -](?P<d4>\d{1,2})(?:st|nd|rd|th)?,?[ -]{1,8}(?P<y4>\d{4}))"
)
_STAMP = re.compile(rf"(?P<date>{_DATE})(?:[T ,;]{{1,8}}(?:{_CLOCK}|{_COMPACT_CLOCK}) ?{_ZONE}?)?")
_TIME_OF_DAY = re.compile(rf"(?:{_CLOCK}|{_COMPACT_CLOCK}) ?{_ZONE}?")
_NUMERIC = re.compile(r"\d{1,64}(\.\d{0,64})?")
_HALVES = re.compile(r"[\d./-]{1,32}([T ])\d")
_BARE_CLOCK = re.compile(r"\d{1,5}")
_NO_DIGIT = re.compile(r"\D")


@dataclass(frozen=True, slots=True, eq=False)
class TimeReading:
    """The times of a column of timestamps.

    Attributes:
        written: (T,) naive wall clock as written.
        utc: (T,) the same moments in UTC where the file has offsets; None otherwise.
        description: How the timestamps are written.
        assumptions: How open questions were decided.
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
    day_zero: str = DAY_ZERO,
) -> TimeReading:
    """Timestamps of a column, or of a date column and a time-of-day column.

    Args:
        cells: Text of the column.
        clock_cells: Text of the time-of-day column, if there is one.
        column: Name, for messages.
        lines: Line number of each row, for messages.
        day_first: The user's choice for 03/04/2024; None to find out.
        day_zero: Day from which day numbers count.

    Raises:
        InvalidCandles: A cell is no timestamp, or day and month cannot be told apart.
    """
    trimmed = [cell.strip() for cell in cells]
    require_short(trimmed, MAX_STAMP, f"column {column}", lines)
    if clock_cells is None:
        reading = _numeric(trimmed, day_zero)
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


def _numeric(cells: list[str], day_zero: str) -> TimeReading | None:
    """Epochs, compact dates (20240131, 202401311530) and Excel day numbers."""
    if not _NUMERIC.fullmatch(cells[0]):
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
        stamps = pd.Timestamp(day_zero) + pd.to_timedelta(np.rint(values * 86400), unit="s")
        note = f"numbers from 20,000 to 80,000 are Excel day numbers (days since {day_zero})"
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
    match = _HALVES.match(cells[0])
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
        clock_cells = [cell.strip() for cell in clock_cells]
        require_short(clock_cells, MAX_STAMP, "time of day", lines)
        clocks, clock_texts = pd.factorize(np.array(clock_cells, object))
        rows = _first_rows(clocks, len(clock_texts))
        read = [_time_of_day(text, row, lines) for text, row in zip(clock_texts, rows, strict=True)]
        micros = micros + np.array([part[0] for part in read], "int64")[clocks]
        zones = zones + np.array([part[1] for part in read], dtype=object)[clocks]
    return days, note, shape, micros.astype("timedelta64[us]"), _offsets(zones, lines)


def _stamp(text: str, row: int, column: str, lines: Sequence[int]) -> tuple[_DateText, int, str]:
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
    if parts is None and _BARE_CLOCK.fullmatch(text):
        # 93000 is 09:30:00 with its leading zero lost.
        parts = split_stamp(text.zfill(6 if len(text) == 5 else 4), has_date=False)
    if parts is None:
        raise InvalidCandles(
            f"Line {lines[row]}, time of day: {text[:40]!r} is not a time such as 15:30."
        )
    return parts[1], parts[2]


def _days(
    dates: list[_DateText],
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
        answer, note = _day_comes_first(
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
    """Minutes east of UTC of every row; None if no row has an offset."""
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
    minutes = [_offset_minutes(text, lines[row]) for text, row in zip(texts, rows, strict=True)]
    return np.array(minutes)[codes]


def _offset_minutes(text: str, line: int) -> int:
    """Minutes east of UTC of a zone text such as Z, EST or UTC+05:30."""
    if text in _OFFSETS:
        return _OFFSETS[text]
    digits = _NO_DIGIT.sub("", text).ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59 or hours * 60 + minutes > _WIDEST_OFFSET:
        raise InvalidCandles(
            f"Line {line}: {text!r} is no offset from UTC; offsets run from -14:00 to +14:00."
        )
    sign = -1 if "-" in text or "\u2212" in text else 1
    return sign * (hours * 60 + minutes)


# The grammar of dates and times of day.


@dataclass(frozen=True, slots=True)
class _DateText:
    """The parts of a date; two small numbers stay in file order where their meaning is open.

    Attributes:
        year: Four digits.
        first: Month if `order` is "ymd", else the first number.
        second: Day if `order` is "ymd", else the second number.
        order: "ymd" when known, "?" for 03/04/2024, "dmy" for 03.04.2024.
        shape: How the date is written, to show.
    """

    year: int
    first: int
    second: int
    order: str
    shape: str


def _date_of(match: re.Match[str]) -> _DateText | None:
    """The date of a match; None if the name of a month is unknown."""
    if match["y1"]:
        sign = match["s1"]
        return _DateText(
            int(match["y1"]), int(match["m1"]), int(match["d1"]), "ymd", f"YYYY{sign}MM{sign}DD"
        )
    if match["y2"]:
        sign, year = match["sep"], _full_year(match["y2"])
        order = "dmy" if sign == "." else "?"
        return _DateText(year, int(match["a"]), int(match["b"]), order, sign)
    name, day, year_text = (
        (match["m3"], match["d3"], match["y3"])
        if match["m3"]
        else (match["m4"], match["d4"], match["y4"])
    )
    month = _MONTHS.get(name[:3].lower())
    if month is None:
        return None
    return _DateText(_full_year(year_text), month, int(day), "ymd", "day and name of the month")


def _full_year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 69 else 2000)


def split_stamp(text: str, *, has_date: bool = True) -> tuple[_DateText | None, int, str] | None:
    """The parts of a timestamp: date, microseconds since midnight, zone text ("" if none).

    Args:
        text: One cell, trimmed.
        has_date: False for a time of day alone; then the date is None.

    Returns:
        None if the text is neither.
    """
    if len(text) > MAX_STAMP:
        return None
    match = (_STAMP if has_date else _TIME_OF_DAY).fullmatch(" ".join(text.split()))
    if match is None:
        return None
    date = _date_of(match) if has_date else None
    if has_date and date is None:
        return None
    if match["hour"] is not None:
        fields = (match["hour"], match["minute"], match["second"])
    else:
        fields = (match["chour"], match["cminute"], match["csecond"])
    hour, minute, second = (int(field or 0) for field in fields)
    half = (match["half"] or "").lower().replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    is_midnight_end = hour == 24 and minute == second == 0
    if (hour > 23 and not is_midnight_end) or minute > 59 or second > 60:
        return None
    fraction = int((match["fraction"] or "0").ljust(6, "0")[:6])
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    return date, micros, match["zone"] or ""


# Is 03/04/2024 the third of April or the fourth of March?


def _day_comes_first(
    year: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    is_open: np.ndarray,
    lines: Sequence[int],
    answer: bool | None,
) -> tuple[bool, str]:
    """Whether the first number is the day, and the assumption behind that ("" if none).

    A number above 12 decides. Otherwise both readings are tried: the one in which the rows
    follow each other more closely, in order, is taken and reported.

    Args:
        year: (T,) years.
        first: (T,) first numbers.
        second: (T,) second numbers.
        is_open: (T,) rows whose order is open.
        lines: Line number of each row.
        answer: The user's choice, if any.

    Raises:
        InvalidCandles: Some rows need one reading and some the other, the user's choice is
            impossible, or nothing in the data decides.
    """
    proves_day = is_open & (first > 12)
    proves_month = is_open & (second > 12)
    if proves_day.any() and proves_month.any():
        a, b = int(np.argmax(proves_day)), int(np.argmax(proves_month))
        raise InvalidCandles(
            f"Dates mix day-first (line {lines[a]}: {first[a]}/{second[a]}) and month-first "
            f"(line {lines[b]}: {first[b]}/{second[b]}). Write them as YYYY-MM-DD."
        )
    if answer is not None:
        against = proves_month if answer else proves_day
        if against.any():
            row = int(np.argmax(against))
            order = "day first" if answer else "month first"
            raise InvalidCandles(
                f"Line {lines[row]}: {first[row]}/{second[row]}/{year[row]} cannot be read with "
                f"the {order}. Choose the other order."
            )
        return answer, ""
    if proves_day.any() or proves_month.any():
        return bool(proves_day.any()), ""
    if (first == second)[is_open].all():
        return True, ""
    return _closest(year, first, second)


def _closest(year: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[bool, str]:
    day_cost, month_cost = _spread(year, second, first), _spread(year, first, second)
    if day_cost == month_cost:
        raise InvalidCandles(
            f"Dates such as {first[0]}/{second[0]}/{year[0]} can be read with the day first or "
            "with the month first, and the rows do not tell which. Choose the order of day and "
            "month, or write dates as YYYY-MM-DD."
        )
    answer = day_cost < month_cost
    order = "day first" if answer else "month first"
    return answer, f"dates such as {first[0]}/{second[0]}/{year[0]} are read with the {order}"


def _spread(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[int, int]:
    """How badly rows follow each other: widest gap in days, changes of direction."""
    days = (
        ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[D]") + day - 1
    ).astype(int)
    steps = np.diff(days)
    steps = steps[steps != 0]
    turns = int((np.diff(np.sign(steps)) != 0).sum())
    widest = int(np.diff(np.unique(days)).max(initial=0))
    return widest, turns
