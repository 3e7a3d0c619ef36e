"""Bars of a Qlib data folder, read from its own binary files.

    FOLDER/calendars/day.txt              one date a line: the calendar positions count from
    FOLDER/instruments/all.txt            SYMBOL <tab> first date <tab> last date
    FOLDER/features/SYMBOL/close.day.bin  little-endian float32: the position of the first value,
                                          then one value a position

Symbols name their folders in lower case. Missing values are NaN. Prices are as Qlib keeps them,
which is adjusted for splits and dividends, and volumes with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS
from kronos.training.candle_files import FileFacts, clean_bars

__all__ = ["QlibFolder", "is_qlib"]

_INTERVALS = {
    "day": "1d",
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
}


def is_qlib(folder: Path) -> bool:
    """Whether a folder is laid out as Qlib's."""
    return all((folder / part).is_dir() for part in ("calendars", "instruments", "features"))


class QlibFolder:
    """The instruments of one market in a Qlib folder, and their bars."""

    def __init__(self, folder: Path, *, market: str = "all", frequency: str = "day") -> None:
        """Args:
        folder: The Qlib folder.
        market: Name of a file in instruments/, such as "all" or "csi300".
        frequency: Name of a calendar, such as "day" or "5min".

        Raises:
            InvalidRequest: There is no such market or calendar.
            InvalidCandles: One of these two files is damaged.
        """
        self._features = folder / "features"
        self._frequency = frequency
        self._calendar = _read_calendar(_listed(folder / "calendars", frequency, "calendar"))
        members: dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
        for symbol, start, stop in _read_members(_listed(folder / "instruments", market, "market")):
            members.setdefault(symbol, []).append((start, stop))
        self._members = members

    def instruments(self) -> list[FileFacts]:
        """Instruments that have bars, in the order of their symbols."""
        interval = _INTERVALS.get(self._frequency, "")
        return [
            FileFacts(symbol, interval, family=symbol)
            for symbol in sorted(self._members)
            if (self._features / symbol.lower()).is_dir()
        ]

    def bars(self, symbol: str) -> pd.DataFrame:
        """Bars of an instrument while it belonged to the market, as from `clean_bars`.

        Raises:
            InvalidCandles: A file is missing or damaged; the message names it.
        """
        times = self._calendar
        bars = pd.DataFrame({"timestamp": times})
        for name in COLUMNS:
            path = self._features / symbol.lower() / f"{name}.{self._frequency}.bin"
            if path.is_file():
                bars[name] = _values(path, len(times))
            elif name in COLUMNS[:4]:
                raise InvalidCandles(f"{path} is missing: bars need open, high, low and close.")
        inside = np.zeros(len(times), dtype=bool)
        for start, stop in self._members[symbol]:
            # A last day counts to its end.
            inside |= (times >= start) & (times < stop.normalize() + pd.Timedelta(days=1))
        return clean_bars(bars[inside])


def _values(path: Path, n: int) -> np.ndarray:
    """Values of a feature at every position of the calendar, NaN where there is none: (n,)."""
    data = path.read_bytes()
    if len(data) < 4 or len(data) % 4:
        raise InvalidCandles(f"{path} is damaged: {len(data)} bytes are no row of 4-byte numbers.")
    raw = np.frombuffer(data, dtype="<f4")
    first, values = raw[0], raw[1:]
    # The comparison also refuses NaN.
    if not 0 <= first <= n or first != int(first) or int(first) + len(values) > n:
        raise InvalidCandles(
            f"{path} is damaged, or its calendar is not the one beside it: {len(values)} values "
            f"from position {first:g} on do not fit into {n} dates."
        )
    out = np.full(n, np.nan)
    out[int(first) : int(first) + len(values)] = values
    return out


def _listed(folder: Path, name: str, what: str) -> Path:
    found = sorted(path.stem for path in folder.glob("*.txt"))
    if name not in found:
        raise InvalidRequest(
            f"There is no {what} {name!r} in {folder}; found: {', '.join(found) or 'none'}."
        )
    return folder / f"{name}.txt"


def _read_calendar(path: Path) -> pd.DatetimeIndex:
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        calendar = pd.DatetimeIndex(pd.to_datetime([s.strip() for s in lines if s.strip()]))
    except ValueError as exc:
        raise InvalidCandles(f"{path} does not hold one time a line: {exc}.") from exc
    if not calendar.is_monotonic_increasing or not calendar.is_unique:
        raise InvalidCandles(f"The times in {path} must increase.")
    return calendar


def _read_members(path: Path) -> Iterator[tuple[str, pd.Timestamp, pd.Timestamp]]:
    """Who belonged to a market, and when: symbol, first and last day."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        try:
            symbol, start, stop = cells[0], pd.Timestamp(cells[1]), pd.Timestamp(cells[2])
        except (IndexError, ValueError) as exc:
            raise InvalidCandles(
                f"{path}, line {number}: expected symbol, first and last date, found {line!r:.60}."
            ) from exc
        # It becomes the name of a folder.
        if "/" in symbol or "\\" in symbol or symbol.startswith("."):
            raise InvalidCandles(f"{path}, line {number}: {symbol!r} is no symbol.")
        yield symbol, start, stop
