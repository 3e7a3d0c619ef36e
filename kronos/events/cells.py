"""Cells of event tables: moments, numbers and flags, or an error that names the place."""

from __future__ import annotations

import math
import re

import pandas as pd

from kronos.calendars.exchanges import check_zone
from kronos.errors import InvalidCandles, InvalidEvents
from kronos.events.regions import region_zone

__all__ = ["USUAL_TIMES", "read_flag", "read_moment", "read_number", "release_moment"]

USUAL_TIMES: dict[tuple[str, str], str] = {
    ("fomc", "US"): "14:00",
    **{(kind, "US"): "08:30" for kind in ("cpi", "nfp", "gdp", "pce")},
    ("rate_decision", "EU"): "14:15",
    ("rate_decision", "GB"): "12:00",
    ("rate_decision", "CA"): "09:45",
    ("rate_decision", "AU"): "14:30",
    ("rate_decision", "NZ"): "14:00",
}
"""Time of day, on the region's clock, of releases that keep a fixed hour."""

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)"
    r"\s*(?P<offset>Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+\-\u2212]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+\-\u2212]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def read_moment(
    text: str, where: str, kind: str, region: str, zone: str
) -> tuple[pd.Timestamp, bool] | None:
    """A moment in UTC and whether its time of day is known; None for an empty cell.

    Args:
        text: The cell.
        where: Line and column, for messages.
        kind: Kind of the event, for the usual hour of a date without one.
        region: Its region, for the clock.
        zone: IANA name of the clock of times without an offset; "" takes the region's.
    """
    if not text:
        return None
    match = _STAMP.fullmatch(text)
    if match is None:
        raise InvalidEvents(
            f"{where}: must be a time such as 2025-10-24T12:30Z or 2025-10-24 08:30, or a date "
            f"such as 2025-10-24; found {text[:60]!r}."
        )
    clock = match["clock"] or USUAL_TIMES.get((kind, region))
    is_exact = clock is not None
    try:
        if match["offset"]:
            offset = match["offset"].upper().replace("UTC", "Z")
            stamp = pd.Timestamp(f"{match['date']}T{clock:0>5}{offset}").tz_convert("UTC")
        else:
            stamp = release_moment(match["date"], clock or "12:00", zone or region_zone(region))
    except InvalidCandles as exc:
        raise InvalidEvents(f"{where}: {exc}") from exc
    except ValueError as exc:
        raise InvalidEvents(f"{where}: {text[:60]!r} is no time on any clock ({exc}).") from exc
    return stamp.as_unit("ns"), is_exact


def release_moment(date: str, clock: str, zone: str) -> pd.Timestamp:
    """The moment at which a clock shows a date and time of day, in UTC.

    The repeated hour of a clock change is taken the first time, a skipped time moves forward.

    Args:
        date: YYYY-MM-DD.
        clock: HH:MM or HH:MM:SS.
        zone: IANA name.

    Raises:
        InvalidCandles: No such zone.
        ValueError: No such date or time.
    """
    wall = pd.Timestamp(f"{date} {clock}")
    local = wall.tz_localize(check_zone(zone), ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC").as_unit("ns")


def read_number(text: str, where: str) -> float | None:
    """A number, with or without a percent sign; None for an empty cell.

    Letters such as K or M are refused: the figures of one event must share one scale, which
    the column `unit` names.
    """
    bare = text.removeprefix("'").removesuffix("%").strip()
    if not bare or bare.lower() in {"-", "n/a", "nan", "none"}:
        return None
    if _GROUPED.fullmatch(bare):
        bare = bare.replace(",", "")
    number = float(bare.replace("\u2212", "-")) if _NUMBER.fullmatch(bare) else math.nan
    if not math.isfinite(number):
        raise InvalidEvents(
            f"{where}: must be a plain number such as 0.3 or 187000, found {text[:60]!r}. Write "
            "the scale into the column unit."
        )
    return number


def read_flag(text: str, where: str) -> bool | None:
    """yes or no; None for an empty cell."""
    if not text:
        return None
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise InvalidEvents(f"{where}: must be yes or no, found {text[:60]!r}.")
    return flag
