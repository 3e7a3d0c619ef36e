"""The rows of a file as cells of the columns that are used."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

from data_sources.csv.columns import Columns, read_header
from data_sources.csv.header import DELIMITERS, find_header, first_content, sub_header
from data_sources.csv.report import CsvReport
from data_sources.csv.text import MAX_COLUMNS, Text
from kronos.errors import InvalidCandles

__all__ = ["Table", "read_table"]

_DIGIT = re.compile(r"\d")
_CHUNK = 20_000  # lines split at once, which bounds the memory that wide files take


@dataclass(frozen=True, slots=True)
class Table:
    """The used columns as text.

    Attributes:
        columns: Which column is what.
        cells: Cells by meaning, each (T,).
        lines: (T,) line number of each row in the file.
        delimiter: The sign between cells.
        symbol: Ticker found above the bars, if any.
    """

    columns: Columns
    cells: dict[str, list[str]]
    lines: list[int]
    delimiter: str
    symbol: str | None


def read_table(text: Text, report: CsvReport) -> Table:
    """The candle table of a file.

    Lines before the header are skipped. Blank lines, comments, repeated headers and lines
    without any price (footers) are left out and reported.

    Raises:
        InvalidCandles: No header that names candles, too many columns, or a row with more
            cells than the header.
    """
    start, delimiter, header = find_header(text.lines)
    if len(header) > MAX_COLUMNS:
        raise InvalidCandles(
            f"The table has {len(header)} columns; at most {MAX_COLUMNS} are read. Keep time, "
            "open, high, low, close and volume."
        )
    report.delimiter = DELIMITERS[delimiter]
    body = start
    if start >= 0:
        report.header_line = start + 1
        body += 1
    else:
        body = first_content(text.lines)
        report.assumptions.append(
            "the file has no header; its columns are taken as " + ", ".join(header[:7])
        )
    if body > 1:
        skipped = [i + 1 for i in range(body - 1 if start >= 0 else body) if text.lines[i].strip()]
        report.drop("text before the header", skipped)
    symbol, body, header = sub_header(text.lines, body, delimiter, header)
    rows = _rows(text.lines, body, delimiter)
    first = next(rows, None)
    if first is None:
        raise InvalidCandles(f"{report.file_name} has a header but no rows.")
    if len(first[1]) == len(header) + 1 and first[1][-1].strip():
        header = ["", *header]  # row names without a title, as R writes them
    columns = read_header(header)
    report.columns = columns.readings
    report.assumptions += columns.assumptions
    wanted = {**columns.position, **{_copy_key(i): i for i in columns.copies}}
    regular = _collect_regular(text.lines, body, delimiter, header, wanted)
    cells, lines = regular or _collect(chain([first], rows), header, wanted, report)
    _check_copies(cells, lines, columns, report)
    report.rows_read = report.rows_read or len(lines)
    return Table(columns, cells, lines, delimiter, symbol)


def _rows(lines: list[str], body: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is neither blank nor a comment."""
    # Quotes may span lines, so the reader's own count of lines is the right one.
    reader = csv.reader(
        (line + "\n" for line in lines[body:]), delimiter=delimiter, skipinitialspace=True
    )
    try:
        for cells in reader:
            if cells and not (
                cells[0].startswith("#") or (len(cells) == 1 and not cells[0].strip())
            ):
                yield body + reader.line_num, cells
    except csv.Error as exc:
        raise InvalidCandles(
            f"Line {body + reader.line_num} cannot be split into cells ({exc}): look for a "
            "quotation mark that is not closed."
        ) from exc


def _collect_regular(
    lines: list[str], body: int, delimiter: str, header: list[str], wanted: dict[str, int]
) -> tuple[dict[str, list[str]], list[int]] | None:
    """The quick way for files in which every line is a bar; None if any line is not."""
    end = len(lines)
    while end > body and not lines[end - 1].strip():
        end -= 1
    close = wanted["close"]
    taken: dict[str, list[str]] = {meaning: [] for meaning in wanted}
    for start in range(body, end, _CHUNK):
        chunk = lines[start : min(start + _CHUNK, end)]
        joined = "".join(chunk)
        if '"' in joined or "#" in joined:
            return None
        rows = list(csv.reader(chunk, delimiter=delimiter, skipinitialspace=True))
        if len(rows) != len(chunk) or set(map(len, rows)) != {len(header)}:
            return None
        by_column = list(zip(*rows, strict=True))
        if header[close] in by_column[close] or not all(map(str.strip, by_column[close])):
            return None
        for meaning, position in wanted.items():
            taken[meaning].extend(by_column[position])
    return taken, list(range(body + 1, end + 1))


def _collect(
    rows: Iterator[tuple[int, list[str]]],
    header: list[str],
    wanted: dict[str, int],
    report: CsvReport,
) -> tuple[dict[str, list[str]], list[int]]:
    """Cells of the wanted columns, without lines that are no bars."""
    meanings = list(wanted)
    used = itemgetter(*wanted.values())
    prices = [wanted[name] for name in ("open", "high", "low", "close")]
    width, close, title = len(header), wanted["close"], header[wanted["close"]]
    taken: list[tuple[str, ...]] = []
    lines: list[int] = []
    no_prices: list[int] = []
    repeated: list[int] = []
    for line, row in rows:
        if len(row) != width:
            row = _fitted(row, width, line)
        price = row[close]
        if price == title and price:
            repeated.append(line)
        elif not price.strip() and not any(_DIGIT.search(row[i]) for i in prices):
            no_prices.append(line)  # a blank bar, or words below the table
        else:
            taken.append(used(row))
            lines.append(line)
    report.rows_read = len(taken) + len(no_prices) + len(repeated)
    report.drop("no prices", no_prices)
    report.drop("the header again", repeated)
    by_meaning = zip(*taken, strict=True) if taken else ([] for _ in meanings)
    cells = {m: list(column) for m, column in zip(meanings, by_meaning, strict=True)}
    return cells, lines


def _copy_key(position: int) -> str:
    return f"copy in column {position + 1}"


def _check_copies(
    cells: dict[str, list[str]], lines: list[int], columns: Columns, report: CsvReport
) -> None:
    """Takes columns with the title of a used one out of `cells`, if they say the same."""
    for position, meaning in columns.copies.items():
        used = columns.position[meaning]
        title = columns.readings[used].name
        pairs = zip(cells[meaning], cells.pop(_copy_key(position)), lines, strict=True)
        for a, b, line in pairs:
            if a.strip() != b.strip():
                raise InvalidCandles(
                    f"Columns {used + 1} and {position + 1} are both named {title!r} but differ: "
                    f"line {line} holds {a.strip()[:40]!r} and {b.strip()[:40]!r}. Rename or "
                    f"delete the one that is not the {meaning}."
                )
        report.assumptions.append(
            f"columns {used + 1} and {position + 1}, both named {title!r}, hold the same cells; "
            "one is used"
        )


def _fitted(row: list[str], width: int, line: int) -> list[str]:
    """A row of the header's width: blank cells are added or cut off at its end."""
    if len(row) > width and any(cell.strip() for cell in row[width:]):
        raise InvalidCandles(
            f"Line {line} has {len(row)} cells but the header names {width}. Put numbers that "
            "contain the separator in quotation marks."
        )
    return (row + [""] * (width - len(row)))[:width]
