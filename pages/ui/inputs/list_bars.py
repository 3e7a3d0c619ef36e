"""Bars of a list of instruments: a few requests at a time, and none that are pointless."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable

import pandas as pd

from data_sources.csv.reader import read_csv
from data_sources.http import Retry
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
"""Failures of a source in a row, or waits for one line, after which a run stops its requests."""
LONGEST_WAIT = 90.0
"""Longest wait of a source that limits requests, in seconds, that a run sleeps through."""
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

    A run sleeps through longer rate limits than the source itself does, which answers a user.
    After a refusal, or several failures in a row, the rest of the lines fails at once: two
    hundred lines would take two hundred time-outs.
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
        self._retry = Retry(
            name,
            attempts=TOLERATED + 1,
            seconds=math.inf,
            longest_wait=LONGEST_WAIT,
            repeat_on=(RateLimited,),  # the source repeats requests that fail otherwise
            sleep=self._sleep,
        )
        self._lock = threading.Lock()
        self._n_failed = 0
        self._refusal: SourceError | None = None

    @property
    def seconds_to_wait(self) -> float:
        """How long the run waits for the source; 0 if it does not."""
        return 0.0 if self._refusal else self._retry.seconds_to_wait

    def bars(self, entry: Entry) -> Bars:
        """Bars of one instrument.

        Raises:
            KronosError: The source, its response or the request is at fault; see `DataSource`.
            ForecastCancelled: The run ended during a wait.
        """
        with _turns[self._name]:
            self._require_open()
            try:
                return self._retry.run(lambda _: self._request(entry))
            except RateLimited as error:
                self._refusal = error
                raise

    def _request(self, entry: Entry) -> Bars:
        self._require_open()
        start = None
        if self._name == "yahoo" and entry.interval in HISTORY:
            # A whole day, so that all lines of a day request the same range.
            start = pd.Timestamp.now(tz="UTC").normalize() - HISTORY[entry.interval]
        try:
            source = self._open_source(self._name)
            bars = source.fetch(entry.symbol, interval=entry.interval, start=start)
        except SourceBlocked as error:
            self._refusal = error
            raise
        except SourceDown as error:
            self._count(error)
            raise
        except RateLimited:
            raise
        except KronosError:
            self._count(None)
            raise
        self._count(None)
        return bars

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise SourceDown(f"Not asked, because the source had failed: {self._refusal}")

    def _count(self, failure: SourceDown | None) -> None:
        with self._lock:
            self._n_failed = self._n_failed + 1 if failure else 0
            if self._n_failed >= TOLERATED:
                self._refusal = failure

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise ForecastCancelled("The run was stopped while it waited for the source.")


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
