"""A corpus of candle files in memory: which bars may be trained on, which are held out.

A folder of CSV or parquet files is enough, or one of Qlib's. A manifest (CSV or parquet) can say
more about each file: columns `file`, and optionally `interval`, `group` (sampling cell), `family`
(instruments that move together), `clock` (zone of naive times), `zone` (the exchange's own) and
`ticker`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.calendars import asset_class, place_bars
from kronos.context import calendar_fields
from kronos.errors import InvalidRequest
from kronos.forecast import COLUMNS
from kronos.training.candle_files import FileFacts, clean_bars, list_files, read_bars
from kronos.training.qlib import QlibFolder, is_qlib

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
        calendar: Calendar its bars keep; "" where it was not looked for.
        zone: The market's clock; "" likewise.
        symbol: Ticker, as far as the file's name says it.
        is_replay: Older bars, drawn in their own share (`WindowPlan.replay`).
    """

    name: str
    interval: str
    group: str
    family: str
    start: int
    stop: int
    calendar: str = ""
    zone: str = ""
    symbol: str = ""
    is_replay: bool = False

    @property
    def n_bars(self) -> int:
        return self.stop - self.start

    @property
    def asset_class(self) -> str:
        """What stands before the stroke of its group; else what its calendar says of it."""
        named, stroke, _ = self.group.partition("/")
        if stroke or not self.calendar:
            return named if stroke else ""
        return asset_class(self.calendar, self.symbol)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Bars of many series, end to end.

    Attributes:
        values: (n, 6) float32, volume and amount 0 where absent.
        stamps: (n, 5) int8 calendar fields on the exchange's clock.
        times: (n,) int64 open times, nanoseconds UTC; naive times count as UTC unless the corpus
            was loaded on calendars.
        series: The gapless runs, in the order of the arrays.
    """

    values: np.ndarray
    stamps: np.ndarray
    times: np.ndarray
    series: tuple[SeriesInfo, ...]

    def of_class(self, asset_class: str) -> Corpus:
        """The series of one asset class.

        Raises:
            InvalidRequest: There are none.
        """
        series = tuple(s for s in self.series if s.asset_class == asset_class)
        if not series:
            found = ", ".join(sorted({s.asset_class or "none" for s in self.series}))
            raise InvalidRequest(f"No series is of the class {asset_class!r}; found: {found}.")
        return replace(self, series=series)

    def between(
        self, since: pd.Timestamp | None, until: pd.Timestamp | None, *, min_bars: int
    ) -> Corpus:
        """The bars that open from `since` on and before `until`, both aware.

        Raises:
            InvalidRequest: No series has `min_bars` of them.
        """
        low = np.iinfo(np.int64).min if since is None else since.as_unit("ns").value
        high = np.iinfo(np.int64).max if until is None else until.as_unit("ns").value
        series, rows, offset = [], [], 0
        for run in self.series:
            start, stop = run.start + np.searchsorted(self.times[run.start : run.stop], (low, high))
            if stop - start >= min_bars:
                rows.append(np.arange(start, stop))
                series.append(replace(run, start=offset, stop=offset + int(stop - start)))
                offset = series[-1].stop
        if not series:
            raise InvalidRequest(
                f"No series has {min_bars} bars {_span_text(since, until)}: give more bars, "
                "another cut-off, or shorter windows."
            )
        kept = np.concatenate(rows)
        return Corpus(self.values[kept], self.stamps[kept], self.times[kept], tuple(series))

    def with_replay_before(self, moment: pd.Timestamp, *, min_bars: int) -> Corpus:
        """The same bars with those before a moment marked as replay; short ends are left out."""
        at, series = moment.as_unit("ns").value, []
        for run in self.series:
            cut = run.start + int(np.searchsorted(self.times[run.start : run.stop], at))
            older = replace(run, stop=cut, is_replay=True)
            series += [part for part in (older, replace(run, start=cut)) if part.n_bars >= min_bars]
        return replace(self, series=tuple(series))


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
    on_calendars: bool = False,
    market: str = "all",
    frequency: str = "day",
) -> Corpus:
    """Reads every candle file below a folder, or the instruments of a Qlib folder.

    Args:
        folder: Holds CSV or parquet files, at any depth, or is laid out as Qlib's.
        manifest: What is known of the files; paths in it are relative to the folder.
        holdout: Families kept out; None keeps none out.
        held_out: False loads the families trained on, True the ones held out.
        since: Only bars from this time on, on the files' own clock.
        until: Only bars before this time.
        min_bars: Shorter runs are left out.
        on_calendars: Find the calendar and clock of every file, as forecasts do, so that times
            are true moments and events can be placed. Else naive times count as UTC.
        market: Of a Qlib folder, the file in instruments/ that lists its members.
        frequency: Of a Qlib folder, the name of the calendar.

    Raises:
        InvalidRequest: There is no usable file.
        InvalidCandles: A file cannot be read as candles; the message names it.
    """
    folder = Path(folder)
    qlib = QlibFolder(folder, market=market, frequency=frequency) if is_qlib(folder) else None
    files = qlib.instruments() if qlib else list_files(folder, manifest)

    def read(facts: FileFacts) -> pd.DataFrame:
        return qlib.bars(facts.file) if qlib else read_bars(folder / facts.file)

    if holdout is not None:
        files = [facts for facts in files if (facts.family in holdout) == held_out]
    building = _Building(min_bars)
    with ThreadPoolExecutor(4) as pool:
        for facts, frame in zip(files, pool.map(read, files), strict=True):
            frame = frame[_between(frame["timestamp"], since, until)]
            if len(frame) >= min_bars:
                building.add(facts, frame, on_calendars)
    if not building.series:
        raise InvalidRequest(
            f"No run of {min_bars} or more bars to use below {folder}: check the folder, the "
            "dates and the held-out share."
        )
    return building.corpus()


def corpus_of(tables: Iterable[tuple[FileFacts, pd.DataFrame]], *, min_bars: int = 96) -> Corpus:
    """The corpus that files would make, of their tables; on calendars.

    Args:
        tables: What is known of each, and its bars: columns timestamp and the six.
        min_bars: Shorter runs are left out.

    Raises:
        InvalidRequest: There is no run of so many bars.
    """
    building = _Building(min_bars)
    for facts, table in tables:
        frame = clean_bars(table)
        if len(frame) >= min_bars:
            building.add(facts, frame, on_calendars=True)
    if not building.series:
        raise InvalidRequest(f"No series has a run of {min_bars} or more bars. Give longer files.")
    return building.corpus()


class _Building:
    """A corpus while its files are read."""

    def __init__(self, min_bars: int) -> None:
        self.series: list[SeriesInfo] = []
        self._min_bars = min_bars
        self._arrays: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, facts: FileFacts, frame: pd.DataFrame, on_calendars: bool) -> None:
        interval = facts.interval or interval_of(frame["timestamp"])
        index = pd.DatetimeIndex(frame["timestamp"])
        calendar = zone = ""
        if on_calendars:
            placed = place_bars(
                index,
                interval=interval,
                symbol=facts.symbol,
                clock=facts.clock or None,
                zone=facts.zone or None,
            )
            index, calendar, zone = placed.index, placed.calendar, placed.zone
            stamps = calendar_fields(index.tz_convert(zone)).astype(np.int8)
        else:
            stamps = _local_fields(index, facts.clock, facts.zone)
        times = (index if index.tz is None else index.tz_convert("UTC")).as_unit("ns").asi8
        values = frame[list(COLUMNS)].to_numpy(np.float32)
        for run in _gapless(frame, GAP_LIMITS.get(interval, 0.30), self._min_bars):
            start = self.series[-1].stop if self.series else 0
            self._arrays.append((values[run], stamps[run], times[run]))
            self.series.append(
                SeriesInfo(
                    facts.file,
                    interval,
                    facts.group or interval,
                    facts.family,
                    start,
                    start + run.stop - run.start,
                    calendar=calendar,
                    zone=zone,
                    symbol=facts.symbol,
                )
            )

    def corpus(self) -> Corpus:
        values, stamps, times = (np.concatenate(part) for part in zip(*self._arrays, strict=True))
        return Corpus(values, stamps, times, tuple(self.series))


def interval_of(times: pd.Series) -> str:
    """The interval whose width is the most common step between bars."""
    step = times.diff().dropna()
    minutes = int(step.mode().iloc[0].total_seconds() // 60) if len(step) else 0
    if minutes in MINUTES:
        return MINUTES[minutes]
    return "1w" if minutes >= 5 * 24 * 60 else "1d"


def _span_text(since: pd.Timestamp | None, until: pd.Timestamp | None) -> str:
    parts = [f"from {since:%Y-%m-%d} on"] if since is not None else []
    parts += [f"before {until:%Y-%m-%d}"] if until is not None else []
    return " and ".join(parts)


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


def _gapless(frame: pd.DataFrame, limit: float, min_bars: int) -> Iterator[slice]:
    """Splits where a bar opens further than `limit` from the previous close."""
    opens, closes = frame["open"].to_numpy(float), frame["close"].to_numpy(float)
    jumps = np.flatnonzero(np.abs(opens[1:] / closes[:-1] - 1.0) > limit) + 1
    edges = [0, *jumps.tolist(), len(frame)]
    for start, stop in pairwise(edges):
        if stop - start >= min_bars:
            yield slice(start, stop)


def _local_fields(index: pd.DatetimeIndex, clock: str, zone: str) -> np.ndarray:
    if index.tz is None and clock and zone and clock != zone:
        # Which of the two repeated hours of a clock change is meant moves one hour a year.
        standard = np.zeros(len(index), dtype=bool)
        index = index.tz_localize(clock, ambiguous=standard, nonexistent="shift_forward")
        index = index.tz_convert(zone)
    elif index.tz is not None and zone:
        index = index.tz_convert(zone)
    return calendar_fields(index).astype(np.int8)
