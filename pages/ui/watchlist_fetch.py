"""Bars for the lines of a watchlist: a few requests at a time, and none that are pointless."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import pandas as pd

from data_sources.csv_file import read_csv
from data_sources.samples import SAMPLES, SampleBars
from data_sources.source import Bars, DataSource, Instrument
from kronos.errors import KronosError, RateLimited, SourceBlocked, SourceDown, SourceError
from kronos.intervals import is_intraday
from pages.ui.watchlist_request import Entry

OpenSource = Callable[[str], DataSource]

AT_A_TIME = 4
"""Requests that one source gets at a time, of all runs together."""
TOLERATED = 3
"""Failures of a source in a row after which it is not asked again in a run."""
HISTORY = {"1d": pd.DateOffset(years=4), "1w": pd.DateOffset(years=15)}
"""How far back wide bars are asked for: more than any model reads, less than all there is."""

_turns: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(AT_A_TIME)
)


def sample_intervals() -> dict[str, str]:
    """Ticker of every sample, and the width of its bars."""
    return {sample.symbol: sample.interval for sample in SAMPLES.values()}


class Fetching:
    """The requests of one run to one source.

    A source that refuses, or that fails again and again, is not asked any more: two hundred
    lines would wait for two hundred time-outs, and make a limit that was hit last longer.
    """

    def __init__(self, name: str, open_source: OpenSource) -> None:
        """Args:
        name: Name of the source.
        open_source: Gives a source by name.
        """
        self._name = name
        self._open_source = open_source
        self._lock = threading.Lock()
        self._n_failed = 0
        self._refusal: SourceError | None = None

    def bars(self, entry: Entry) -> Bars:
        """Bars of one instrument.

        Raises:
            KronosError: The source, its answer or the request is at fault; see `DataSource`.
        """
        with _turns[self._name]:
            if self._refusal is not None:
                raise SourceDown(f"Not asked, because the source had failed: {self._refusal}")
            try:
                bars = self._ask(entry)
            except (RateLimited, SourceBlocked) as error:
                self._refusal = error
                raise
            except SourceDown as error:
                self._count(error)
                raise
            except KronosError:
                self._count(None)
                raise
            self._count(None)
            return bars

    def _ask(self, entry: Entry) -> Bars:
        source = self._open_source(self._name)
        start = None
        if not isinstance(source, SampleBars) and not is_intraday(entry.interval):
            # A whole day, so that lines asked for on one day ask for one range.
            start = pd.Timestamp.now(tz="UTC").normalize() - HISTORY[entry.interval]
        return source.fetch(entry.symbol, interval=entry.interval, start=start)

    def _count(self, failure: SourceDown | None) -> None:
        with self._lock:
            self._n_failed = self._n_failed + 1 if failure else 0
            if failure and self._n_failed >= TOLERATED:
                self._refusal = failure


def uploaded_bars(entry: Entry, content: bytes) -> Bars:
    """Bars of an uploaded file.

    Raises:
        InvalidCandles: The file cannot be used; the message names line and column.
    """
    reading = read_csv(content, entry.symbol)
    report = reading.report
    n_left_out = report.rows_read - report.rows_kept
    notes = (f"{n_left_out:,} of {report.rows_read:,} rows were left out.",) if n_left_out else ()
    return Bars(
        candles=reading.candles,
        instrument=Instrument("upload", reading.candles.symbol),
        fetched_at=pd.Timestamp.now(tz="UTC"),
        notes=notes,
    )
