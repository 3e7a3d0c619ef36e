"""The widgets of the watchlist: symbols, files and settings in, a checked request out."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.state import SessionStateProxy

from data_sources.registry import exchange_titles
from kronos import models
from kronos.forecast import SamplingParameters
from pages.ui.frame.glossary import meaning
from pages.ui.frame.text import counted
from pages.ui.inputs.controls import LARGEST_SEED
from pages.ui.inputs.events import own_events_digest
from pages.ui.inputs.instruments import (
    MAX_SYMBOLS,
    SAMPLES,
    Entry,
    SymbolList,
    choose_files,
    list_line,
    open_source,
    read_symbols,
    sample_intervals,
    source_titles,
)
from pages.ui.inputs.model_choices import model_state
from pages.ui.inputs.ticker import OTHERS, known_instruments
from pages.ui.jobs import caches
from pages.ui.jobs.settings import DEFAULT_HORIZON, DEFAULT_PATHS, MAX_HORIZON, MAX_PATHS
from pages.ui.watchlist.work import WatchRequest

PREFERRED_INTERVAL = "1d"
_SEPARATOR = " · "
_BOUND = (
    *("list_source", "list_exchange", "symbols", "samples", "list_interval"),
    *("list_model", "list_horizon", "list_paths", "list_seed"),
    *("list_follow", "list_alerts"),
)
"""The controls that make up a link."""


@dataclass(frozen=True, slots=True)
class ChosenList:
    """The list of the controls.

    Attributes:
        symbols: Symbols of the source.
        files: Uploaded files, each with its bytes.
        source: Name of the source.
        interval: Width of the bars of its symbols; empty for samples, which have their own.
        notes: What was skipped and why, as plain text.
    """

    symbols: tuple[str, ...]
    files: tuple[tuple[Entry, bytes], ...]
    source: str
    interval: str
    notes: tuple[str, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        own = sample_intervals()
        named = (
            Entry(symbol, self.interval or own.get(symbol, PREFERRED_INTERVAL))
            for symbol in self.symbols
        )
        return (*named, *(entry for entry, _ in self.files))

    @property
    def contents(self) -> list[bytes | None]:
        """For every entry the bytes of its file, None for symbols."""
        return [*(None for _ in self.symbols), *(content for _, content in self.files)]


def choose_list() -> ChosenList:
    """The controls of the list.

    Raises:
        InvalidRequest: The uploaded files are too many or too large.
        KronosError: The source cannot be used.
    """
    _restore(st.session_state)
    source = _choose_source()
    found = _choose_symbols(source)
    interval = "" if source == SAMPLES else _choose_interval(source)
    with st.expander("My own files", icon=":material/upload_file:"):
        files = choose_files()
    room = MAX_SYMBOLS - len(files)
    notes = found.notes
    if len(found.symbols) > room:
        skipped = f"Skipped {counted(len(found.symbols) - room, 'symbol')}: "
        notes = (*notes, f"{skipped}the limit is {MAX_SYMBOLS} symbols and files.")
    return ChosenList(found.symbols[:room], tuple(files), source, interval, notes)


def choose_settings(chosen: ChosenList) -> WatchRequest | None:
    """The controls of the forecasts; None while the list is empty.

    Raises:
        InvalidRequest: A value is out of range, which widgets prevent and links may not.
    """
    model = _choose_model()
    horizon = st.number_input(
        "Horizon (bars)", 1, MAX_HORIZON, DEFAULT_HORIZON, key="list_horizon", bind="query-params"
    )
    paths = st.number_input(
        "Paths", 10, MAX_PATHS, DEFAULT_PATHS, 10, key="list_paths", bind="query-params",
        help=meaning("Paths", "With 100 paths, the sampling error of P(up) is 5 points or less."),
    )  # fmt: skip
    with st.expander("Sampling", icon=":material/tune:"):
        seed = st.number_input(
            "Seed", 0, LARGEST_SEED, 0, key="list_seed", bind="query-params",
            help=meaning("Seed"),
        )  # fmt: skip
    if not chosen.entries:
        return None
    return WatchRequest(
        entries=chosen.entries,
        source=chosen.source,
        model=model.name,
        revision=model.revision,
        horizon=int(horizon),
        sampling=SamplingParameters(sample_count=int(paths), seed=int(seed)),
        own_events=own_events_digest(),
    )


def remember(state: SessionStateProxy) -> None:
    """Store the values of the controls until the session returns to this page."""
    state["list_kept"] = {key: state[key] for key in _BOUND if key in state}


def _restore(state: SessionStateProxy) -> None:
    """Restore the stored values, unless the page is open already or the link has values."""
    if not any(key in state for key in _BOUND) and not set(_BOUND) & set(st.query_params):
        state.update(state.get("list_kept", {}))


def add_symbol(state: SessionStateProxy, key: str, symbol: str) -> None:
    """Append a symbol to the text of the list, unless it is there or the list is full."""
    listed = read_symbols(str(state.get(key) or "")).symbols
    if symbol not in listed and len(listed) < MAX_SYMBOLS:
        state[key] = list_line((*listed, symbol))


def tidy_symbols(state: SessionStateProxy, key: str) -> None:
    """Drop from the text, and so from the link, what is no symbol; the notes name it."""
    found = read_symbols(str(state.get(key) or ""))
    state[f"{key} notes"] = found.notes
    if found.notes:
        state[key] = list_line(found.symbols)


def _choose_source() -> str:
    titles = {**source_titles(), OTHERS: OTHERS}
    source = st.selectbox(
        "Source",
        list(titles),
        format_func=titles.__getitem__,
        key="list_source",
        bind="query-params",
    )
    if source != OTHERS:
        return source
    others = exchange_titles()
    return st.selectbox(
        "Exchange",
        list(others),
        format_func=others.__getitem__,
        key="list_exchange",
        bind="query-params",
    )


def symbols_key(source: str) -> str:
    """Key of the text of a source's symbols: samples have one of their own, for their default."""
    return "samples" if source == SAMPLES else "symbols"


def _choose_symbols(source: str) -> SymbolList:
    key = symbols_key(source)
    text = st.text_area(
        "Symbols", list_line(list(sample_intervals())) if source == SAMPLES else "", key=key,
        bind="query-params", height=120, placeholder="Paste symbols", on_change=tidy_symbols,
        args=(st.session_state, key),
        help=f"Separated by spaces, commas, semicolons or line breaks; up to {MAX_SYMBOLS}.",
    )  # fmt: skip
    _find_symbols(source, key)
    found = read_symbols(text or "")
    return SymbolList(found.symbols, found.notes or st.session_state.get(f"{key} notes", ()))


def _choose_interval(source: str) -> str:
    intervals = list(open_source(source).intervals)
    preferred = PREFERRED_INTERVAL if PREFERRED_INTERVAL in intervals else intervals[-1]
    return st.selectbox(
        "Interval", intervals, intervals.index(preferred), key="list_interval", bind="query-params"
    )


def _find_symbols(source: str, key: str) -> None:
    """A search box for symbols of the source; a click adds one to the list."""
    known = [f"{each.symbol}{_SEPARATOR}{each.name}" for each in known_instruments(source)]
    st.selectbox(
        "Add a symbol", known, None, key="watch_find", on_change=_add_found, args=(key,),
        placeholder="Search" if known else "Type into the list above",
        help="Known symbols of this source. Type any other symbol into the list.",
    )  # fmt: skip


def _add_found(key: str) -> None:
    option = st.session_state.get("watch_find")
    if option:
        add_symbol(st.session_state, key, str(option).partition(_SEPARATOR)[0])
        st.session_state["watch_find"] = None


def _choose_model() -> models.Entry:
    entries = {entry.title: entry for entry in caches.usable_models()}
    title = st.selectbox("Model", list(entries), key="list_model", bind="query-params")
    st.caption(model_state(entries[title]).capitalize())
    return entries[title]
