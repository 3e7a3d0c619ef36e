"""The table of candles in a text: its header, the meaning of its columns, and their cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

from data_sources.csv.numbers import is_blank
from data_sources.csv.report import ColumnReading, CsvReport
from data_sources.csv.text import MAX_COLUMNS, Text, require_short
from data_sources.csv.times import split_stamp
from kronos.errors import InvalidCandles

__all__ = ["Columns", "Table", "has_bars", "meaning_of", "read_table"]

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SEARCHED = 60  # lines among which the header must be
_JUDGED = 4 * MAX_COLUMNS  # cells of a line that are looked at to see whether it is the header
_CHUNK = 20_000  # lines split at once, which bounds the memory that wide files take
_DIGIT = re.compile(r"\d")
# Of the titles of columns, which have at most MAX_TITLE characters and single blanks.
MAX_TITLE = 100
_IN_BRACKETS = re.compile(r"[(\[][^)\]]{0,100}[)\]]")
_NUMBERING = re.compile(r"^\d{1,9}[a-z]?[.)] ?")
_MARKS = re.compile(r"[_\-./*:$€£¥]+")
_UNIT = re.compile(r"[a-z]{3,5}")
_AVERAGE = re.compile(r"ma|avg|sma")
_NUMBER = re.compile(r"[\d.,]+")
_EPOCH = re.compile(r"\d{10,19}")
# Layouts of files without a header: MetaTrader and histdata, and Binance.
_NAMELESS = ["date", "open", "high", "low", "close", "volume"]
_BINANCE = [
    *_NAMELESS,
    *("close time", "quote volume", "trades", "taker base", "taker quote", "ignore"),
]
# The names that vendors give to each kind of column.
_NAMES = {
    "epoch": "unix, unix time, unix timestamp, unixtime, epoch, unix ms",
    "timestamp": "timestamp, timestamps, datetime, date time, date and time, open time, opentime, "
    "candle begin time, bar time, trade time, start time, time utc, date utc, datetime utc, gmt "
    "time, local time, begin, time stamp, start, t, ts, 时间戳, 交易时间, datum zeit",
    "date": "date, day, trade date, trading date, trading day, dates, week, datum, fecha, "
    "日期, 交易日期",
    "time": "time, clock, hour, 时间, zeit, uhrzeit, hora",
    "open": "open, o, open price, opening price, first, op, eroffnung, eröffnung, erster, "
    "apertura, ouverture, 开盘, 开盘价",
    "high": "high, h, high price, max, hi, hoch, tageshoch, máximo, maximo, plus haut, "
    "最高, 最高价",
    "low": "low, l, low price, min, lo, 最低, 最低价, tief, tagestief, mínimo, minimo, plus bas",
    "close": "close, c, close price, closing price, last, close last, cl, settle, 收盘, 收盘价, "
    "schluss, schlusskurs, schlußkurs, cierre, clôture, cloture, dernier",
    "adjusted close": "adj close, adjclose, adjusted close, adj close price, close adj, "
    "adjusted closing price",
    "price": "price",
    "volume": "volume, vol, v, volumes, qty, quantity, total volume, volume from, base volume, "
    "volumefrom, share volume, 成交量, volumen, stuck, stück",
    "tick volume": "tickvol, tick volume, tickvolume",
    "amount": "amount, turnover, quote volume, quote asset volume, volume to, volumeto, value, "
    "traded value, total turnover, quotevolume, money, amt, dollar volume, umsatz, "
    "成交额, 成交金额",
    "symbol": "symbol, ticker, instrument, code, stock code, ts code, pair, tic, asset, security, "
    "股票代码, 代码, isin, sec code",
}
_MEANINGS = {
    name.strip(): meaning for meaning, names in _NAMES.items() for name in names.split(",")
}
_PRICES = ("open", "high", "low", "close")
_TIME_KINDS = ("epoch", "timestamp", "date", "time")  # the first that a file has is read


@dataclass(slots=True)
class Columns:
    """Which column is what.

    Attributes:
        position: Position of timestamp, time of day, open, high, low, close, volume, amount and
            symbol, as far as the file has them.
        readings: One a column, in file order.
        assumptions: How several candidates for one meaning were decided.
        copies: Positions of columns with the title of a used one, and the meaning of that one.
            Their cells must be equal, or nothing says which one is meant.
    """

    position: dict[str, int] = field(default_factory=dict)
    readings: list[ColumnReading] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    copies: dict[int, str] = field(default_factory=dict)

    def title(self, meaning: str) -> str:
        """Name in the file of the column with a meaning."""
        return self.readings[self.position[meaning]].name


@dataclass(frozen=True, slots=True)
class Table:
    """The used columns as text.

    Attributes:
        columns: Which column is what.
        cells: Cells by meaning, each (T,).
        lines: (T,) line number of each row in the file.
        delimiter: The sign between cells.
        symbol: Ticker above the bars, if any.
    """

    columns: Columns
    cells: dict[str, list[str]]
    lines: list[int]
    delimiter: str
    symbol: str | None

    def only(self, positions: Sequence[int]) -> Table:
        """The table with some of its rows, in order."""
        if len(positions) == len(self.lines):
            return self
        cells = {name: [column[i] for i in positions] for name, column in self.cells.items()}
        lines = [self.lines[i] for i in positions]
        return Table(self.columns, cells, lines, self.delimiter, self.symbol)

    def ticker(self) -> str | None:
        """The ticker in the rows or above them; None where there is none.

        Raises:
            InvalidCandles: The rows hold several.
        """
        if "symbol" not in self.cells:
            return self.symbol
        found = {cell.strip() for cell in set(self.cells["symbol"]) if not is_blank(cell)}
        if len(found) > 1:
            shown = ", ".join(repr(name[:20]) for name in sorted(found)[:5])
            raise InvalidCandles(
                f"Column {self.columns.title('symbol')} holds {len(found)} symbols ({shown}"
                f"{', ...' if len(found) > 5 else ''}). A file must hold one instrument."
            )
        return found.pop()[:40] if found else self.symbol


def read_table(text: Text, report: CsvReport) -> Table:
    """The candle table of a file.

    Lines before the header are skipped. Blank lines, comments, repeated headers and lines
    without any price (footers) are left out and reported.

    Raises:
        InvalidCandles: No header that names candles, too many columns, or a row with more
            cells than the header.
    """
    start, delimiter, header = _find_header(text)
    if len(header) > MAX_COLUMNS:
        raise InvalidCandles(
            f"The table has {len(header)} columns; at most {MAX_COLUMNS} are read. Keep time, "
            "open, high, low, close and volume."
        )
    for i, title in enumerate(header):
        require_short([title], MAX_TITLE, f"header of column {i + 1}", [start + 1])
    report.delimiter = "" if text.kind else _DELIMITERS[delimiter]
    report.assumptions += text.notes
    body = start
    if start >= 0:
        report.header_line = start + 1
        body += 1
    else:
        body = _first_content(text.lines)
        report.assumptions.append(
            "the file has no header; its columns are taken as " + ", ".join(header[:7])
        )
    if body > 1:
        skipped = [i + 1 for i in range(body - 1 if start >= 0 else body) if text.lines[i].strip()]
        report.drop("text before the header", skipped)
    symbol, body, header = _read_sub_header(text.lines, body, delimiter, header)
    rows = _rows(text.lines, body, delimiter)
    first = next(rows, None)
    if first is None:
        raise InvalidCandles(f"{report.file_name} has a header but no rows.")
    if len(first[1]) == len(header) + 1 and first[1][-1].strip():
        header = ["", *header]  # row names without a title, as R writes them
    columns = _ColumnChooser(header).columns()
    report.columns = columns.readings
    report.assumptions += columns.assumptions
    wanted = {**columns.position, **{_copy_key(i): i for i in columns.copies}}
    regular = _collect_regular(text.lines, body, delimiter, header, wanted)
    cells, lines = regular or _collect(chain([first], rows), header, wanted, report)
    _merge_copies(cells, lines, columns, report)
    report.rows_read = report.rows_read or len(lines)
    return Table(columns, cells, lines, delimiter, symbol)


# Where the header is.


def has_bars(lines: list[str]) -> bool:
    """Whether lines of tab-separated cells begin as a table of candles does."""
    return _search_header(lines) is not None


def _find_header(text: Text) -> tuple[int, str, list[str]]:
    """Line index of the header (-1: none), delimiter, and the header's cells."""
    found = _search_header(text.lines)
    if found is not None:
        return found
    content = _first_content(text.lines)
    shown = text.lines[content].strip()[:80] if content < len(text.lines) else ""
    if text.kind:
        titles = ", ".join(cell or "(no name)" for cell in shown.split("\t"))
        raise InvalidCandles(
            f"No columns are named open, high, low and close. The first names are {titles!r}."
        )
    raise InvalidCandles(
        "No header line names open, high, low and close, separated by comma, semicolon, tab or "
        f"pipe. The first line is {shown!r}."
    )


def _search_header(lines: list[str]) -> tuple[int, str, list[str]] | None:
    best: tuple[int, int, str, list[str]] | None = None
    for i, line in enumerate(lines[:_SEARCHED]):
        text = line.lstrip("# ") if line.startswith("#") else line
        for delimiter in _DELIMITERS:
            if delimiter not in text:
                continue
            cells = _split(text, delimiter)
            titles = dict.fromkeys(cell.strip() for cell in cells[:_JUDGED])
            known = len({meaning for title in titles if (meaning := meaning_of(title))})
            if known >= 3 and (best is None or known > best[0]):
                best = (known, i, delimiter, cells)
    if best is not None:
        return best[1:]
    return _find_nameless(lines)


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _first_content(lines: list[str]) -> int:
    return next(
        (i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines)
    )


def _find_nameless(lines: list[str]) -> tuple[int, str, list[str]] | None:
    """As `_find_header`, with a supposed header, for a file that starts with bars at once."""
    content = _first_content(lines)
    if content >= len(lines):
        return None
    for delimiter in _DELIMITERS:
        cells = [cell.strip() for cell in _split(lines[content], delimiter)]
        is_number = [bool(_NUMBER.fullmatch(cell)) for cell in cells]
        if len(cells) < 5 or not cells[0]:
            continue
        is_stamp = split_stamp(cells[0]) is not None or _EPOCH.fullmatch(cells[0])
        if not is_stamp:
            continue
        has_clock = split_stamp(cells[1], has_date=False) is not None and ":" in cells[1]
        layout = _BINANCE if len(cells) == len(_BINANCE) else _NAMELESS
        if has_clock:
            layout = ["date", "time", *_NAMELESS[1:]]
        prices = 2 if has_clock else 1
        if len(cells) >= prices + 4 and all(is_number[prices : prices + 4]):
            extra = [f"column {i + 1}" for i in range(len(layout), len(cells))]
            return -1, delimiter, [*layout[: len(cells)], *extra]
    return None


def _read_sub_header(
    lines: list[str], body: int, delimiter: str, header: list[str]
) -> tuple[str | None, int, list[str]]:
    """Ticker, first line of the bars, and header, where that has several lines (yfinance)."""
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


# What its columns mean.


def meaning_of(cell: str) -> str | None:
    """Meaning of a header cell, whatever its case, marks, number or unit; None if unknown."""
    cell = cell.strip()
    if len(cell) > MAX_TITLE:
        return None
    name = " ".join(cell.split()).strip("\"'<>#").strip().lower()
    if name in _MEANINGS:
        return _MEANINGS[name]
    name = _IN_BRACKETS.sub(" ", name)
    name = _NUMBERING.sub("", name)
    name = " ".join(_MARKS.sub(" ", name).split())
    if name in _MEANINGS:
        return _MEANINGS[name]
    head, _, unit = name.rpartition(" ")
    # "Volume BTC", "Close USD": a unit without brackets.
    if _UNIT.fullmatch(unit) and head in _MEANINGS and unit not in _MEANINGS:
        meaning = _MEANINGS[head]
        return meaning if meaning in (*_PRICES, "volume", "amount") else None
    return None


class _ColumnChooser:
    """Decides which column is read as what.

    Args:
        header: The header, one cell a column.
    """

    def __init__(self, header: list[str]) -> None:
        self._header = header
        self._titles = [cell.strip() for cell in header]
        self._found: dict[str, list[int]] = {}  # positions by meaning
        self._repeats: list[tuple[int, int]] = []  # positions of a column and of its namesake
        self._columns = Columns()
        self._read_as: dict[int, tuple[str, str]] = {}  # shown meaning and reason by position

    def columns(self) -> Columns:
        """Position and reading of every column.

        Raises:
            InvalidCandles: No time column, a price column missing, or prices twice (several
                instruments side by side).
        """
        first: dict[str, int] = {}
        for i, cell in enumerate(self._header):
            meaning = meaning_of(cell)
            original = first.setdefault(self._titles[i].casefold(), i)
            if meaning and original != i and meaning not in _PRICES:
                self._repeats.append((i, original))
            elif meaning:
                self._found.setdefault(meaning, []).append(i)
        self._choose_time()
        self._choose_prices()
        self._choose_volumes()
        if "symbol" in self._found:
            self._use(self._found["symbol"][0], "symbol")
        columns = self._columns
        used = {position: meaning for meaning, position in columns.position.items()}
        columns.copies = {i: used[original] for i, original in self._repeats if original in used}
        for i, title in enumerate(self._titles):
            meaning, why = self._read_as.get(i, (None, ""))
            columns.readings.append(ColumnReading(title or f"column {i + 1}", meaning, why))
        return columns

    def _use(self, position: int, meaning: str, *, shown: str = "", why: str = "") -> None:
        self._columns.position[meaning] = position
        self._read_as[position] = (shown or meaning, why)

    def _choose_time(self) -> None:
        found = self._found
        kinds = [kind for kind in _TIME_KINDS if kind in found]
        if not kinds and not self._titles[0]:
            self._use(0, "timestamp", why="first column without a name")
            return
        if not kinds:
            raise InvalidCandles(
                "There is no time column: name one Date, Datetime or timestamp. The columns are "
                f"{_listed(self._titles)}."
            )
        position = found[kinds[0]][0]
        if kinds[0] == "date" and "time" in found:
            self._use(position, "timestamp", shown="date")
            self._use(found["time"][0], "time of day")
            return
        self._use(position, "timestamp")
        others = [self._titles[i] for kind in kinds for i in found[kind] if i != position]
        if others:
            self._columns.assumptions.append(
                f"time is read from {self._titles[position]!r}, not from {_listed(others)}"
            )

    def _choose_prices(self) -> None:
        found, assumptions = self._found, self._columns.assumptions
        stand_in = next((name for name in ("price", "adjusted close") if name in found), None)
        if "close" not in found and stand_in is not None:
            found["close"] = found[stand_in]
            assumptions.append(f"{self._titles[found['close'][0]]!r} is taken as the close")
        missing = [name for name in _PRICES if name not in found]
        if missing:
            raise InvalidCandles(
                f"There is no column for {', '.join(missing)}. Candles need open, high, low and "
                f"close; the columns are {_listed(self._titles)}."
            )
        for name in _PRICES:
            if len(found[name]) > 1:
                raise InvalidCandles(
                    f"Several columns hold the {name} "
                    f"({_listed([self._titles[i] for i in found[name]])}, "
                    f"columns {', '.join(str(i + 1) for i in found[name])}): "
                    "the file seems to hold several instruments side by side. Keep one instrument."
                )
            self._use(found[name][0], name)
        if "adjusted close" in found and found["adjusted close"] != found["close"]:
            assumptions.append(
                "prices are used as they stand; the adjusted close is ignored, because the file "
                "does not adjust open, high and low with it"
            )

    def _choose_volumes(self) -> None:
        found = self._found
        volumes = found.get("volume", []) or found.get("tick volume", [])[:1]
        if volumes:
            self._use(volumes[0], "volume")
        if "amount" in found:
            self._use(found["amount"][0], "amount")
        elif len(volumes) == 2 and not _AVERAGE.search(self._header[volumes[1]].lower()):
            # "Volume BTC" and "Volume USDT": the second is the traded value.
            self._use(volumes[1], "amount")
            self._columns.assumptions.append(
                f"{self._titles[volumes[0]]!r} is the volume and {self._titles[volumes[1]]!r} the "
                "amount"
            )


def _listed(titles: list[str]) -> str:
    shown = [repr(title[:30]) for title in titles[:12]]
    return ", ".join(shown) + (", ..." if len(titles) > 12 else "")


# Its rows.


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
    prices = [wanted[name] for name in _PRICES]
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


def _fitted(row: list[str], width: int, line: int) -> list[str]:
    """A row of the header's width: blank cells are added or cut off at its end."""
    if len(row) > width and any(cell.strip() for cell in row[width:]):
        raise InvalidCandles(
            f"Line {line} has {len(row)} cells but the header names {width}. Put numbers that "
            "contain the separator in quotation marks."
        )
    return (row + [""] * (width - len(row)))[:width]


def _copy_key(position: int) -> str:
    return f"copy in column {position + 1}"


def _merge_copies(
    cells: dict[str, list[str]], lines: list[int], columns: Columns, report: CsvReport
) -> None:
    """Take columns with the title of a used one out of `cells`, if their cells are equal."""
    for position, meaning in columns.copies.items():
        used, title = columns.position[meaning], columns.title(meaning)
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
