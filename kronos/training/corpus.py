"""A corpus in memory: the bars of many series, split into training and held-out, and their events.

It is read from a folder of CSV or parquet files, or of Qlib's. A manifest (CSV or parquet) can
describe the files: columns `file`, and optionally `interval`, `group` (sampling cell), `family`
(instruments that move together), `clock` (zone of naive times), `zone` (the exchange's own),
`ticker` and `leader` (see `leaders.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.calendars import asset_class, place_bars
from kronos.context import calendar_fields
from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Alignment, Event, Leaders, event_channels, regions_of
from kronos.events.event import sorted_events
from kronos.forecast import COLUMNS
from kronos.training.files import (
    FileFacts,
    QlibFolder,
    clean_bars,
    interval_of,
    is_qlib,
    list_files,
    read_bars,
)

__all__ = ["Corpus", "CorpusEvents", "Holdout", "SeriesInfo", "corpus_of", "load_corpus"]

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

# No event further away from a window than this changes one of its channels.
_BEFORE, _AFTER = pd.Timedelta(days=40).value, pd.Timedelta(days=400).value
_FLAGS = [i for i, name in enumerate(CHANNELS) if name.startswith("is_")]


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A gapless series: its place in the corpus arrays, and what is known of it.

    Attributes:
        name: File of the bars.
        interval: Width of a bar.
        group: Sampling cell.
        family: Instruments of one family move together and are held out together.
        start: First bar in the corpus arrays.
        stop: One past the last bar.
        calendar: Calendar of its bars; "" if the corpus was not loaded on calendars.
        zone: The market's clock; "" likewise.
        symbol: Ticker.
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
        """The part of its group before the stroke; else the class of its calendar."""
        named, stroke, _ = self.group.partition("/")
        if stroke or not self.calendar:
            return named if stroke else ""
        return asset_class(self.calendar, self.symbol)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The bars of many series, end to end.

    Attributes:
        values: (n, 6) float32, volume and amount 0 where absent.
        stamps: (n, 5) int8 calendar fields on the exchange's clock.
        times: (n,) int64 open times, nanoseconds UTC; naive times count as UTC unless the corpus
            was loaded on calendars.
        series: The gapless series, in the order of the arrays.
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
        chosen = np.concatenate(rows)
        return Corpus(self.values[chosen], self.stamps[chosen], self.times[chosen], tuple(series))

    def with_replay_before(self, moment: pd.Timestamp, *, min_bars: int) -> Corpus:
        """The same bars, those before a moment marked as replay; short ends are left out."""
        at, series = moment.as_unit("ns").value, []
        for run in self.series:
            cut = run.start + int(np.searchsorted(self.times[run.start : run.stop], at))
            older = replace(run, stop=cut, is_replay=True)
            series += [part for part in (older, replace(run, start=cut)) if part.n_bars >= min_bars]
        return replace(self, series=tuple(series))


@dataclass(frozen=True, slots=True)
class Holdout:
    """Whole families held out of training, chosen by the hash of their name.

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
    """Load every candle file below a folder, or the instruments of a Qlib folder.

    Args:
        folder: Folder of CSV or parquet files, at any depth, or of Qlib's layout.
        manifest: Description of the files; its paths are relative to the folder.
        holdout: Families held out; None for none.
        held_out: False loads the training families, True the held-out ones.
        since: Only bars from this time on, on the files' own clock.
        until: Only bars before this time.
        min_bars: Shorter series are left out.
        on_calendars: Infer the calendar and clock of every file, as forecasts do, so that times
            are true moments and events can be placed. Otherwise naive times count as UTC.
        market: For Qlib, the file in instruments/ that lists the members.
        frequency: For Qlib, the name of the calendar.

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
    """The corpus of tables in memory, on calendars.

    Args:
        tables: Facts and bars of each: columns timestamp and the six.
        min_bars: Shorter series are left out.

    Raises:
        InvalidRequest: No series is long enough.
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


class CorpusEvents:
    """The events on the bars of a corpus: which bars carry one, and the channels of a window."""

    def __init__(
        self, corpus: Corpus, events: Sequence[Event], leaders: Leaders | None = None
    ) -> None:
        """Args:
        corpus: The bars.
        events: All events; each one says when it was known.
        leaders: Leading markets; None for none.

        Raises:
            InvalidRequest: The corpus was loaded without calendars.
        """
        if not all(series.calendar for series in corpus.series):
            raise InvalidRequest("Events can only be placed on bars loaded on their calendars.")
        self._times, self._leaders = corpus.times, leaders
        ordered = sorted_events(events)
        self._of_all = _Listed([event for event in ordered if event.kind != "earnings"])
        # Thousands of companies report: a window reads the events of its own.
        reports: dict[str, list[Event]] = {}
        for event in ordered:
            if event.kind == "earnings":
                reports.setdefault(event.symbol.strip().upper(), []).append(event)
        self._of_company = {symbol: _Listed(found) for symbol, found in reports.items()}
        carries = np.zeros(len(corpus.times), dtype=bool)
        for series in corpus.series:
            rows = np.arange(series.start, series.stop)
            carries[rows] = (self.channels(series, rows, len(rows))[:, _FLAGS] != 0).any(axis=1)
        self._before = np.concatenate([[0], np.cumsum(carries)])

    def channels(
        self,
        series: SeriesInfo,
        rows: np.ndarray,
        n_context: int,
        alignment: Alignment = "bar",
    ) -> np.ndarray:
        """The channels of a window as known at its origin.

        Args:
            series: The series of the window.
            rows: (L,) positions of its bars in the corpus.
            n_context: Number of bars before the origin.
            alignment: Which schedule a row holds; see `kronos.events.channels`.

        Returns:
            (L, 20) float32.
        """
        times = self._times[rows]
        company = self._of_company.get(series.symbol.strip().upper(), _Listed([]))
        near = [event for each in (self._of_all, company) for event in each.near(times)]
        return event_channels(
            pd.DatetimeIndex(times, tz="UTC"),
            interval=series.interval,
            calendar=series.calendar,
            zone=series.zone,
            n_context=n_context,
            events=near,
            leaders=self._leaders,
            symbol=series.symbol,
            regions=regions_of(series.calendar, series.symbol),
            alignment=alignment,
        )

    def any_between(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Whether any bar from `start` to before `stop`, both (n,), carries an event."""
        return np.asarray(self._before[stop] > self._before[start])


class _Listed:
    """Events by time, and those of them that a window can read."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = np.array(events, dtype=object)
        self._moments = np.array([event.time.value for event in events], np.int64)
        # Surprises are scored against all earlier ones.
        self._has_surprise = np.array([event.surprise is not None for event in events], bool)

    def near(self, times: np.ndarray) -> list[Event]:
        """The events that can change a channel of bars at times (L,)."""
        near = (self._moments >= times[0] - _BEFORE) | self._has_surprise
        near &= self._moments <= times[-1] + _AFTER
        return list(self._events[near])


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
