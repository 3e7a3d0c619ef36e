"""Tables of events as CSV: what users bring, what is stored, and what ships with the package.

One row an event. A header names the columns, in any order and case:

    kind, time           needed; time as 2025-10-24T12:30Z, 2025-10-24 08:30 or 2025-10-24
    region or symbol     what it concerns: US, EU, GB, ... or a ticker
    zone                 clock of times without an offset; default: the region's
    name, period, unit, source
    actual, consensus, previous
    announced            when its date became public
    fetched_at, is_time_exact

A time without an offset is read on the release's own clock, so 08:30 in New York is 12:30 UTC in
summer and 13:30 in winter. A date alone takes the hour that releases of that kind and region keep;
where they keep none it takes noon, and the time is marked as not exact.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import fields

import pandas as pd

from kronos.errors import InvalidEvents
from kronos.events.cells import read_flag, read_moment, read_number
from kronos.events.event import Event, sorted_events

__all__ = ["MAX_BYTES", "MAX_ROWS", "events_csv", "read_events"]

MAX_BYTES = 5 * 1024 * 1024
MAX_ROWS = 50_000
_MAX_CELL = 500
_COLUMNS = tuple(field.name for field in fields(Event))
_ALSO = {
    "date": "time", "datetime": "time", "timestamp": "time", "time_utc": "time",
    "event": "kind", "type": "kind",
    "ticker": "symbol", "country": "region",
    "forecast": "consensus", "expected": "consensus", "estimate": "consensus",
    "prior": "previous", "title": "name", "reference": "period", "timezone": "zone", "tz": "zone",
}  # fmt: skip
_TEXTS = ("symbol", "name", "period", "unit", "source")
_QUOTED_STARTS = ("=", "+", "-", "@", "'", "\t", "\r")


def read_events(data: bytes, file_name: str) -> tuple[Event, ...]:
    """Events of a CSV file, by time.

    Args:
        data: The file: UTF-8, comma or semicolon, at most 5 MB and 50,000 rows.
        file_name: Its name, for messages; no file of that name is read.

    Raises:
        InvalidEvents: The file cannot be used; the message names line and column.
    """
    rows = _rows(_text(data, file_name), file_name)
    _, header = next(rows, (0, []))
    columns = _columns(header, file_name)
    events: list[Event] = []
    lines: list[int] = []
    for line, cells in rows:
        if len(events) == MAX_ROWS:
            raise InvalidEvents(f"{file_name} has more than {MAX_ROWS:,} events; split it.")
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

    A text that a spreadsheet would take for a formula gets an apostrophe in front, which
    `read_events` takes off again.
    """
    opened = io.StringIO()
    writer = csv.writer(opened, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for event in events:
        writer.writerow([_cell(getattr(event, name)) for name in _COLUMNS])
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
    """Line numbers and cells of the rows that hold anything."""
    header = text.lstrip().splitlines()[0]
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
    """Positions of the columns that are understood; others are ignored."""
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
        Event(kind, pd.Timestamp(0, tz="UTC"), region, cell("symbol"))
    except InvalidEvents as exc:
        raise InvalidEvents(f"{where}: {exc}") from exc
    time = read_moment(cell("time"), f"{where}, column time", kind, region, cell("zone"))
    if time is None:
        raise InvalidEvents(f"{where}, column time: must be a date or a time, found nothing.")
    said = read_flag(cell("is_time_exact"), f"{where}, column is_time_exact")
    texts = {name: cell(name).removeprefix("'") for name in _TEXTS}
    return Event(
        kind=kind,
        time=time[0],
        region=region,
        actual=read_number(cell("actual"), f"{where}, column actual"),
        consensus=read_number(cell("consensus"), f"{where}, column consensus"),
        previous=read_number(cell("previous"), f"{where}, column previous"),
        fetched_at=moment("fetched_at"),
        announced=moment("announced"),
        is_time_exact=time[1] if said is None else said,
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
