"""Tables of events as CSV: uploads, stored tables, and the bundled one.

One row for each event. A header names the columns, in any order and case:

    kind, time           needed; time as 2025-10-24T12:30Z, 2025-10-24 08:30 or 2025-10-24
    region or symbol     the subject: US, EU, GB, ... or a ticker
    zone                 clock of times without an offset; default: the region's
    name, period, unit, source
    actual, consensus, previous
    announced            moment at which its date became public
    colour, reads_as     of an event of kind other: its colour, and the kind that models read it as
    fetched_at, is_time_exact

A time without an offset is read on the release's own clock, so 08:30 in New York is 12:30 UTC in
summer and 13:30 in winter. A date alone takes the usual hour of releases of that kind and region;
without one it takes noon, and the time is marked as not exact.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields

import pandas as pd

from kronos.calendars.exchanges import check_zone
from kronos.errors import InvalidCandles, InvalidEvents
from kronos.events.event import Event, sorted_events
from kronos.events.regions import region_zone

__all__ = [
    "MAX_BYTES",
    "MAX_ROWS",
    "USUAL_TIMES",
    "events_csv",
    "read_events",
    "read_flag",
    "read_moment",
    "read_number",
    "release_moment",
]

MAX_BYTES = 5 * 1024 * 1024
MAX_ROWS = 50_000
_MAX_LINES = 4 * MAX_ROWS
_MAX_HEADER = 64 * 1024  # characters of the header in which its separator is looked for
_MAX_CELL = 500
_MAX_FIGURE = 64  # characters of a time or a number
_COLUMNS = tuple(field.name for field in fields(Event))
_ALSO = {
    "date": "time", "datetime": "time", "timestamp": "time", "time_utc": "time",
    "event": "kind", "type": "kind",
    "ticker": "symbol", "country": "region",
    "forecast": "consensus", "expected": "consensus", "estimate": "consensus",
    "color": "colour",
    "prior": "previous", "title": "name", "reference": "period", "timezone": "zone", "tz": "zone",
}  # fmt: skip
_TEXTS = ("symbol", "name", "period", "unit", "source", "colour", "reads_as")
_RARE = ("colour", "reads_as")  # written only where an event has one
_QUOTED_STARTS = ("=", "+", "-", "@", "'", "\t", "\r")


def read_events(data: bytes, file_name: str, *, max_rows: int = MAX_ROWS) -> tuple[Event, ...]:
    """Events of a CSV file, by time.

    Args:
        data: The file: UTF-8, comma or semicolon, at most 5 MB.
        file_name: Its name, for messages.
        max_rows: Most events.

    Raises:
        InvalidEvents: The file is not a table of events; the message names line and column.
    """
    rows = _rows(_text(data, file_name), file_name)
    _, header = next(rows, (0, []))
    columns = _columns(header, file_name)
    events: list[Event] = []
    lines: list[int] = []
    for line, cells in rows:
        if len(events) == max_rows:
            raise InvalidEvents(
                f"{file_name} has more than {max_rows:,} events. Keep those that matter."
            )
        if len(cells) != len(header):
            raise InvalidEvents(
                f"{file_name}, line {line}: {len(cells)} cells where the header has "
                f"{len(header)}. Put text that holds the separator into quotes."
            )
        row = {name: cells[i].strip() for name, i in columns.items()}
        events.append(_event(row, f"{file_name}, line {line}"))
        lines.append(line)
    if not events:
        raise InvalidEvents(f"{file_name} has a header and no events.")
    _refuse_repetitions(events, lines, file_name)
    return sorted_events(events)


def events_csv(events: Iterable[Event]) -> str:
    """Events as CSV that `read_events` reads back equal.

    A text that a spreadsheet would read as a formula gets an apostrophe in front, which
    `read_events` removes.
    """
    opened = io.StringIO()
    writer = csv.writer(opened, lineterminator="\n")
    rows = tuple(events)
    columns = [
        name
        for name in _COLUMNS
        if name not in _RARE or any(getattr(event, name) for event in rows)
    ]
    writer.writerow(columns)
    for event in rows:
        writer.writerow([_cell(getattr(event, name)) for name in columns])
    return opened.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.tz_localize(None).isoformat() + "Z"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_QUOTED_STARTS) else value
    return repr(value)


def _text(data: bytes, file_name: str) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidEvents(
            f"{file_name} has {len(data) / 2**20:.1f} MB; at most {MAX_BYTES // 2**20} MB are "
            "read. Keep the events that matter."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise InvalidEvents(
            f"{file_name}, line {line}: not UTF-8 text. Save the table as CSV in UTF-8."
        ) from exc
    if "\x00" in text:
        raise InvalidEvents(f"{file_name} is not a text file. Save the table as CSV in UTF-8.")
    if not text.strip():
        raise InvalidEvents(f"{file_name} is empty.")
    return text


def _rows(text: str, file_name: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of the rows that are not empty."""
    if (n_lines := text.count("\n")) > _MAX_LINES:
        raise InvalidEvents(
            f"{file_name} has {n_lines:,} lines; at most {_MAX_LINES:,} are read. Delete those "
            "that are empty, and keep the events that matter."
        )
    header = text.lstrip()[:_MAX_HEADER].splitlines()[0]
    delimiter = max((",", ";", "\t"), key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    line = 0
    try:
        for cells in reader:
            line += 1
            if any(len(cell) > _MAX_CELL for cell in cells):
                raise InvalidEvents(
                    f"{file_name}, line {line}: a cell has more than {_MAX_CELL} characters; "
                    "perhaps a quote is not closed."
                )
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num
    except csv.Error as exc:
        raise InvalidEvents(f"{file_name}, line {line + 1}: not CSV ({exc}).") from exc


def _columns(header: list[str], file_name: str) -> dict[str, int]:
    """Positions of the known columns; others are ignored."""
    found: dict[str, int] = {}
    for i, cell in enumerate(header):
        name = cell.strip().lower().replace(" ", "_")
        name = _ALSO.get(name, name)
        if name not in (*_COLUMNS, "zone"):
            continue
        if name in found:
            raise InvalidEvents(f"{file_name} has two columns that mean {name}; keep one.")
        found[name] = i
    missing = [name for name in ("kind", "time") if name not in found]
    if missing or not found.keys() & {"region", "symbol"}:
        wanted = missing or ["region or symbol"]
        raise InvalidEvents(
            f"{file_name} has no column {' and '.join(wanted)}; line 1 reads "
            f"{', '.join(cell.strip()[:40] for cell in header[:20])}. The first line names the "
            "columns: kind, time, region or symbol, and what is known of name, period, actual, "
            "consensus, previous, unit, source, zone."
        )
    return found


def _event(row: dict[str, str], where: str) -> Event:
    def cell(name: str) -> str:
        return row.get(name, "")

    def moment(name: str) -> pd.Timestamp | None:
        read = read_moment(cell(name), f"{where}, column {name}", kind, region, cell("zone"))
        return None if read is None else read[0]

    kind = cell("kind").lower().replace(" ", "_").replace("-", "_")
    region = cell("region").upper()
    try:
        texts = {name: cell(name).removeprefix("'") for name in _TEXTS}
        texts |= {name: texts[name].lower() for name in _RARE}
        Event(
            kind, pd.Timestamp(0, tz="UTC"), region, texts["symbol"], texts["name"],
            colour=texts["colour"], reads_as=texts["reads_as"],
        )  # fmt: skip
    except InvalidEvents as exc:
        raise InvalidEvents(f"{where}: {exc}") from exc
    time = read_moment(cell("time"), f"{where}, column time", kind, region, cell("zone"))
    if time is None:
        raise InvalidEvents(f"{where}, column time: must be a date or a time, found nothing.")
    flag = read_flag(cell("is_time_exact"), f"{where}, column is_time_exact")
    return Event(
        kind=kind,
        time=time[0],
        region=region,
        actual=read_number(cell("actual"), f"{where}, column actual"),
        consensus=read_number(cell("consensus"), f"{where}, column consensus"),
        previous=read_number(cell("previous"), f"{where}, column previous"),
        fetched_at=moment("fetched_at"),
        announced=moment("announced"),
        is_time_exact=time[1] if flag is None else flag,
        **texts,
    )


def _refuse_repetitions(events: list[Event], lines: list[int], file_name: str) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for event, line in zip(events, lines, strict=True):
        key = (event.kind, event.region, event.symbol, event.name, event.time)
        if key in seen:
            raise InvalidEvents(
                f"{file_name}, line {line}: the same event as in line {seen[key]}. Keep one."
            )
        seen[key] = line


USUAL_TIMES: dict[tuple[str, str], str] = {
    ("fomc", "US"): "14:00",
    **{(kind, "US"): "08:30" for kind in ("cpi", "nfp", "gdp", "pce")},
    ("rate_decision", "EU"): "14:15",
    ("rate_decision", "GB"): "12:00",
    ("rate_decision", "CA"): "09:45",
    ("rate_decision", "AU"): "14:30",
    ("rate_decision", "NZ"): "14:00",
}
"""Time of day, on the region's clock, of releases with a fixed hour."""

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)"
    r" ?(?P<offset>Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+\-\u2212]?(?:\d{1,64}(?:\.\d{0,64})?|\.\d{1,64})(?:[eE][+-]?\d{1,9})?")
_GROUPED = re.compile(r"[+\-\u2212]?\d{1,3}(?:,\d{3}){1,21}(?:\.\d{0,64})?")
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def read_moment(
    text: str, where: str, kind: str, region: str, zone: str
) -> tuple[pd.Timestamp, bool] | None:
    """Reads a moment in UTC, and whether its time of day is known; None for an empty cell.

    Args:
        text: The cell.
        where: Line and column, for messages.
        kind: Kind of the event, for the usual hour of a date without one.
        region: Its region, for the clock.
        zone: IANA name of the clock of times without an offset; "" takes the region's.
    """
    if not text:
        return None
    _require_short(text, where)
    match = _STAMP.fullmatch(" ".join(text.split()))
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
    """The moment, in UTC, at which a clock shows a date and time of day.

    In the repeated hour of a clock change it is the first one; a skipped time moves forward.

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
    """Reads a number with or without a percent sign; None for an empty cell.

    Letters such as K or M are refused: the figures of one event share one scale, named in the
    column `unit`.
    """
    _require_short(text, where)
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


def _require_short(text: str, where: str) -> None:
    if len(text) > _MAX_FIGURE:
        raise InvalidEvents(
            f"{where}: the cell has {len(text):,} characters and begins with {text[:40]!r}; at "
            f"most {_MAX_FIGURE} are read. Correct the cell."
        )


def read_flag(text: str, where: str) -> bool | None:
    """Reads yes or no; None for an empty cell."""
    if not text:
        return None
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise InvalidEvents(f"{where}: must be yes or no, found {text[:60]!r}.")
    return flag
