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
from data_sources.csv.formats import FILE_TYPES
from data_sources.csv.reader import CsvChoices
from data_sources.csv.report import clock_question
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
from pages.ui.frame.text import counted
from pages.ui.inputs.file_clock import choose_file_clock
from pages.ui.jobs import queues

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
        interval: Width of a bar; empty for an uploaded file, which has its own.
        digest: SHA-256 of an uploaded file; empty for a symbol.
        clock: Clock of its times without an offset; empty to find it from the bars.
    """

    symbol: str
    interval: str = ""
    digest: str = ""
    clock: str = ""

    @property
    def is_file(self) -> bool:
        return bool(self.digest)


def source_titles() -> dict[str, str]:
    """Title of every source by its name, the samples first. Loads no client."""
    return {SAMPLES: samples.SampleBars.title, **markets.source_titles()}


@dataclass(frozen=True, slots=True)
class SymbolList:
    """The symbols of a text.

    Attributes:
        symbols: In the order of the text, each once.
        notes: What was skipped and why, as plain text; empty if nothing was.
    """

    symbols: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_symbols(text: str, limit: int = MAX_SYMBOLS) -> SymbolList:
    """Symbols separated by spaces, commas, semicolons, bars or line breaks.

    Symbols in small letters become capitals; mixed ones stay, as some exchanges distinguish them.
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
        notes.append(f"Skipped, not a symbol: {_some(odd)}.")
    if n_repeated := len(symbols) - len(once):
        notes.append(f"Skipped {counted(n_repeated, 'repeated symbol')}.")
    if len(once) > limit:
        notes.append(
            f"Skipped {len(once) - limit:,} of {len(once):,} symbols: the limit is {limit}."
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


def choose_files() -> list[tuple[Entry, bytes]]:
    """The uploader; returns an entry and the bytes of every file.

    Raises:
        InvalidRequest: There are too many, or they are too large together.
    """
    files = st.file_uploader(
        "Files of candles",
        type=list(FILE_TYPES),
        accept_multiple_files=True,
        key="watch_files",
        max_upload_size=MAX_FILE_MB,
        help="CSV, Parquet, Feather or Excel, one instrument per file. The files stay in "
        "this session; the link does not carry them.",
    )
    clock = choose_file_clock("watch_clock") if files else None
    n_bytes = sum(file.size for file in files)
    if n_bytes > MAX_ALL_MB * 1_000_000:
        raise InvalidRequest(
            f"The files have {n_bytes / 1e6:,.1f} MB in total; the limit is {MAX_ALL_MB} MB. "
            "Remove some."
        )
    if len(files) > MAX_SYMBOLS:
        raise InvalidRequest(
            f"There are {len(files):,} files; the limit is {MAX_SYMBOLS}. Remove some."
        )
    known: dict[str, str] = st.session_state.setdefault("watch_digests", {})
    return [
        (Entry(file.name[:120], digest=_digest(file, known), clock=clock or ""), file.getvalue())
        for file in files
    ]


def uploaded_content(entry: Entry) -> bytes | None:
    """The bytes of an uploaded file that this session still holds; None without them."""
    known = st.session_state.get("watch_digests", {})
    for file in st.session_state.get("watch_files") or ():
        if known.get(file.file_id) == entry.digest:
            content: bytes = file.getvalue()
            return content
    return None


def _digest(file: UploadedFile, known: dict[str, str]) -> str:
    """SHA-256 of a file's bytes, computed once for every upload."""
    if file.file_id not in known:
        known[file.file_id] = hashlib.sha256(file.getbuffer()).hexdigest()
    return known[file.file_id]


OpenSource = Callable[[str], DataSource]

AT_A_TIME = 4
"""Requests to Yahoo at a time, of all runs together; an exchange gets one at a time."""
TOLERATED = 3
"""Failures of a source in a row, or waits for one entry, after which a run stops its requests."""
LONGEST_WAIT = 90.0
"""Longest rate limit, in seconds, that a run waits for."""
HISTORY = {"1d": pd.DateOffset(years=4), "1w": pd.DateOffset(years=15)}
"""Length of the history that a run requests from Yahoo: more than a model reads."""

_turns: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(1)
)
_turns["yahoo"] = threading.BoundedSemaphore(AT_A_TIME)


def sample_intervals() -> dict[str, str]:
    """Ticker of every sample, and the width of its bars."""
    return {sample.symbol: sample.interval for sample in samples.SAMPLES.values()}


class Fetching:
    """The requests of one run to one source.

    A run waits for longer rate limits than a source does for a visitor. After a refusal, or
    several failures in a row, the remaining entries fail at once instead of after two hundred
    time-outs.
    """

    def __init__(self, name: str, open_source: OpenSource, stopped: threading.Event) -> None:
        """Args:
        name: Name of the source.
        open_source: Returns a source by name.
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
        """Remaining wait for the source; 0 if there is none."""
        return 0.0 if self._refusal else self._retry.seconds_to_wait

    def bars(self, entry: Entry) -> Bars:
        """Bars of one instrument.

        Raises:
            KronosError: See `DataSource`.
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
        try:
            bars = _latest_bars(self._name, self._open_source, entry)
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
            raise SourceDown(f"Skipped, as the source failed before: {self._refusal}")

    def _count(self, failure: SourceDown | None) -> None:
        with self._lock:
            self._n_failed = self._n_failed + 1 if failure else 0
            if self._n_failed >= TOLERATED:
                self._refusal = failure

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise ForecastCancelled("The run was cancelled while it waited for the source.")


def followed_bars(name: str, open_source: OpenSource, entry: Entry) -> Bars:
    """The latest bars of an instrument that is followed, when the source's turn comes.

    Raises:
        KronosError: See `DataSource`.
    """
    with _turns[name]:
        return _latest_bars(name, open_source, entry)


def _latest_bars(name: str, open_source: OpenSource, entry: Entry) -> Bars:
    start = None
    if name == "yahoo" and entry.interval in HISTORY:
        # From midnight, so that all entries of a day request the same range.
        start = pd.Timestamp.now(tz="UTC").normalize() - HISTORY[entry.interval]
    return open_source(name).fetch(entry.symbol, interval=entry.interval, start=start)


def uploaded_bars(entry: Entry, content: bytes) -> Bars:
    """Bars of an uploaded file.

    Raises:
        InvalidCandles: The file cannot be used; the message names line and column.
        Busy: Other files are being read, and the line does not move.
    """
    choices = CsvChoices(clock=entry.clock or None)
    reading = queues.readings().read(content, entry.symbol, choices=choices)
    report = reading.report
    n_left_out = report.rows_read - report.rows_kept
    notes = (
        (f"{n_left_out:,} of {counted(report.rows_read, 'row')} skipped.",) if n_left_out else ()
    )
    if report.clocks:
        notes = (f"Assumed: {clock_question(report.clocks)}.", *notes)
    return Bars(
        candles=reading.candles,
        instrument=Instrument("upload", reading.candles.symbol),
        fetched_at=pd.Timestamp.now(tz="UTC"),
        notes=notes,
    )
