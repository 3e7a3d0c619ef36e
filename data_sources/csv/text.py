"""Bytes of a text file to lines, within bounds; anything but text is refused."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

from kronos.errors import InvalidCandles

__all__ = [
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_LINE",
    "MAX_ROWS",
    "PREAMBLE",
    "Text",
    "decode",
    "require_short",
    "require_size",
    "too_many_rows",
]

MAX_BYTES = 20 * 1024 * 1024
MAX_COLUMNS = 64
MAX_ROWS = 500_000
MAX_LINE = 64 * 1024
PREAMBLE = 100  # lines that may stand before the first bar

_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"BZh", "bzip2-compressed; unpack it first"),
    (b"\xfd7zXZ", "xz-compressed; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"PARE", "an encrypted Parquet file; save it without a key"),
    (b"SQLite format 3", "a SQLite database; export a table as CSV"),
    (b"\x7fELF", "a program"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 (little-endian)"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 (big-endian)"),
)


@dataclass(slots=True)
class Text:
    """The lines of a file.

    Attributes:
        lines: Without line ends; `lines[i]` is line i + 1 of the file, or row i + 1 of a sheet.
            Line 1 of a Parquet or Feather file has the names of its columns.
        encoding: How the bytes were read, for showing.
        kind: "" for a text file; else the format, and cells are separated by tabs.
        day_zero: Day from which the day numbers of a spreadsheet count.
        notes: How open questions were decided.
    """

    lines: list[str]
    encoding: str
    kind: str = ""
    day_zero: str = "1899-12-30"
    notes: list[str] = field(default_factory=list)


def decode(data: bytes, file_name: str) -> Text:
    """Lines of a text file.

    Raises:
        InvalidCandles: Empty, larger than the bounds, not text, or a web page.
    """
    require_size(data, file_name)
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            raise InvalidCandles(f"{file_name} is not a file of candles: it is {what}.")
    text, encoding = _to_text(data, file_name)
    controls = sum(ord(sign) < 32 and sign not in "\t\r\n\f" for sign in text[:4096])
    if controls > 4:
        raise InvalidCandles(f"{file_name} is not a text file. Export the data as CSV.")
    start = text[:2000].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<head", "<?xml")):
        raise InvalidCandles(
            f"{file_name} is a web page, not a CSV file: the download probably led to an error "
            "or login page. Download the data again."
        )
    if start.startswith(("{", "[{", "[[")):
        raise InvalidCandles(f"{file_name} holds JSON, not CSV. Export it as CSV.")
    return Text(_bounded_lines(text, file_name), encoding)


def require_size(data: bytes, file_name: str) -> None:
    """Refuse a file that is empty or too large.

    Raises:
        InvalidCandles: It is.
    """
    if not data.strip():
        raise InvalidCandles(f"{file_name} is empty.")
    if len(data) > MAX_BYTES:
        raise InvalidCandles(
            f"{file_name} has {len(data) / 2**20:.1f} MB; at most {MAX_BYTES // 2**20} MB are "
            "read. Keep the most recent rows, or use a wider interval."
        )


def too_many_rows(file_name: str, n_rows: int) -> InvalidCandles:
    """The error of a table with more rows than are read."""
    return InvalidCandles(
        f"{file_name} has {n_rows:,} lines; at most {MAX_ROWS:,} rows are read. Keep the most "
        "recent rows, or use a wider interval."
    )


def require_short(cells: Sequence[str], limit: int, where: str, lines: Sequence[int]) -> None:
    """Refuse cells that are too long to be what their column says, before any pattern sees them.

    Args:
        cells: (T,) cells; blanks around them do not count.
        limit: Characters a cell may have.
        where: The column, for the message.
        lines: (T,) line number of each row.

    Raises:
        InvalidCandles: A cell is longer; names line and column.
    """
    if max(map(len, cells), default=0) <= limit:
        return
    for cell, line in zip(cells, lines, strict=True):
        if len(stripped := cell.strip()) > limit:
            raise InvalidCandles(
                f"Line {line}, {where}: the cell has {len(stripped):,} characters and begins with "
                f"{stripped[:40]!r}; at most {limit} are read. Correct the cell."
            )


def _to_text(data: bytes, file_name: str) -> tuple[str, str]:
    codec, label = _encoding(data, file_name)
    try:
        return data.decode(codec), label
    except UnicodeDecodeError as exc:
        if codec != "utf-8":
            raise InvalidCandles(
                f"{file_name} begins as {label} but byte {exc.start} is not. Save it as UTF-8."
            ) from exc
    return data.decode("cp1252", errors="replace"), "Latin-1 (Windows-1252)"


def _encoding(data: bytes, file_name: str) -> tuple[str, str]:
    for mark, codec, label in _MARKS:
        if data.startswith(mark):
            return codec, label
    head = data[:4096]
    if b"\x00" in data:
        # UTF-16 without a mark has a zero in nearly every second byte.
        for offset, codec, label in (
            (1, "utf-16-le", "UTF-16 (little-endian)"),
            (0, "utf-16-be", "UTF-16 (big-endian)"),
        ):
            if head[offset::2].count(0) > 0.8 * len(head[offset::2]):
                return codec, label
        line = data[: data.index(b"\x00")].count(b"\n") + 1
        raise InvalidCandles(
            f"{file_name} has a NUL byte in line {line}: it is damaged or not a text file."
        )
    return "utf-8", "UTF-8"


def _bounded_lines(text: str, file_name: str) -> list[str]:
    if "\x00" in text:
        raise InvalidCandles(f"{file_name} has a NUL character: it is damaged or not text.")
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first = text.find("\n", 0, MAX_LINE + 1)
    if first < 0 and len(text) > MAX_LINE:
        raise InvalidCandles(
            f"The first line of {file_name} is longer than {MAX_LINE // 1024} KB: this is no "
            "table of candles."
        )
    n_lines = text.count("\n") + 1
    if n_lines > MAX_ROWS + PREAMBLE:
        raise too_many_rows(file_name, n_lines)
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE:
        longest = next(i for i, line in enumerate(lines) if len(line) > MAX_LINE)
        raise InvalidCandles(
            f"Line {longest + 1} of {file_name} is longer than {MAX_LINE // 1024} KB: this is "
            "no table of candles."
        )
    return lines
