"""Finding the header of a table: delimiter, names, and layouts without any."""

from __future__ import annotations

import csv
import re

from data_sources.csv.columns import count_known
from data_sources.csv.dates import split_stamp
from kronos.errors import InvalidCandles

__all__ = ["DELIMITERS", "find_header", "first_content", "sub_header"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SEARCHED = 60  # lines among which the header must be
# Without a header: the layouts of MetaTrader, histdata and Binance files.
_NAMELESS = ["date", "open", "high", "low", "close", "volume"]
_BINANCE = [
    *_NAMELESS,
    *("close time", "quote volume", "trades", "taker base", "taker quote", "ignore"),
]


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def find_header(lines: list[str]) -> tuple[int, str, list[str]]:
    """Line index of the header (-1: none), delimiter, and the header's cells."""
    best: tuple[int, int, str, list[str]] | None = None
    for i, line in enumerate(lines[:_SEARCHED]):
        text = line.lstrip("# ") if line.startswith("#") else line
        for delimiter in DELIMITERS:
            if delimiter not in text:
                continue
            cells = _split(text, delimiter)
            known = count_known(cells)
            if known >= 3 and (best is None or known > best[0]):
                best = (known, i, delimiter, cells)
    if best is not None:
        return best[1], best[2], best[3]
    nameless = _find_nameless(lines)
    if nameless is not None:
        return nameless
    content = first_content(lines)
    shown = lines[content].strip()[:80] if content < len(lines) else ""
    raise InvalidCandles(
        "No header line names open, high, low and close, separated by comma, semicolon, tab or "
        f"pipe. The first line is {shown!r}."
    )


def first_content(lines: list[str]) -> int:
    return next(
        (i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines)
    )


def _find_nameless(lines: list[str]) -> tuple[int, str, list[str]] | None:
    """Delimiter and supposed header of a file that starts with bars at once."""
    content = first_content(lines)
    if content >= len(lines):
        return None
    for delimiter in DELIMITERS:
        cells = [cell.strip() for cell in _split(lines[content], delimiter)]
        numbers = [bool(re.fullmatch(r"[\d.,]+", cell)) for cell in cells]
        if len(cells) < 5 or not cells[0]:
            continue
        is_stamp = split_stamp(cells[0]) is not None or re.fullmatch(r"\d{10,19}", cells[0])
        if not is_stamp:
            continue
        has_clock = split_stamp(cells[1], has_date=False) is not None and ":" in cells[1]
        layout = _BINANCE if len(cells) == len(_BINANCE) else _NAMELESS
        if has_clock:
            layout = ["date", "time", *_NAMELESS[1:]]
        prices = 2 if has_clock else 1
        if len(cells) >= prices + 4 and all(numbers[prices : prices + 4]):
            extra = [f"column {i + 1}" for i in range(len(layout), len(cells))]
            return -1, delimiter, [*layout[: len(cells)], *extra]
    return None


def sub_header(
    lines: list[str], body: int, delimiter: str, header: list[str]
) -> tuple[str | None, int, list[str]]:
    """Ticker and real start of the bars below a header of several lines (yfinance)."""
    symbol = None
    for i in range(body, min(body + 3, len(lines))):
        cells = [cell.strip() for cell in _split(lines[i], delimiter)]
        title = cells[0].lower() if cells else ""
        if title == "ticker":
            names = {cell for cell in cells[1:] if cell}
            if len(names) > 1:
                raise InvalidCandles(
                    f"Line {i + 1}: the file holds several symbols ({', '.join(sorted(names)[:5])}"
                    "). Keep one."
                )
            symbol = names.pop() if names else None
        elif title in ("date", "datetime", "timestamp", "price") and not any(cells[1:]):
            header = [cells[0], *header[1:]]
        else:
            return symbol, i, header
    return symbol, min(body + 3, len(lines)), header
