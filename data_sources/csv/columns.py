"""What a header means: the names vendors give to time, prices, volume and the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from data_sources.csv.report import ColumnReading
from kronos.errors import InvalidCandles

__all__ = ["Columns", "count_known", "known_meaning", "read_header"]

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
