"""The rows of a file as cells of the columns that are used."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

from data_sources.csv.numbers import is_blank
from data_sources.csv.report import ColumnReading, CsvReport
from data_sources.csv.text import MAX_COLUMNS, Text
from data_sources.csv.times import split_stamp
from kronos.errors import InvalidCandles

__all__ = [
    "Table",
    "read_table",
    "symbol_in_cells",
    "symbol_in_name",
]

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
_TIME_ORDER = ("epoch", "timestamp", "date", "time")


@dataclass(slots=True)
class Columns:
    """Positions of the columns that are used, by meaning, and a reading of every column.

    Attributes:
        position: Of timestamp, time of day, open, high, low, close, volume, amount, symbol.
        readings: One a column, in file order.
        assumptions: What was decided between several candidates.
        copies: Positions of columns with the title of a used one, and the meaning of that one.
            Their cells must be the same, or nobody can tell which is meant.
    """

    position: dict[str, int] = field(default_factory=dict)
    readings: list[ColumnReading] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    copies: dict[int, str] = field(default_factory=dict)


def known_meaning(cell: str) -> str | None:
    """Meaning of a header cell, whatever its case, marks, number or unit; None if unknown."""
    name = cell.strip().strip("\"'<>#").strip().lower()
    if name in _MEANINGS:
        return _MEANINGS[name]
    name = re.sub(r"[(\[].*?[)\]]", " ", name)
    name = re.sub(r"^\d+[a-z]?[.)]\s*", "", name)
    name = re.sub(r"[_\-./*:$€£¥]+", " ", name)
    name = re.sub(r"\s+", " ", name).strip()
    if name in _MEANINGS:
        return _MEANINGS[name]
    head, _, unit = name.rpartition(" ")
    # "Volume BTC", "Close USD": a unit without brackets.
    if re.fullmatch(r"[a-z]{3,5}", unit) and head in _MEANINGS and unit not in _MEANINGS:
        meaning = _MEANINGS[head]
        return meaning if meaning in (*_PRICES, "volume", "amount") else None
    return None


def count_known(cells: list[str]) -> int:
    """How many different meanings a line of cells carries, for finding the header."""
    return len({meaning for cell in cells if (meaning := known_meaning(cell))})


def read_header(cells: list[str]) -> Columns:
    """Which column is what.

    Args:
        cells: The header, one cell a column.

    Raises:
        InvalidCandles: No time column, a price column missing, or prices twice (several
            instruments side by side).
    """
    found: dict[str, list[int]] = {}
    first: dict[str, int] = {}
    repeats: list[tuple[int, int]] = []
    for i, cell in enumerate(cells):
        meaning = known_meaning(cell)
        original = first.setdefault(cell.strip().casefold(), i)
        if meaning and original != i and meaning not in _PRICES:
            repeats.append((i, original))
        elif meaning:
            found.setdefault(meaning, []).append(i)
    columns = Columns()
    chosen: dict[int, tuple[str, str]] = {}
    _choose_time(cells, found, columns, chosen)
    _choose_prices(cells, found, columns, chosen)
    _choose_volumes(cells, found, columns, chosen)
    if "symbol" in found:
        columns.position["symbol"] = found["symbol"][0]
        chosen[found["symbol"][0]] = ("symbol", "")
    used = {position: meaning for meaning, position in columns.position.items()}
    columns.copies = {i: used[original] for i, original in repeats if original in used}
    for i, cell in enumerate(cells):
        name = cell.strip() or f"column {i + 1}"
        meaning, why = chosen.get(i, (None, ""))
        columns.readings.append(ColumnReading(name, meaning, why))
    return columns


def _choose_time(
    cells: list[str],
    found: dict[str, list[int]],
    columns: Columns,
    chosen: dict[int, tuple[str, str]],
) -> None:
    kinds = [kind for kind in _TIME_ORDER if kind in found]
    unnamed = [i for i, cell in enumerate(cells) if not cell.strip()]
    if not kinds and unnamed[:1] == [0]:
        columns.position["timestamp"] = 0
        chosen[0] = ("timestamp", "first column without a name")
        return
    if not kinds:
        raise InvalidCandles(
            "There is no time column: name one Date, Datetime or timestamp. The columns are "
            f"{_listed(cells)}."
        )
    kind = kinds[0]
    position = found[kind][0]
    columns.position["timestamp"] = position
    if kind == "date" and "time" in found:
        columns.position["time of day"] = found["time"][0]
        chosen[position] = ("date", "")
        chosen[found["time"][0]] = ("time of day", "")
        return
    chosen[position] = ("timestamp", "")
    others = [cells[i].strip() for k in kinds for i in found[k] if i != position]
    if others:
        columns.assumptions.append(
            f"time is read from {cells[position].strip()!r}, not from {_listed(others)}"
        )


def _choose_prices(
    cells: list[str],
    found: dict[str, list[int]],
    columns: Columns,
    chosen: dict[int, tuple[str, str]],
) -> None:
    if "close" not in found:
        for stand_in in ("price", "adjusted close"):
            if stand_in in found:
                found["close"] = found[stand_in]
                columns.assumptions.append(
                    f"{cells[found['close'][0]].strip()!r} is taken as the close"
                )
                break
    missing = [name for name in _PRICES if name not in found]
    if missing:
        raise InvalidCandles(
            f"There is no column for {', '.join(missing)}. Candles need open, high, low and "
            f"close; the columns are {_listed(cells)}."
        )
    for name in _PRICES:
        if len(found[name]) > 1:
            raise InvalidCandles(
                f"Several columns hold the {name} ({_listed([cells[i] for i in found[name]])}, "
                f"columns {', '.join(str(i + 1) for i in found[name])}): "
                "the file seems to hold several instruments side by side. Keep one instrument."
            )
        columns.position[name] = found[name][0]
        chosen[found[name][0]] = (name, "")
    if "adjusted close" in found and found["adjusted close"] != found["close"]:
        columns.assumptions.append(
            "prices are used as they stand; the adjusted close is ignored, because the file "
            "does not adjust open, high and low with it"
        )


def _choose_volumes(
    cells: list[str],
    found: dict[str, list[int]],
    columns: Columns,
    chosen: dict[int, tuple[str, str]],
) -> None:
    volumes = found.get("volume", [])
    if not volumes:
        volumes = found.get("tick volume", [])[:1]
    if volumes:
        columns.position["volume"] = volumes[0]
        chosen[volumes[0]] = ("volume", "")
    if "amount" in found:
        columns.position["amount"] = found["amount"][0]
        chosen[found["amount"][0]] = ("amount", "")
    elif len(volumes) == 2 and not re.search(r"ma|avg|sma", cells[volumes[1]].lower()):
        # "Volume BTC" and "Volume USDT": the second is the traded value.
        columns.position["amount"] = volumes[1]
        chosen[volumes[1]] = ("amount", "")
        columns.assumptions.append(
            f"{cells[volumes[0]].strip()!r} is the volume and {cells[volumes[1]].strip()!r} the "
            "amount"
        )


def _listed(cells: list[str]) -> str:
    shown = [repr(cell.strip()[:30]) for cell in cells[:12]]
    return ", ".join(shown) + (", ..." if len(cells) > 12 else "")


def symbol_in_cells(table: Table) -> str | None:
    """The ticker in the rows or above them; None where there is none.

    Raises:
        InvalidCandles: The rows hold several.
    """
    if "symbol" not in table.cells:
        return table.symbol
    found = {cell.strip() for cell in set(table.cells["symbol"]) if not is_blank(cell)}
    if len(found) > 1:
        shown = ", ".join(repr(name[:20]) for name in sorted(found)[:5])
        column = table.columns.readings[table.columns.position["symbol"]].name
        raise InvalidCandles(
            f"Column {column} holds {len(found)} symbols ({shown}"
            f"{', ...' if len(found) > 5 else ''}). A file must hold one instrument."
        )
    return found.pop()[:40] if found else table.symbol


def symbol_in_name(name: str) -> str | None:
    """A ticker at the start of a file name such as BTCUSDT-1h.csv or VOD.L_daily.csv."""
    stem = re.sub(r"\.(csv|txt|tsv|dat)$", "", name, flags=re.IGNORECASE)
    token = re.split(r"[_\s,()]|-(?=\d)|-(?=[a-z])", stem, maxsplit=1)[0]
    if re.fullmatch(r"\^?(?=[^a-z]*[A-Z])[A-Z0-9.=\-]{1,15}", token) and token not in (
        *("DATA", "OHLC", "OHLCV", "CSV", "EXPORT", "BARS", "CANDLES", "PRICES"),
    ):
        return token
    return None
