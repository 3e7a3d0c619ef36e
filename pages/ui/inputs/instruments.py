"""A list of instruments, from pasted text and uploaded files, and their bars."""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from data_sources import registry as markets
from data_sources import samples
from data_sources.csv.reader import read_csv
from data_sources.http import Retry
from data_sources.source import Bars, DataSource, Instrument
from kronos.errors import (
    ForecastCancelled,
    InvalidRequest,
    KronosError,
    RateLimited,
    SourceBlocked,
    SourceDown,
    SourceError,
)

SAMPLES = samples.SampleBars.name
open_source = markets.open_source

MAX_SYMBOLS = 200
MAX_SYMBOL_LENGTH = 40
MAX_TEXT = 100_000
"""Characters of text that are read."""
_SHOWN = 3
_SEPARATORS = re.compile(r"[\s,;|]+")
_QUOTES = "'\"`\u201c\u201d\u2018\u2019"
_SIGNS = frozenset(".^=/:_&+*$-")
_FIRST_SIGNS = frozenset("^$")
MAX_FILE_MB = 5
MAX_ALL_MB = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One instrument to forecast.

    Attributes:
        symbol: Ticker at the source, or the name of an uploaded file.
        interval: Width of a bar; empty for an uploaded file, which says it itself.
        digest: SHA-256 of an uploaded file; empty for a symbol.
    """

    symbol: str
    interval: str = ""
    digest: str = ""

    @property
    def is_file(self) -> bool:
        return bool(self.digest)


def source_titles() -> dict[str, str]:
    """Title of every source by its name, the samples first. Loads no client."""
    return {SAMPLES: samples.SampleBars.title, **markets.source_titles()}


@dataclass(frozen=True, slots=True)
class SymbolList:
    """What was made of a text.

    Attributes:
        symbols: In the order of the text, each once.
        notes: What was left out and why, plain text; empty if nothing was.
    """

    symbols: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_symbols(text: str, limit: int = MAX_SYMBOLS) -> SymbolList:
    """Symbols separated by spaces, commas, semicolons, bars or line breaks.

    Symbols written in small letters alone are put into capitals; mixed ones stay as they are,
    because some exchanges tell them apart.
    """
    is_cut = len(text) > MAX_TEXT
    written = _SEPARATORS.split(text[:MAX_TEXT])
    named = [stripped for entry in written if (stripped := entry.strip(_QUOTES))]
    odd = [entry for entry in named if not is_symbol(entry)]
    symbols = [_spelled(entry) for entry in named if is_symbol(entry)]
    once = list(dict.fromkeys(symbols))
    notes = []
    if is_cut:
        notes.append(f"Only the first {MAX_TEXT:,} characters were read.")
    if odd:
        notes.append(f"Left out, because no symbol looks like this: {_some(odd)}.")
    if n_repeated := len(symbols) - len(once):
        notes.append(f"{n_repeated:,} repeated {_noun(n_repeated)} left out.")
    if len(once) > limit:
        notes.append(
            f"{len(once):,} symbols were given; the first {limit} are taken and "
            f"{len(once) - limit:,} left out."
        )
    return SymbolList(tuple(once[:limit]), tuple(notes))


def list_line(symbols: Sequence[str]) -> str:
    """Symbols as one line of text that reads back as the same symbols."""
    return ", ".join(symbols)


def is_symbol(entry: str) -> bool:
    """Whether a word could be the ticker of anything: letters, digits and a few signs."""
    return (
        0 < len(entry) <= MAX_SYMBOL_LENGTH
        and (entry[0].isalnum() or entry[0] in _FIRST_SIGNS)
        and all(sign.isalnum() or sign in _SIGNS for sign in entry)
        and any(sign.isalnum() for sign in entry)
    )


def _spelled(entry: str) -> str:
    return entry.upper() if entry.islower() else entry


def _some(entries: list[str]) -> str:
    """The first few, shortened."""
    shown = [entry if len(entry) <= 24 else f"{entry[:24]}..." for entry in entries[:_SHOWN]]
    more = len(entries) - len(shown)
    return ", ".join(map(repr, shown)) + (f" and {more:,} more" if more else "")


def _noun(count: int) -> str:
    return "entry was" if count == 1 else "entries were"


def choose_files() -> list[tuple[Entry, bytes]]:
    """The uploader; an entry and the bytes for every file.

    Raises:
        InvalidRequest: There are too many, or they are too large together.
    """
    files = st.file_uploader(
        "CSV files of candles",
        type=["csv", "txt", "tsv"],
        accept_multiple_files=True,
        key="watch_files",
        max_upload_size=MAX_FILE_MB,
        help="Each file is a line of its own. The files stay in this session and are no part of "
        "the link.",
    )
    n_bytes = sum(file.size for file in files)
    if n_bytes > MAX_ALL_MB * 1_000_000:
        raise InvalidRequest(
            f"The files have {n_bytes / 1e6:,.1f} MB together; at most {MAX_ALL_MB} MB are read. "
            "Remove some."
        )
    if len(files) > MAX_SYMBOLS:
        raise InvalidRequest(
            f"{len(files):,} files were given; at most {MAX_SYMBOLS} are read. Remove some."
        )
    known: dict[str, str] = st.session_state.setdefault("watch_digests", {})
    return [
        (Entry(file.name[:120], digest=_digest(file, known)), file.getvalue()) for file in files
    ]


def _digest(file: UploadedFile, known: dict[str, str]) -> str:
    """SHA-256 of a file's bytes, computed once for every upload."""
    if file.file_id not in known:
        known[file.file_id] = hashlib.sha256(file.getbuffer()).hexdigest()
    return known[file.file_id]


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
    return {sample.symbol: sample.interval for sample in samples.SAMPLES.values()}


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
