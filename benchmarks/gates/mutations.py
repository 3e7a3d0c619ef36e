"""Small CSV files of candles with a few things wrong, each made from a seed.

Most begin as a good table, in the layout of some vendor, and change in cells, columns, rows,
titles, quotes, separators or encodings, so that they reach the parsing of dates and numbers; one in
six is changed in its bytes, wherever that may be.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from kronos.system import asset_path

__all__ = ["mutated"]

TITLES = ("time", "open", "high", "low", "close", "volume")
_COARSE = 1 / 6  # share of files whose bytes are changed
_REAL = 1 / 4  # share of files with bars of a sample
_FIRST, _HOUR = dt.datetime(2023, 1, 2, tzinfo=dt.UTC), dt.timedelta(hours=1)
_STEPS = (60, 300, 900, 1800, 3600, 14_400, 86_400, 604_800)  # seconds from bar to bar
_FORMS: tuple[Callable[[dt.datetime], str], ...] = (
    *(
        lambda t, form=form: t.strftime(form)
        for form in (
            *("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y%m%d%H%M"),
            *("%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%y %H:%M:%S", "%m/%d/%Y %I:%M %p"),
            *("%d %b %Y %H:%M", "%b %d, %Y %H:%M", "%Y/%m/%d %H%M", "%Y-%m-%d %H:%M:%S.%f"),
            *("%Y-%m-%d %H:%M EST", "%Y-%m-%d %H:%M UTC-05:30", "%a, %d %B %Y %H:%M", "%Y-%m-%d"),
        )
    ),
    lambda t: f"{t.timestamp():.0f}",
    lambda t: f"{t.timestamp() * 1e3:.0f}",
    lambda t: f"{t.timestamp():.3f}",
    lambda t: f"{25_569 + t.timestamp() / 86_400:.6f}",
)
_DATES = (
    *("", " ", "2024-02-30", "2023-13-01", "31/12/99", "03/04/2024", "2024-01-31 24:00", "25:61"),
    *("2024-01-31 10:00+99:99", "2024-03-10 02:30", "2024-10-27 01:30", "1899-12-31", "2100-01-01"),
    *("9999-12-31", "0000-00-00", "2024-01-31 10:00:60", "2024-01-31 10:00 IST", "1e10", "1e309"),
    *("2024-01-31 13:00 PM", "Mon 1 Foo 2024", "45292.5", "-1", "nan", "today", "2024-W05-1"),
    *("\u0662\u0660\u0662\u0664-01-31", "2024\u201301\u201331", "2024-01-31\u00a010:00", "9" * 20),
    *("2024-01-31" + " " * 40 + "10:00", "2024-01-31T10:00:00.123456789Z", "1" * 64, "Z", "T"),
)
_NUMBERS = (
    *("", " ", "-", "nan", "NaN", "inf", "-inf", "1e400", "1e-400", "1e308", "-1", "0", "-0.0"),
    *("1_0", "0x1", "1,234.5", "1.234,5", "1 234", "1'234.5", "1,23,456", "12,34", "$10", "10 USD"),
    *("10k", "1.5M", "2bn", "10%", "(10)", "+10", "--10", "1.2.3", "1..2", ".", ",", ".5", "5."),
    *("\u0661\u0660", "\uff11\uff10", "\u221210", "10\u00a0", "\u200b10", "n/a", "#N/A", "ten"),
    *("9" * 64, "9" * 65, "1." + "0" * 62, "1e", "e5", "1e+5", "=1+1", "'10", "1d5", "1j", "True"),
)
_NAMES = (
    *("Date", "date", "datetime", "Timestamp", "Time", "time of day", "unix", "Gmt time", "<DATE>"),
    *("Open", "<OPEN>", "1. open", "open (USD)", "Close/Last", "Adj Close", "Price", "last", "c"),
    *(
        "High",
        "low",
        "Volume BTC",
        "Volume USDT",
        "vol",
        "<TICKVOL>",
        "amount",
        "turnover",
        "value",
    ),
    *("symbol", "ticker", "", " ", "trades", "close", "CLOSE ", "\ufeffopen", "\u5f00\u76d8", "#"),
    *(
        "close[" * 9,
        "(" * 90,
        "x" * 100,
        "x" * 101,
        "op\u200ben",
        '"open"',
        "Er\u00f6ffnung",
        "nan",
    ),
)
_LINES = (
    *("", " ", ",,,,,", "# note", "Total,,,,,", "time,open,high,low,close,volume", "\x0c", "\x1a"),
    *("-----", '"', "a,b", "1,2,3,4,5,6,7,8,9", "\u2028", "Source: an exchange", "<html>", "\x00"),
)
_TEXT = (
    *(b"", b",", b";", b"\t", b'"', b"\n", b"\r", b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"'"),
    *(b"nan", b"inf", b"-", b"1e400", b"0x1", b"1_0", b"(", b"[", b" " * 70, b"9" * 70, b"\xc3"),
    *(b"2024-02-30", b"31/12/99", b"24:00", b"25:61", b"+99:99", b"EST", b"UTC", b"PK\x03\x04"),
    *(b"\xe2\x80\xae", b"\xd9\xa3", b"\xe2\x88\x92", b"1.234,5", b"1,234.5", b"k", b"M", b"Price"),
    *(b"Ticker", b"close", b"Close,Close", b"#", b"\x1a", b"\x0b", b"\x1c", b"\xc2\x85", b"0"),
)
_CODECS = (*("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"), "utf-7")


@cache
def _samples() -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of every bundled sample."""
    tables = []
    for file in sorted(asset_path("samples").glob("*.csv")):
        header, *rows = (line.split(",") for line in file.read_text().splitlines())
        tables.append((header, rows))
    return tables


def mutated(seed: int) -> bytes:
    """A file of 33 to 48 bars with a few things wrong; the same for the same seed."""
    chance = random.Random(seed)
    table = _Table.drawn(chance)
    if chance.random() < _COARSE:
        data = bytearray(table.written())
        for _ in range(chance.randint(1, 3)):
            _change_bytes(data, chance)
        return bytes(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        chance.choice(_CHANGES)(table, chance)
    return table.written()


@dataclass
class _Table:
    """A table of candles, and how it is written."""

    header: list[str]
    rows: list[list[str]]
    times: list[dt.datetime]
    delimiter: str = ","
    line_end: str = "\n"
    codec: str = "utf-8"
    quoted: set[tuple[int, int]] = field(default_factory=set)  # row and column, or -1 for all
    above: list[str] = field(default_factory=list)
    between: dict[int, str] = field(default_factory=dict)  # lines before a row

    @classmethod
    def drawn(cls, chance: random.Random) -> _Table:
        """Good bars: some of a sample, or random ones in a layout that vendors use."""
        n_rows = chance.randint(33, 48)
        if chance.random() < _REAL:
            header, rows = chance.choice(_samples())
            first = chance.randrange(len(rows) - n_rows)
            bars = [list(row) for row in rows[first : first + n_rows]]
            return cls(list(header), bars, [_FIRST + i * _HOUR for i in range(n_rows)])
        step = chance.choice(_STEPS)
        moment = _FIRST + dt.timedelta(seconds=step * chance.randrange(200_000_000 // step // 4))
        times, rows = [], []
        form = chance.choice(_FORMS[:6])
        close = 10 ** chance.uniform(-4, 5)
        for _ in range(n_rows):
            opened, close = close, close * (1 + chance.gauss(0, 0.01))
            high, low = max(opened, close) * 1.002, min(opened, close) * 0.998
            figures = [f"{value:.6g}" for value in (opened, high, low, close)]
            rows.append([form(moment), *figures, str(chance.randrange(10_000))])
            times.append(moment)
            moment += dt.timedelta(seconds=step * chance.choice((1, 1, 1, 1, 1, 1, 1, 1, 2, 60)))
        return cls(list(TITLES), rows, times)

    def place(self, chance: random.Random) -> tuple[int, int]:
        """A row, and a column that it has; a row without cells gets one."""
        row = chance.randrange(len(self.rows))
        self.rows[row] = self.rows[row] or [""]
        return row, chance.randrange(len(self.rows[row]))

    def written(self) -> bytes:
        """The bytes of the file."""
        lines = [*self.above]
        if self.header:
            lines.append(self.delimiter.join(self.header))
        for i, row in enumerate(self.rows):
            if i in self.between:
                lines.append(self.between[i])
            lines.append(self.delimiter.join(self._cell(i, j, c) for j, c in enumerate(row)))
        return (self.line_end.join(lines) + self.line_end).encode(self.codec, "replace")

    def _cell(self, row: int, column: int, cell: str) -> str:
        is_quoted = self.quoted & {(row, column), (-1, column), (-1, -1)}
        return f'"{cell}"' if is_quoted else cell


# Changes of a table.


def _number(table: _Table, chance: random.Random) -> None:
    row, column = table.place(chance)
    table.rows[row][column] = chance.choice(_NUMBERS)


def _figure(table: _Table, chance: random.Random) -> None:
    """A price of another size, sign or length."""
    row, column = table.place(chance)
    cell = table.rows[row][column]
    others = (
        f"-{cell}",
        f"{cell}000",
        f"{cell}{cell}",
        f"0{cell}",
        cell[:-1],
        cell[1:],
        f"{cell}e9",
    )
    table.rows[row][column] = chance.choice(others)


def _numbers(table: _Table, chance: random.Random) -> None:
    """A column of numbers, or all of them, in another style."""
    styles: tuple[Callable[[str], str], ...] = (
        lambda cell: cell.replace(".", ","),
        lambda cell: f"${cell}",
        lambda cell: f"{cell} ",
        lambda cell: f"{cell}k",
        lambda cell: f"{cell}%",
        lambda cell: f"{cell}e0",
        lambda cell: f"1,234{cell[cell.find('.') :] if '.' in cell else ''}",
        lambda cell: f"1 234.{cell[-1:]}",
        lambda cell: "0",
        lambda cell: "",
        lambda cell: chance.choice((cell, "", "-", cell.replace(".", ","))),
    )
    style = chance.choice(styles)
    columns = [1, 2, 3, 4, 5] if chance.random() < 0.5 else [chance.randrange(1, 6)]
    for row in table.rows:
        for column in columns:
            if column < len(row):
                row[column] = style(row[column])


def _date(table: _Table, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 9))):
        row, _column = table.place(chance)
        table.rows[row][0] = chance.choice(_DATES)


def _moment(table: _Table, chance: random.Random) -> None:
    """A bar at another time."""
    row, _column = table.place(chance)
    shift = dt.timedelta(seconds=chance.choice((-1, 1)) * 10 ** chance.randint(0, 9))
    table.rows[row][0] = (table.times[row % len(table.times)] + shift).strftime("%Y-%m-%d %H:%M:%S")


def _dates(table: _Table, chance: random.Random) -> None:
    """All dates in another form, or some of them."""
    form, share = chance.choice(_FORMS), chance.choice((1.0, 1.0, 1.0, 0.9, 0.1))
    for row, moment in zip(table.rows, table.times, strict=False):
        if row and chance.random() < share:
            row[0] = form(moment)


def _sign(table: _Table, chance: random.Random) -> None:
    """A sign more, less or other in a cell."""
    row, column = table.place(chance)
    cell = table.rows[row][column]
    at = chance.randrange(len(cell) + 1)
    sign = chance.choice("0123456789.,-:/ +eETZ\u00a0\u2212\u0664\t\v\x1f\x85()\u20ac")
    table.rows[row][column] = (
        cell[:at] + chance.choice(("", sign)) + cell[at + chance.randint(0, 1) :]
    )


def _order_of_rows(table: _Table, chance: random.Random) -> None:
    kind = chance.randrange(5)
    row, _column = table.place(chance)
    other, _column = table.place(chance)
    if kind == 0:
        table.rows.reverse()
    elif kind == 1:
        table.rows[row], table.rows[other] = table.rows[other], table.rows[row]
    elif kind == 2:
        table.rows.insert(other, list(table.rows[row]))
    elif kind == 3:
        del table.rows[row]
    else:
        chance.shuffle(table.rows)


def _width_of_row(table: _Table, chance: random.Random) -> None:
    row, column = table.place(chance)
    if chance.random() < 0.5:
        del table.rows[row][column]
    else:
        table.rows[row].insert(column, chance.choice(("", "1", " ")))


def _line(table: _Table, chance: random.Random) -> None:
    """A line that is no bar."""
    if chance.random() < 0.3:
        table.above.append(chance.choice(_LINES))
    else:
        table.between[chance.randrange(len(table.rows))] = chance.choice(_LINES)


def _title(table: _Table, chance: random.Random) -> None:
    """A title in other words or another case."""
    if not table.header:
        return
    column = chance.randrange(len(table.header))
    title = table.header[column]
    changes = (title.upper(), f" {title}", f"{title} (USD)", f"{column}. {title}", f"<{title}>")
    table.header[column] = chance.choice((*changes, chance.choice(_NAMES)))


def _columns(table: _Table, chance: random.Random) -> None:
    """A column more, less, twice, or elsewhere."""
    kind, at = chance.randrange(5), chance.randrange(6)
    other = chance.randrange(6)
    rows = [table.header, *table.rows] if table.header else table.rows
    name, cell = chance.choice(_NAMES), chance.choice(_NUMBERS)
    for i, row in enumerate(rows):
        if max(at, other) >= len(row):
            continue
        if kind == 0:
            row[at], row[other] = row[other], row[at]
        elif kind == 1:
            row.insert(at, name if row is table.header else cell)
        elif kind == 2:
            del row[at]
        elif kind == 3:
            row.append(row[at] if i % 40 else row[other])
        else:
            row.append(name if row is table.header else str(i))


def _headless(table: _Table, chance: random.Random) -> None:
    table.header = [] if chance.random() < 0.7 else [""] * len(table.header)


def _quotes(table: _Table, chance: random.Random) -> None:
    row, column = table.place(chance)
    kind = chance.randrange(6)
    if kind == 0:
        table.quoted.add((-1, -1))
    elif kind == 1:
        table.quoted.add((-1, column))
    elif kind == 2:
        table.quoted.add((row, column))
    else:
        cell = table.rows[row][column]
        table.rows[row][column] = (f'"{cell}', f'{cell}"', f'"{cell}{table.delimiter}1"')[kind - 3]


def _separator(table: _Table, chance: random.Random) -> None:
    if chance.random() < 0.6:
        table.delimiter = chance.choice((";", "\t", "|", ", ", " ", ":", ",,"))
    else:
        row, column = table.place(chance)
        table.rows[row][column] += chance.choice(",;\t|")


def _bytes_of_text(table: _Table, chance: random.Random) -> None:
    if chance.random() < 0.5:
        table.codec = chance.choice(_CODECS)
    else:
        table.line_end = chance.choice(("\r\n", "\r", "\n\n", "\n\r", "\x0b", "\u2028", " \n"))


def _letter(table: _Table, chance: random.Random) -> None:
    """A letter beyond ASCII in a cell or title."""
    signs = "\u00e9\u4e2d\u202e\u200b\ufeff\U0001f600\ud800\u0301\u0000"
    cells = table.header if table.header and chance.random() < 0.3 else chance.choice(table.rows)
    if cells:
        cells[chance.randrange(len(cells))] += chance.choice(signs)


# Figures and dates are what a reader is wrong about most, so that they are drawn most often.
_CHANGES: Sequence[Callable[[_Table, random.Random], None]] = (
    *(_number, _figure, _numbers, _date, _moment, _dates, _sign) * 2,
    *(_order_of_rows, _width_of_row, _line, _title, _columns, _headless, _quotes),
    *(_separator, _bytes_of_text, _letter),
)


def _change_bytes(data: bytearray, chance: random.Random) -> None:
    """One change in place, wherever it falls."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(8)
    if kind == 0:
        data[at : at + chance.randint(1, 40)] = b""
    elif kind == 1:
        data[at:at] = chance.choice(_TEXT)
    elif kind == 2 and at < len(data):
        data[at] = chance.randrange(256)
    elif kind == 3:
        data[at:at] = data[at : at + chance.randint(1, 400)]
    elif kind == 4:
        old = bytes(chance.choice((b",", b".", b"-", b":", b" ", b"\n", b"0", b"1")))
        data[:] = data.replace(old, chance.choice(_TEXT), chance.choice((1, 5, -1)))
    elif kind == 5:
        lines = data.split(b"\n")
        chance.shuffle(lines)
        data[:] = b"\n".join(lines)
    elif kind == 6:
        data[:] = data[:at] + data[:at]
    else:
        cells = data[at : at + 60]
        data[at : at + 60] = cells[::-1]
