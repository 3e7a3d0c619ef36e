"""Bars of a list of instruments: a few requests at a time, and none that are pointless."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable

import pandas as pd

from data_sources.csv.reader import read_csv
from data_sources.samples import SAMPLES
from data_sources.source import Bars, DataSource, Instrument
from kronos.errors import (
    ForecastCancelled,
    KronosError,
    RateLimited,
    SourceBlocked,
    SourceDown,
    SourceError,
)
from pages.ui.inputs.instruments import Entry

OpenSource = Callable[[str], DataSource]

AT_A_TIME = 4
"""Requests that Yahoo gets at a time, of all runs together; an exchange takes one at a time."""
TOLERATED = 3
"""Failures of a source in a row, or waits it asks for, after which a run asks it no more."""
LONGEST_WAIT = 90.0
"""Seconds that a run waits for a source that was asked too often."""
UNSAID_WAIT = 60.0
"""The same where the source does not say how long."""
HISTORY = {"1d": pd.DateOffset(years=4), "1w": pd.DateOffset(years=15)}
"""How far back Yahoo is asked for wide bars: more than a model reads, less than all there is."""

_turns: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(1)
)
_turns["yahoo"] = threading.BoundedSemaphore(AT_A_TIME)


def sample_intervals() -> dict[str, str]:
    """Ticker of every sample, and the width of its bars."""
    return {sample.symbol: sample.interval for sample in SAMPLES.values()}


class Fetching:
    """The requests of one run to one source.

    A source that was asked too often is waited for. One that refuses, or that fails again and
    again, is not asked any more: two hundred lines would wait for two hundred time-outs.
    """

    def __init__(self, name: str, open_source: OpenSource, stopped: threading.Event) -> None:
        """Args:
        name: Name of the source.
        open_source: Gives a source by name.
        stopped: Set once the run has ended; ends every wait.
        """
        self._name = name
        self._open_source = open_source
        self._stopped = stopped
        self._lock = threading.Lock()
        self._n_failed = 0
        self._n_waits = 0
        self._resume_at = 0.0
        self._refusal: SourceError | None = None

    @property
    def seconds_to_wait(self) -> float:
        """How long the source is left alone yet; 0 if it is asked."""
        return max(self._resume_at - time.monotonic(), 0.0)

    def bars(self, entry: Entry) -> Bars:
        """Bars of one instrument.

        Raises:
            KronosError: The source, its answer or the request is at fault; see `DataSource`.
            ForecastCancelled: The run ended while the source was waited for.
        """
        with _turns[self._name]:
            while True:
                if self._refusal is not None:
                    raise SourceDown(f"Not asked, because the source had failed: {self._refusal}")
                try:
                    return self._ask(entry)
                except RateLimited as error:
                    self._wait(error)

    def _ask(self, entry: Entry) -> Bars:
        start = None
        if self._name == "yahoo" and entry.interval in HISTORY:
            # A whole day, so that lines asked for on one day ask for one range.
            start = pd.Timestamp.now(tz="UTC").normalize() - HISTORY[entry.interval]
        try:
            source = self._open_source(self._name)
            bars = source.fetch(entry.symbol, interval=entry.interval, start=start)
        except RateLimited:
            raise
        except SourceBlocked as error:
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

    def _count(self, failure: SourceDown | None) -> None:
        with self._lock:
            self._n_failed = self._n_failed + 1 if failure else 0
            if failure is None:
                self._n_waits = 0
            elif self._n_failed >= TOLERATED:
                self._refusal = failure

    def _wait(self, error: RateLimited) -> None:
        """Until the source may be asked again; all threads of the run wait for the same moment."""
        seconds = UNSAID_WAIT if error.retry_after is None else error.retry_after
        with self._lock:
            now = time.monotonic()
            if now >= self._resume_at:
                if seconds > LONGEST_WAIT or self._n_waits >= TOLERATED:
                    self._refusal = error
                    raise error
                self._n_waits += 1
                self._resume_at = now + seconds
            left = self._resume_at - now
        if self._stopped.wait(left):
            raise ForecastCancelled("The run was stopped while the source was waited for.")


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
