"""A corpus of candle files in memory: which bars may be trained on, which are held out.

A folder of CSV or parquet files is enough. A manifest (CSV or parquet) can say more about each
file: columns `file`, and optionally `interval`, `group` (sampling cell), `family` (instruments
that move together), `clock` (zone of naive times) and `zone` (the exchange's own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.context import calendar_fields
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS

GAP_LIMITS = {
    "1m": 0.10,
    "3m": 0.10,
    "5m": 0.15,
    "15m": 0.15,
    "30m": 0.20,
    "1h": 0.20,
    "2h": 0.25,
    "4h": 0.25,
    "1d": 0.30,
    "1w": 0.50,
}
"""Largest |open / previous close - 1| that is still one series. Source: arXiv 2508.02739."""

MINUTES = {1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h"}


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """Where a run of gapless bars lies in the corpus, and what it belongs to.

    Attributes:
        name: File the bars came from.
        interval: Width of a bar.
        group: Sampling cell.
        family: Instruments of one family move together and are held out together.
        start: First bar in the corpus arrays.
        stop: One past the last bar.
    """

    name: str
    interval: str
    group: str
    family: str
    start: int
    stop: int

    @property
    def n_bars(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Bars of many series, end to end.

    Attributes:
        values: (n, 6) float32, volume and amount 0 where absent.
        stamps: (n, 5) int8 calendar fields on the exchange's clock.
        series: The gapless runs, in the order of the arrays.
    """

    values: np.ndarray
    stamps: np.ndarray
    series: tuple[SeriesInfo, ...]


@dataclass(frozen=True, slots=True)
class Holdout:
    """Whole families kept out of training, chosen by the hash of their name.

    Attributes:
        share: Share of families held out, from 0 to below 1.
    """

    share: float = 1 / 12

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise InvalidRequest(f"The held-out share lies in [0, 1), found {self.share}.")

    def __contains__(self, family: str) -> bool:
        digest = int.from_bytes(hashlib.sha256(family.encode()).digest()[:8], "big")
        return digest < self.share * 2**64


def load_corpus(
    folder: str | Path,
    *,
    manifest: str | Path | None = None,
    holdout: Holdout | None = None,
    held_out: bool = False,
    since: pd.Timestamp | None = None,
    until: pd.Timestamp | None = None,
    min_bars: int = 96,
) -> Corpus:
    """Reads every candle file below a folder.

    Args:
        folder: Holds CSV or parquet files, at any depth.
        manifest: What is known of the files; paths in it are relative to the folder.
        holdout: Families kept out; None keeps none out.
        held_out: False loads the families trained on, True the ones held out.
        since: Only bars from this time on, on the files' own clock.
        until: Only bars before this time.
        min_bars: Shorter runs are left out.

    Raises:
        InvalidRequest: There is no usable file.
        InvalidCandles: A file cannot be read as candles; the message names it.
    """
    folder = Path(folder)
    rows = [
        row
        for row in _manifest_rows(folder, manifest)
        if holdout is None or (row["family"] in holdout) == held_out
    ]
    values, stamps, series, offset = [], [], [], 0
    with ThreadPoolExecutor(4) as pool:
        for row, frame in zip(rows, pool.map(lambda r: _read_bars(folder, r), rows), strict=True):
            frame = frame[_between(frame["timestamp"], since, until)]
            if len(frame) < min_bars:
                continue
            interval = row["interval"] or interval_of(frame["timestamp"])
            for run in _gapless(frame, GAP_LIMITS.get(interval, 0.30), min_bars):
                info = SeriesInfo(
                    row["file"],
                    interval,
                    row["group"] or interval,
                    row["family"],
                    offset,
                    offset + len(run),
                )
                values.append(run[list(COLUMNS)].to_numpy(np.float32))
                stamps.append(_local_fields(run["timestamp"], row["clock"], row["zone"]))
                series.append(info)
                offset = info.stop
    if not series:
        raise InvalidRequest(
            f"No run of {min_bars} or more bars to use below {folder}: check the folder, the "
            "dates and the held-out share."
        )
    return Corpus(np.concatenate(values), np.concatenate(stamps), tuple(series))


def interval_of(times: pd.Series) -> str:
    """The interval whose width is the most common step between bars."""
    step = times.diff().dropna()
    minutes = int(step.mode().iloc[0].total_seconds() // 60) if len(step) else 0
    if minutes in MINUTES:
        return MINUTES[minutes]
    return "1w" if minutes >= 5 * 24 * 60 else "1d"


def _manifest_rows(folder: Path, manifest: str | Path | None) -> list[dict[str, str]]:
    fields = ("file", "interval", "group", "family", "clock", "zone")
    if manifest is None:
        files = sorted(p for p in folder.rglob("*") if p.suffix in {".csv", ".parquet"})
        return [
            dict.fromkeys(fields, "") | {"file": str(p.relative_to(folder)), "family": p.stem}
            for p in files
        ]
    path = Path(manifest)
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    if "file" not in table.columns:
        raise InvalidRequest(f"{path} has no column 'file'; found {list(table.columns)[:12]}.")
    table = table.reindex(columns=list(fields)).astype(object).fillna("").astype(str)
    table["family"] = table["family"].where(table["family"] != "", table["file"])
    rows = table.sort_values("file").to_dict("records")
    return [{str(key): str(value) for key, value in row.items()} for row in rows]


def _read_bars(folder: Path, row: dict[str, str]) -> pd.DataFrame:
    path = folder / row["file"]
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
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
    frame = frame.sort_values("timestamp").drop_duplicates("timestamp", keep="last")
    frame = frame.reindex(columns=["timestamp", *COLUMNS]).dropna(subset=list(COLUMNS[:4]))
    prices = frame[list(COLUMNS[:4])]
    frame = frame[((prices > 0) & np.isfinite(prices)).all(axis=1)]
    frame["volume"] = frame["volume"].astype(float).fillna(0.0).clip(lower=0.0)
    typical = frame[list(COLUMNS[:4])].astype(float).mean(axis=1)
    frame["amount"] = frame["amount"].astype(float).fillna(frame["volume"] * typical)
    return frame


def _between(
    times: pd.Series, since: pd.Timestamp | None, until: pd.Timestamp | None
) -> np.ndarray:
    index = pd.DatetimeIndex(times)
    wall = index if index.tz is None else index.tz_localize(None)
    inside = np.ones(len(wall), dtype=bool)
    if since is not None:
        inside &= wall >= since
    if until is not None:
        inside &= wall < until
    return inside


def _gapless(frame: pd.DataFrame, limit: float, min_bars: int) -> Iterator[pd.DataFrame]:
    """Splits where a bar opens further than `limit` from the previous close."""
    opens, closes = frame["open"].to_numpy(float), frame["close"].to_numpy(float)
    jumps = np.flatnonzero(np.abs(opens[1:] / closes[:-1] - 1.0) > limit) + 1
    edges = [0, *jumps.tolist(), len(frame)]
    for start, stop in pairwise(edges):
        if stop - start >= min_bars:
            yield frame.iloc[start:stop]


def _local_fields(times: pd.Series, clock: str, zone: str) -> np.ndarray:
    index = pd.DatetimeIndex(times)
    if index.tz is None and clock and zone and clock != zone:
        # Which of the two repeated hours of a clock change is meant moves one hour a year.
        standard = np.zeros(len(index), dtype=bool)
        index = index.tz_localize(clock, ambiguous=standard, nonexistent="shift_forward")
        index = index.tz_convert(zone)
    elif index.tz is not None and zone:
        index = index.tz_convert(zone)
    return calendar_fields(index).astype(np.int8)
