"""The grammar of dates and times of day in market data files."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MONTHS", "DateText", "offset_minutes", "split_stamp"]

MONTHS = {
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

_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_COMPACT_CLOCK = r"(?P<chour>\d{2})(?P<cminute>\d{2})(?P<csecond>\d{2})?(?:\d{3})?"
_ZONE = r"(?P<zone>Z|UTC|GMT|EST|EDT|CET|CEST|JST|(?:UTC|GMT)?[+\u2212-]\d{2}:?\d{2}|[+-]\d{2})"
_DATE = (
    r"(?:[A-Za-z]{3,9},?\s+)??"
    r"(?:(?P<y1>\d{4})(?P<s1>[-/.]?)(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<y2>\d{4}|\d{2})"
    r"|(?P<d3>\d{1,2})[-/. ](?P<m3>[A-Za-z]{3,9})\.?[-/., ]+(?P<y3>\d{4}|\d{2})"
    r"|(?P<m4>[A-Za-z]{3,9})\.?[ -](?P<d4>\d{1,2})(?:st|nd|rd|th)?,?[ -]+(?P<y4>\d{4}))"
)
_STAMP = re.compile(rf"^(?P<date>{_DATE})(?:[T\s,;]+(?:{_CLOCK}|{_COMPACT_CLOCK})\s*{_ZONE}?)?\s*$")
_TIME_OF_DAY = re.compile(rf"^(?:{_CLOCK}|{_COMPACT_CLOCK})\s*{_ZONE}?$")


@dataclass(frozen=True, slots=True)
class DateText:
    """A date taken apart; two small numbers stay in file order where their meaning is open.

    Attributes:
        year: Four digits.
        first: Month if `order` is "ymd", else the first number.
        second: Day if `order` is "ymd", else the second number.
        order: "ymd" when known, "?" for 03/04/2024, "dmy" for 03.04.2024.
        shape: How the date is written, for showing.
    """

    year: int
    first: int
    second: int
    order: str
    shape: str


def split_date(match: re.Match[str]) -> DateText | None:
    """The date of a match; None if a month's name is unknown."""
    if match["y1"]:
        sign = match["s1"]
        return DateText(
            int(match["y1"]), int(match["m1"]), int(match["d1"]), "ymd", f"YYYY{sign}MM{sign}DD"
        )
    if match["y2"]:
        sign, year = match["sep"], _full_year(match["y2"])
        order = "dmy" if sign == "." else "?"
        return DateText(year, int(match["a"]), int(match["b"]), order, sign)
    name, day, year_text = (
        (match["m3"], match["d3"], match["y3"])
        if match["m3"]
        else (match["m4"], match["d4"], match["y4"])
    )
    month = MONTHS.get(name[:3].lower())
    if month is None:
        return None
    return DateText(_full_year(year_text), month, int(day), "ymd", "day and name of the month")


def _full_year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 69 else 2000)


def split_stamp(text: str, *, has_date: bool = True) -> tuple[DateText | None, int, str] | None:
    """A timestamp taken apart: date, microseconds since midnight, zone text ("" if none).

    Args:
        text: One cell, trimmed.
        has_date: False for a time of day alone; then the date is None.

    Returns:
        None if the text is neither.
    """
    match = (_STAMP if has_date else _TIME_OF_DAY).match(text)
    if match is None:
        return None
    date = split_date(match) if has_date else None
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


def offset_minutes(text: str) -> int | None:
    """Minutes east of UTC of a zone text such as Z, EST or UTC+05:30; None if no clock has it."""
    if text in _OFFSETS:
        return _OFFSETS[text]
    digits = re.sub(r"\D", "", text).ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59 or hours * 60 + minutes > _WIDEST_OFFSET:
        return None
    sign = -1 if "-" in text or "\u2212" in text else 1
    return sign * (hours * 60 + minutes)
