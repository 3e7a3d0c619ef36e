"""Sheets of Excel workbooks (xlsx) as lines of text, by python-calamine.

calamine is written in Rust: a sheet of 100,000 bars is there in a third of a second, which leaves
the budget of the process for times and numbers. It runs neither macros nor formulas and follows no
link. What it gets is a copy of the parts that it reads, unpacked here within bounds: a zip archive
can declare and hide more than it shows.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

from data_sources.csv.table import has_bars
from data_sources.csv.text import MAX_COLUMNS, MAX_ROWS, PREAMBLE, Text, too_many_rows
from data_sources.csv.times import DAY_ZERO
from kronos.errors import InvalidCandles

__all__ = ["read_workbook"]

_MAX_PARTS = 2_000
_MAX_UNPACKED = 160 * 2**20  # bytes
_MAX_CELL = 1_000  # characters of a cell that are looked at
_MAX_SHEETS = 50
_SHOWN = 5
_DAY_ZERO_1904 = "1904-01-01"
_HEAD = 60  # rows among which the header must be
_MAX_MERGED = 1_000
_1904 = re.compile(rb"\bdate1904 ?= ?[\"'](?:1|true)[\"']")
# A single cell far off would make the table as large as the sheet can be.
_FAR_ROW = re.compile(rb"\br=[\"'][A-Z]{0,3}((?:[6-9]\d{5}|\d{7,9}))[\"']")
_FAR_COLUMN = re.compile(rb"\br=[\"']((?:[C-Z][A-Z]|B[M-Z]|[A-Z]{3})\d{1,7})[\"']")
_OPEN_DATE = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}(?!\d)")
_MARKS = str.maketrans(dict.fromkeys('\x00\t\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"', " "))


def read_workbook(data: bytes, file_name: str) -> Text:
    """Lines of the first sheet of a workbook that has bars.

    Args:
        data: The file: one that begins as a zip archive or as an old Office document.
        file_name: Its name, for messages.

    Raises:
        InvalidCandles: It is no workbook, is encrypted or damaged, or no sheet has bars.
    """
    import python_calamine as calamine

    parts = _Parts(data, file_name)
    notes = []
    if any(name.lower().endswith("vbaproject.bin") for name in parts.others):
        notes.append("the workbook has macros, which are not run")
    try:
        workbook = calamine.load_workbook(parts.packed)
        sheets = [
            each.name
            for each in workbook.sheets_metadata
            if each.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        for number, name in enumerate(sheets[:_MAX_SHEETS], 1):
            text = _sheet_text(workbook.get_sheet_by_name(name), file_name, is_1904=parts.is_1904)
            if text is None:
                continue
            title = name[:40].translate(_MARKS)
            text.encoding = f'Excel workbook, sheet "{title}"'
            if len(sheets) > 1:
                text.encoding += f" ({number} of {len(sheets)})"
                notes.append(f'the bars are those of the sheet "{title}", the first that has bars')
            text.notes += notes
            return text
    except InvalidCandles:
        raise
    except (calamine.CalamineError, OSError, ValueError) as exc:
        raise _damaged(file_name, exc) from exc
    shown = ", ".join(repr(name[:30]) for name in sheets[:_SHOWN])
    more = ", ..." if len(sheets) > _SHOWN else ""
    raise InvalidCandles(
        f"{file_name} is an Excel workbook without bars: no sheet ({shown}{more}) has a row that "
        "names open, high, low and close. Add a row of names above the bars."
    )


def _damaged(file_name: str, exc: Exception) -> InvalidCandles:
    words = " ".join(str(exc).split())[:120]
    return InvalidCandles(
        f"{file_name} is an Excel workbook that cannot be read ({words}). Open it in Excel, save "
        "it again, or save the sheet as CSV."
    )


class _Parts:
    """The parts of a workbook that are read, unpacked within bounds and packed anew.

    Attributes:
        packed: A zip archive of them, without compression.
        others: Names of the parts that are left out: pictures, macros.
        is_1904: Whether its days count from 1904.
    """

    def __init__(self, data: bytes, file_name: str) -> None:
        if data.startswith(b"\xd0\xcf\x11\xe0"):
            if "EncryptedPackage".encode("utf-16-le") in data:
                raise InvalidCandles(
                    f"{file_name} is encrypted. Open it in Excel, remove the password (File, "
                    "Info, Protect Workbook), save it and upload it again."
                )
            raise InvalidCandles(
                f"{file_name} is an old Excel workbook (.xls). Open it and save it as .xlsx or "
                "the sheet as CSV."
            )
        self.packed = io.BytesIO()
        self.others: list[str] = []
        self.is_1904 = False
        try:
            with (
                zipfile.ZipFile(io.BytesIO(data)) as given,
                zipfile.ZipFile(self.packed, "w") as packed,
            ):
                self._copy(given, packed, file_name)
        except InvalidCandles:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
                NotImplementedError) as exc:  # fmt: skip
            raise _damaged(file_name, exc) from exc
        self.packed.seek(0)

    def _copy(self, given: zipfile.ZipFile, packed: zipfile.ZipFile, file_name: str) -> None:
        infos = {info.filename: info for info in given.infolist()[:_MAX_PARTS]}
        _require_workbook(infos, file_name)
        read = {
            name: info
            for name, info in infos.items()
            if name.lower().endswith((".xml", ".rels")) and not name.startswith("customXml/")
        }
        self.others = [name for name in infos if name not in read]
        if any(info.flag_bits & 1 for info in read.values()):
            raise InvalidCandles(
                f"{file_name} is a zip archive with a password. Save the workbook without one."
            )
        # No part gives more bytes than it declares.
        n_bytes = sum(info.file_size for info in read.values())
        if n_bytes > _MAX_UNPACKED:
            raise InvalidCandles(
                f"{file_name} unpacks to {n_bytes / 2**20:,.0f} MB; at most "
                f"{_MAX_UNPACKED // 2**20} MB are read. Keep the most recent rows and the columns "
                "time, open, high, low, close and volume."
            )
        for name, info in read.items():
            part = given.read(info)
            if name.lower() == "xl/workbook.xml":
                self.is_1904 = _1904.search(part) is not None
            elif name.lower().startswith("xl/worksheets/"):
                _require_near(part, file_name)
            packed.writestr(name, part)


def _require_workbook(names: Iterable[str], file_name: str) -> None:
    lower = {name.lower() for name in names}
    if "xl/workbook.xml" in lower:
        return
    found = (
        "an Excel workbook in binary form (.xlsb); save it as .xlsx"
        if "xl/workbook.bin" in lower
        else "an OpenDocument file; save it as .xlsx or CSV"
        if "content.xml" in lower
        else "a Word document"
        if "word/document.xml" in lower
        else "a zip archive; unpack it first"
    )
    raise InvalidCandles(f"{file_name} is not a file of candles: it is {found}.")


def _require_near(sheet: bytes, file_name: str) -> None:
    if match := _FAR_ROW.search(sheet):
        raise too_many_rows(file_name, int(match[1]))
    if match := _FAR_COLUMN.search(sheet):
        raise InvalidCandles(
            f"{file_name} has a cell {match[1].decode()}; at most {MAX_COLUMNS} columns are read. "
            "Delete the columns to the right of the bars."
        )


def _sheet_text(sheet: Any, file_name: str, *, is_1904: bool) -> Text | None:
    """A sheet as lines of tab-separated cells; None if it has no bars."""
    if sheet.start is None:
        return None
    n_rows, first_column = sheet.end[0] + 1, sheet.start[1]
    if n_rows > MAX_ROWS + PREAMBLE:
        raise too_many_rows(file_name, n_rows)
    rows = sheet.iter_rows()  # from the first row of the sheet, and its first used column
    head = [[_cell(value) for value in row] for row in islice(rows, _HEAD)]
    _fill_merged(head, sheet.merged_cell_ranges or [], first_column)
    lines = [_line(row) for row in head]
    if not has_bars(lines):
        return None
    is_date: set[int] = set()
    texts: dict[int, tuple[int, str]] = {}
    for number, row in enumerate(sheet.iter_rows(), 1):
        _note_dates(row, number, is_date, texts)
    lines += [_line([_cell(value) for value in row]) for row in rows]
    for column in is_date & texts.keys():
        line, text = texts[column]
        raise InvalidCandles(
            f"Line {line}: the cell {text[:40]!r} is text, but other cells of its column are "
            "dates: Excel has read some dates with day and month swapped, and left the others. "
            "Import the data again, and choose the order of day and month there."
        )
    return Text(lines, "", kind="Excel", day_zero=_DAY_ZERO_1904 if is_1904 else DAY_ZERO)


def _note_dates(
    row: list[Any], line: int, is_date: set[int], texts: dict[int, tuple[int, str]]
) -> None:
    """Note the columns of a row that hold a date, and the texts such as 13/02/2024."""
    for column, value in enumerate(row):
        kind = type(value)
        if kind is float:
            continue
        if kind is dt.datetime or kind is dt.date:
            is_date.add(column)
        elif kind is str and column not in texts and _OPEN_DATE.match(value):
            texts[column] = (line, value)


def _fill_merged(head: list[list[str]], ranges: list[Any], first_column: int) -> None:
    """Write the text of merged cells, which stands in the first of them, into all of them."""
    for (top, left), (bottom, right) in ranges[:_MAX_MERGED]:
        first, last = left - first_column, right - first_column
        if top < len(head) and 0 <= first <= last < len(head[top]):
            for row in head[top : bottom + 1]:
                row[first : last + 1] = [head[top][first]] * (last - first + 1)


def _line(cells: list[str]) -> str:
    line = "\t".join(cells)
    return line if line.strip() else ""


def _cell(value: Any) -> str:
    """A cell as text that means the same in a CSV file."""
    kind = type(value)
    if kind is float:
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        text = repr(value)
        # 1.234 could be 1,234 in text; a number is what it is.
        return text + "0" if text[-4:-3] == "." else text
    if kind is str:
        return str(value[:_MAX_CELL].translate(_MARKS))
    if kind is dt.datetime:
        text = value.isoformat(" ")
        return text[:-7] if text.endswith(".000000") else text
    if kind is dt.timedelta:  # a time of day in the format [h]:mm
        seconds = round(value.total_seconds())
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)
