"""A walk-forward test of own files, of tickers, or of the bundled samples, from the page."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from data_sources.samples import SAMPLES as BUNDLED
from data_sources.samples import SampleBars, load_sample
from kronos.errors import Busy, ForecastCancelled, InvalidRequest, KronosError, NotOffered
from kronos.forecasters.baselines import BASELINES
from kronos.serving.jobs import JobControl, JobStatus
from kronos.serving.service import service
from pages.ui.frame.access import may_administer, not_offered, require_administrator, without_paths
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import error_text, plain, show_error
from pages.ui.frame.text import counted
from pages.ui.inputs.calendar import fetch_calendar
from pages.ui.inputs.instruments import (
    MAX_SYMBOLS,
    SAMPLES,
    Entry,
    Fetching,
    choose_files,
    open_source,
    read_symbols,
    source_titles,
    uploaded_bars,
)
from pages.ui.inputs.leaders import leaders_for
from pages.ui.jobs import caches
from pages.ui.jobs.progress import POLL_SECONDS, progress_share
from pages.ui.jobs.registry import Run, RunRegistry
from pages.ui.jobs.services import Service
from pages.ui.jobs.session import owner
from pages.ui.jobs.settings import MAX_HORIZON
from pages.ui.track_record.record import ReadRecord, plain_rows, record
from pages.ui.track_record.study import choices_of

if TYPE_CHECKING:
    from kronos.store.store import Store
    from kronos.walk_forward import Series, WalkPlan, WalkReport


@dataclass(frozen=True, slots=True)
class WalkRequest:
    """A walk-forward test.

    Attributes:
        plan: Models, origins and horizon.
        source: Name of the source of the symbols; `FILES` for uploaded files.
        entries: What is walked through; empty for the bundled samples.
    """

    plan: WalkPlan
    source: str = SAMPLES
    entries: tuple[Entry, ...] = ()

    @property
    def is_private(self) -> bool:
        """Whether the forecasts are of uploaded files, which no other visitor may see."""
        return self.source == FILES


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """The outcome of a walk: what was done, and its record."""

    report: WalkReport
    record: ReadRecord


if TYPE_CHECKING:
    Walk = Run[WalkRequest, Walked]

FILES = "files"
_BARS = {SAMPLES: "Bundled samples", FILES: "My files", "tickers": "Tickers"}
_REFUSED = "walk refused"
_OWN, _SEEN = "own walk", "own walk seen"
MAX_ORIGINS = 200
OFFERS = "Walk-forward tests"
WALK, WINDOWS, FETCHING = "walk", "Windows", "Fetching bars"


@Service
def walks() -> RunRegistry[Walk]:
    """The walks of all sessions: one at a time, which goes on while no page shows it."""
    return RunRegistry("walks", n_at_once=1, abandon_after=24 * 3600.0)


def _own() -> Walk | None:
    """The newest walk that this session started."""
    key = st.session_state.get(_OWN)
    return None if key is None else walks().find(key)


def has_record() -> bool:
    """Whether a walk of this session has a record to show."""
    walk = _own()
    return walk is not None and walk.outcome is not None


def has_ended() -> bool:
    """Whether a walk of this session has ended with a record since this was last asked."""
    walk = _own()
    if walk is None or not walk.is_final or st.session_state.get(_SEEN) == walk.key:
        return False
    st.session_state[_SEEN] = walk.key
    return walk.outcome is not None


def own_record() -> tuple[str, ReadRecord | None]:
    """Name and record of this session's walk."""
    walk = _own()
    if walk is None or walk.outcome is None:
        return "", None
    return walk.key, walk.outcome.record


def show() -> None:
    """The controls of a walk-forward test, or its progress."""
    walk = walks().newest(WALK)
    status = None if walk is None else walks().status(walk, owner=_owner())
    is_running = walk is not None and status is not None and not status.is_final
    if walk is not None and not is_running:
        _show_end(walk)
    refused = st.session_state.pop(_REFUSED, None)
    if refused:
        show_error(refused)
    with st.expander("Walk-forward test", expanded=is_running, icon=":material/directions_walk:"):
        if not may_administer():
            st.info(not_offered(OFFERS), icon=":material/lock:")
        elif walk is not None and is_running:
            _show_progress(walk)
        else:
            _choose()


def _choose() -> None:
    st.caption(
        "Forecasts many past origins, each from the bars up to it alone, and scores them.",
        help=meaning("Walk-forward"),
    )
    bars = st.segmented_control(
        "Bars", list(_BARS), default=SAMPLES, key="walk_bars", format_func=_BARS.__getitem__,
        required=True,
    )  # fmt: skip
    try:
        source, entries, contents = _choose_bars(bars or SAMPLES)
    except KronosError as error:
        show_error(error)
        return
    titles = {entry.name: entry.title for entry in caches.models() if entry.is_here}
    titles |= {name: entry.title for name, entry in BASELINES.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="walk_controls"):
        model = st.selectbox(
            "Model to test", list(titles), key="walk_model", format_func=titles.__getitem__
        )
        n_origins = st.number_input("Origins per series", 5, MAX_ORIGINS, 20, key="walk_origins")
        horizon = st.number_input("Horizon (bars)", 1, MAX_HORIZON, 24, key="walk_horizon")
        with_baselines = st.toggle("Include all baselines", True, key="walk_baselines")
        st.button(
            "Start test", key="walk_start", icon=":material/directions_walk:", width="content",
            disabled=source != SAMPLES and not entries,
            on_click=_start,
            args=(model, int(n_origins), int(horizon), with_baselines, source, entries, contents),
        )  # fmt: skip


def _choose_bars(bars: str) -> tuple[str, tuple[Entry, ...], tuple[bytes, ...]]:
    if bars == FILES:
        files = choose_files()
        st.caption(
            "The files, their forecasts and their scores stay in this session. A series needs "
            "256 bars and the horizon."
        )
        return FILES, tuple(entry for entry, _ in files), tuple(content for _, content in files)
    if bars == SAMPLES:
        st.caption(
            "The five bundled samples. They are in sample for the models: a demonstration. Scores "
            "go into the record of this server."
        )
        return SAMPLES, (), ()
    titles = {name: title for name, title in source_titles().items() if name != SAMPLES}
    left, right = st.columns([2, 1])
    with right:
        source = st.selectbox(
            "Source", list(titles), key="walk_source", format_func=titles.__getitem__
        )
        intervals = list(open_source(source).intervals)
        at = intervals.index("1d") if "1d" in intervals else len(intervals) - 1
        interval = st.selectbox("Interval", intervals, at, key="walk_interval")
    text = left.text_area(
        "Symbols", "", key="walk_symbols", height=120, placeholder="Paste symbols",
        help=f"Separated by spaces, commas, semicolons or line breaks; up to {MAX_SYMBOLS}.",
    )  # fmt: skip
    found = read_symbols(text or "")
    for note in found.notes:
        st.caption(plain(note))
    st.caption("Scores go into the record of this server.")
    return source, tuple(Entry(symbol, interval) for symbol in found.symbols), ()


@st.fragment(run_every=POLL_SECONDS)
def _show_progress(walk: Walk) -> None:
    status = walks().status(walk, owner=_owner())
    if status is None or status.is_final:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), plain(walk_text(status)))
        st.button(
            "Cancel", key="walk_cancel", icon=":material/close:", width="content",
            on_click=_cancel, args=(walk,),
        )  # fmt: skip


def walk_text(status: JobStatus) -> str:
    """Progress of a walk in one line."""
    if status.stage == FETCHING and status.total:
        return f"{FETCHING}: {status.done:,} of {status.total:,}"
    if status.stage != WINDOWS or not status.total:
        return status.stage or "Waiting"
    text = f"{status.done:,} of {counted(status.total, 'window')}"
    if status.seconds_left is None:
        return text
    minutes = status.seconds_left / 60
    left = f"{status.seconds_left:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min"
    return f"{text}, about {left} left"


def _show_end(walk: Walk) -> None:
    outcome = walk.outcome
    is_own = st.session_state.get(_OWN) == walk.key
    if walk.request.is_private and not is_own:
        return
    if walk.error is not None and not isinstance(walk.error, ForecastCancelled):
        st.error(error_text(walk.error), icon=":material/error:")
    elif outcome is None:
        kept = "" if walk.request.is_private else " The record has its scores so far."
        st.info(f"Test stopped.{kept} Start it again to continue.", icon=":material/cancel:")
    else:
        st.success(plain(end_text(walk.request, outcome.report)), icon=":material/check_circle:")


def end_text(request: WalkRequest, report: WalkReport) -> str:
    """What a walk has done, in a sentence or three."""
    if request.is_private:
        text = f"Scored {counted(report.n_stored, 'window')}, in this session only."
    else:
        text = f"Added {counted(report.n_stored, 'window')} to the record."
    if report.n_known:
        text += f" {report.n_known:,} were in it before."
    failed = sum(report.problems.values())
    if failed:
        text += f" {failed:,} failed. First error: {next(iter(report.problems))}"
    return text


def _cancel(walk: Walk) -> None:
    if may_administer():
        walks().leave(walk, owner=_owner())


def _start(
    model: str,
    n_origins: int,
    horizon: int,
    with_baselines: bool,
    source: str,
    entries: tuple[Entry, ...],
    contents: tuple[bytes, ...],
) -> None:
    try:
        require_administrator(OFFERS)
    except NotOffered as error:
        st.session_state[_REFUSED] = error
        return
    from kronos.walk_forward import WalkPlan

    models = dict.fromkeys([model, *(BASELINES if with_baselines else ())])
    plan = WalkPlan(models=tuple(models), n_origins=n_origins, horizon=horizon)
    request = WalkRequest(plan, source, entries)

    def work(control: JobControl, walk: Walk) -> None:
        try:
            walk.outcome = _walk(request, contents, control)
        finally:
            record().refresh()

    try:
        walk = walks().start(Run(WALK, request, work), owner=_owner())
    except Busy as error:
        st.session_state[_REFUSED] = error
    else:
        st.session_state[_OWN] = walk.key


def _walk(request: WalkRequest, contents: Sequence[bytes], control: JobControl) -> Walked:
    from kronos.store import open_store
    from kronos.store.store import Store
    from kronos.walk_forward import walk_forward

    problems: Counter[str] = Counter()
    series = _series(request, contents, control, problems)
    folder = None
    if request.is_private:
        # No other visitor may see these forecasts: their store ends with the walk.
        folder = tempfile.TemporaryDirectory(prefix="kronos-walk-", ignore_cleanup_errors=True)
        store = Store(str(Path(folder.name, "walk.sqlite3")))
    else:
        store = open_store()
    control.stage("Loading the models")

    def progress(done: int, total: int) -> None:
        if control.stage_name != WINDOWS:
            control.stage(WINDOWS)
        control.progress(done, total)

    leaders = None
    if any(service().facts(each).reads_events for each in request.plan.models):
        for one in series:
            fetch_calendar(one.candles, origin=one.candles.frame.index[0])
        latest = max((one.candles for one in series), key=lambda one: one.frame.index[-1])
        leaders = leaders_for(latest)
    report = walk_forward(
        service(), store, series, request.plan, leaders=leaders, progress=progress
    )
    report.problems.update(problems)
    control.stage("Reading the scores")
    return Walked(report, _record_of(store, series, request.plan, folder))


def _series(
    request: WalkRequest, contents: Sequence[bytes], control: JobControl, problems: Counter[str]
) -> list[Series]:
    """The bars; what cannot be read or fetched is a problem of its own."""
    from kronos.walk_forward import Series

    if not request.entries:
        return [Series(load_sample(key), SampleBars.name) for key in BUNDLED]
    control.stage(FETCHING)
    fetch: Callable[[int, Entry], Series]
    if request.is_private:

        def fetch(i: int, entry: Entry) -> Series:
            return Series(uploaded_bars(entry, contents[i]).candles, FILES)
    else:
        source = Fetching(request.source, open_source, threading.Event())

        def fetch(i: int, entry: Entry) -> Series:
            return Series(source.bars(entry).candles, request.source)

    found = []
    for i, entry in enumerate(request.entries):
        control.progress(i, len(request.entries))
        try:
            found.append(fetch(i, entry))
        except ForecastCancelled:
            raise
        except KronosError as error:
            problems[f"{entry.symbol}: {without_paths(str(error))}"] += 1
    if not found:
        raise InvalidRequest(f"No series could be read. {next(iter(problems))}")
    return found


def _record_of(
    store: Store, series: Sequence[Series], plan: WalkPlan, folder: object
) -> ReadRecord:
    """The record of a walk: of its series, models and settings alone."""
    rows = plain_rows(store)
    known = {(one.candles.symbol, one.source, one.candles.interval) for one in series}
    keys = zip(rows["instrument"], rows["source"], rows["interval"], strict=True)
    is_meant = np.array([key in known for key in keys], dtype=bool)
    is_meant &= rows["model"].isin(plan.models) & (rows["horizon"] == plan.horizon)
    is_meant &= (rows["n_paths"] == plan.sampling.sample_count) & ~rows["ahead"]
    rows = rows[is_meant].reset_index(drop=True)
    return ReadRecord(rows, choices_of(rows), store, 0, time.monotonic(), folder=folder)


def _owner() -> str:
    return f"{owner()} walk"
