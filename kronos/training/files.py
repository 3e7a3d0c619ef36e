"""Candle files: a folder of files (see `READERS`) with an optional manifest, or a Qlib data folder.

A Qlib folder holds binary files:

    FOLDER/calendars/day.txt              one date a line: positions count from the first
    FOLDER/instruments/all.txt            SYMBOL <tab> first date <tab> last date
    FOLDER/features/SYMBOL/close.day.bin  little-endian float32: the position of the first value,
                                          then one value a position

Symbols name their folders in lower case. Missing values are NaN. Prices are adjusted for splits and
dividends, often to 1 on the first day: factor.day.bin has the adjusted price over the one paid.
Volumes are divided by it, so that volume times price is what was traded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.calendars import place_bars
from kronos.candles import Candles
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS

__all__ = [
    "QLIB_INTERVALS",
    "READERS",
    "FileFacts",
    "QlibFolder",
    "clean_bars",
    "interval_of",
    "is_qlib",
    "list_files",
    "read_bars",
    "without_factor",
]


def _read_excel(path: Path) -> pd.DataFrame:
    """The first sheet of a workbook."""
    try:
        return pd.read_excel(path, engine="calamine")
    except Exception as exc:  # the reader's own errors have no base but this
        raise ValueError(str(exc)) from exc


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".feather": pd.read_feather,
    ".parquet": pd.read_parquet,
    ".xlsx": _read_excel,
}
"""Endings of candle files, and what reads them."""
_MINUTES = {1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h"}
QLIB_INTERVALS = {
    "day": "1d",
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
}
"""Width of a bar by the name of a Qlib calendar."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The facts of one candle file; "" where unknown.

    Attributes:
        file: Path below the folder; for Qlib, the instrument.
        interval: Width of a bar.
        group: Sampling cell, such as "crypto/1h": the asset class before the stroke.
        family: Instruments of one family move together.
        clock: Zone of naive times.
        zone: The exchange's own zone.
        ticker: Ticker, where the file's name is another.
        leader: Leading market that the bars are of, one of `kronos.events.LEADERS`.
    """

    file: str
    interval: str = ""
    group: str = ""
    family: str = ""
    clock: str = ""
    zone: str = ""
    ticker: str = ""
    leader: str = ""

    @property
    def symbol(self) -> str:
        """The ticker, or the first part of the file's name."""
        return self.ticker or Path(self.file).name.partition(".")[0]


def list_files(folder: Path, manifest: str | Path | None) -> list[FileFacts]:
    """The files of a folder, or those that a manifest lists.

    Raises:
        InvalidRequest: The manifest cannot be read or names no files.
    """
    if manifest is None:
        files = sorted(p for p in folder.rglob("*") if p.suffix in READERS)
        return [FileFacts(str(p.relative_to(folder)), family=p.stem) for p in files]
    path = Path(manifest)
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"The manifest {path} cannot be read: {exc}.") from exc
    if "file" not in table.columns:
        raise InvalidRequest(f"{path} has no column 'file'; found {list(table.columns)[:12]}.")
    names = [field.name for field in fields(FileFacts)]
    table = table.reindex(columns=names).astype(object).fillna("").astype(str)
    table["family"] = table["family"].where(table["family"] != "", table["file"])
    rows = table.sort_values("file").to_dict("records")
    return [FileFacts(**{str(key): str(value) for key, value in row.items()}) for row in rows]


def read_bars(path: Path) -> pd.DataFrame:
    """The bars of one file, as `clean_bars` returns them.

    Raises:
        InvalidCandles: The file cannot be read as candles; the message names it.
    """
    try:
        frame = READERS.get(path.suffix, pd.read_csv)(path)
        if isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.rename_axis(str(frame.index.name or "timestamp")).reset_index()
        frame = frame.rename(columns=lambda name: str(name).strip().lower())
        frame = frame.rename(columns=dict.fromkeys(("timestamps", "date", "datetime"), "timestamp"))
        missing = [c for c in ("timestamp", *COLUMNS[:4]) if c not in frame.columns]
        if missing:
            raise InvalidCandles(f"{path} lacks the columns {missing}; found {[*frame.columns]}.")
        if pd.api.types.is_numeric_dtype(frame["timestamp"]):
            raise InvalidCandles(f"{path} has numbers for times; write dates and times instead.")
        frame = frame.assign(timestamp=pd.to_datetime(frame["timestamp"]))
        frame[list(COLUMNS[:4])] = frame[list(COLUMNS[:4])].astype(float)
    except InvalidCandles:
        raise
    except (OSError, TypeError, ValueError) as exc:
        raise InvalidCandles(f"{path} cannot be read as candles: {exc}") from exc
    return clean_bars(frame)


def clean_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars in order of unique times, with prices above 0: columns timestamp and the six.

    A missing volume is 0; a missing amount is volume times the mean of the four prices.
    """
    frame = frame.sort_values("timestamp").drop_duplicates("timestamp", keep="last")
    frame = frame.reindex(columns=["timestamp", *COLUMNS]).dropna(subset=list(COLUMNS[:4]))
    prices = frame[list(COLUMNS[:4])]
    frame = frame[((prices > 0) & np.isfinite(prices)).all(axis=1)]
    frame["volume"] = frame["volume"].astype(float).fillna(0.0).clip(lower=0.0)
    typical = frame[list(COLUMNS[:4])].astype(float).mean(axis=1)
    frame["amount"] = frame["amount"].astype(float).fillna(frame["volume"] * typical)
    return frame


def interval_of(times: pd.Series) -> str:
    """The interval as wide as the most common step between bars."""
    step = times.diff().dropna()
    minutes = int(step.mode().iloc[0].total_seconds() // 60) if len(step) else 0
    if minutes in _MINUTES:
        return _MINUTES[minutes]
    return "1w" if minutes >= 5 * 24 * 60 else "1d"


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
        self.folder = folder
        self._features = folder / "features"
        self._frequency = frequency
        self._calendar = _read_calendar(_listed(folder / "calendars", frequency, "calendar"))
        members: dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
        for symbol, start, stop in _read_members(_listed(folder / "instruments", market, "market")):
            members.setdefault(symbol, []).append((start, stop))
        self._members = members

    def instruments(self) -> list[FileFacts]:
        """The instruments with bars, sorted by symbol."""
        interval = QLIB_INTERVALS.get(self._frequency, "")
        return [
            FileFacts(symbol, interval, family=symbol)
            for symbol in sorted(self._members)
            if (self._features / symbol.lower()).is_dir()
        ]

    @staticmethod
    def offers(folder: Path) -> tuple[list[str], list[str]]:
        """Names of the markets and of the calendars that a folder has, "all" and "day" first.

        Raises:
            InvalidRequest: The folder is not laid out as Qlib's.
        """
        if not is_qlib(folder):
            raise InvalidRequest(
                f"{folder} is no Qlib data folder: it needs the folders calendars, instruments and "
                "features. Give the folder that holds them, such as ~/.qlib/qlib_data/cn_data."
            )
        markets, calendars = (
            sorted(
                (path.stem for path in (folder / part).glob("*.txt")), key=lambda s: (s != first, s)
            )
            for part, first in (("instruments", "all"), ("calendars", "day"))
        )
        return markets, [name for name in calendars if name in QLIB_INTERVALS]

    def has_factor(self, symbol: str) -> bool:
        """Whether the folder says how the prices of an instrument are adjusted."""
        return (self._features / symbol.lower() / f"factor.{self._frequency}.bin").is_file()

    def candles(self, symbol: str) -> Candles:
        """The bars of an instrument while it belonged to the market, on the calendar of its symbol.

        Raises:
            InvalidCandles: A file is missing or damaged, or there are no bars; the message names
                it.
        """
        bars = self.bars(symbol)
        if not len(bars):
            raise InvalidCandles(f"{symbol} has no bars while it belongs to the market.")
        interval = QLIB_INTERVALS[self._frequency]
        placed = place_bars(pd.DatetimeIndex(bars["timestamp"]), interval=interval, symbol=symbol)
        frame = bars[list(COLUMNS)].astype(float)
        frame.index = pd.DatetimeIndex(placed.index.as_unit("ns"), name="timestamp")
        # Of prices that are rounded to four bytes, one may lie a digit beyond high or low.
        prices = frame[list(COLUMNS[:4])]
        frame["high"], frame["low"] = prices.max(axis=1), prices.min(axis=1)
        return Candles(
            frame, interval, placed.zone, placed.calendar, symbol, f"Qlib folder {self.folder.name}"
        )

    def bars(self, symbol: str) -> pd.DataFrame:
        """The bars of an instrument while it belonged to the market, as `clean_bars` returns them.

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
            # The last day is included.
            inside |= (times >= start) & (times < stop.normalize() + pd.Timedelta(days=1))
        return clean_bars(bars[inside])


def without_factor(qlib: QlibFolder, symbols: Sequence[str]) -> str:
    """What to say of the instruments whose adjustment nothing shows; "" where there are none."""
    bare = [symbol for symbol in symbols if not qlib.has_factor(symbol)]
    if not bare:
        return ""
    shown = ", ".join(bare[:3]) + (", ..." if len(bare) > 3 else "")
    return (
        f"{len(bare):,} of {len(symbols):,} instruments have no factor ({shown}). Their prices are "
        "used as they stand: if they are not adjusted, a split looks like a loss."
    )


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


def _listed(folder: Path, name: str, kind: str) -> Path:
    found = sorted(path.stem for path in folder.glob("*.txt"))
    if name not in found:
        raise InvalidRequest(
            f"There is no {kind} {name!r} in {folder}; found: {', '.join(found) or 'none'}."
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
    """The members of a market: symbol, first and last day."""
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
