"""Lists of symbols to load and save: in the visitor's browser, and as a text file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import streamlit as st
from streamlit.runtime.state import SessionStateProxy

from data_sources.registry import exchange_titles
from pages.ui.frame.browser_store import BrowserStore, Stored
from pages.ui.frame.messages import plain
from pages.ui.inputs.instruments import (
    MAX_SYMBOL_LENGTH,
    MAX_SYMBOLS,
    MAX_TEXT,
    SAMPLES,
    list_line,
    source_titles,
)
from pages.ui.inputs.ticker import OTHERS
from pages.ui.watchlist.controls import ChosenList, symbols_key, tidy_symbols
from pages.ui.watchlist.text import list_text

MAX_SAVED = 50
MAX_NAME = 40
_FIELDS = {"source": 60, "interval": 8, "symbols": MAX_SYMBOLS * (MAX_SYMBOL_LENGTH + 2)}

_store = BrowserStore("saved_watchlists", "kronos-fan.watchlists")


@dataclass(frozen=True, slots=True)
class SavedList:
    """A list under a name.

    Attributes:
        source: Title of the source.
        interval: Width of the bars.
        symbols: The text of the list.
    """

    source: str
    interval: str
    symbols: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The lists in the browser.

    Attributes:
        lists: By name, in order of their names.
        problem: Why it stores nothing, in the words of the browser; empty if it does.
    """

    lists: dict[str, SavedList]
    problem: str = ""


def put(name: str, saved: SavedList) -> None:
    """Store a list in the browser under a name; replaces the list of that name."""
    _store.change({name: asdict(saved)})


def delete(name: str) -> None:
    """Delete a list from the browser."""
    _store.change({name: None})


def checked(stored: Stored) -> Saved:
    """What the browser holds, without what can be no list."""
    found: dict[str, SavedList] = {}
    for name, fields in stored.values.items():
        if 0 < len(name) <= MAX_NAME and _is_list(fields) and len(found) < MAX_SAVED:
            found[name] = SavedList(**{field: fields[field] for field in _FIELDS})
    return Saved(found, stored.problem)


def _is_list(fields: object) -> bool:
    return isinstance(fields, dict) and all(
        isinstance(fields.get(field), str) and len(fields[field]) <= longest
        for field, longest in _FIELDS.items()
    )


def show_saved(chosen: ChosenList) -> None:
    """Saved lists, and the list as a text file."""
    with st.expander("Saved watchlists", icon=":material/bookmark:"):
        saved = checked(_store.read())
        _show_loading(saved)
        _show_saving(saved, chosen)
        st.download_button(
            "Download as text", partial(list_text, chosen.symbols), file_name="watchlist.txt",
            mime="text/plain", key="watch_text", on_click="ignore", icon=":material/download:",
            disabled=not chosen.symbols,
        )  # fmt: skip
        st.file_uploader(
            "Load from a text file", type=["txt"], key="watch_text_file", max_upload_size=1,
            on_change=_take_file, help="Symbols separated by spaces, commas or line breaks.",
        )  # fmt: skip
        st.caption("Saved lists stay in this browser. The link of this page holds the list, too.")


def take_list(state: SessionStateProxy, saved: SavedList) -> str:
    """Put a saved list into the controls; returns the problem with it, "" if there is none."""
    if saved.source in source_titles():
        state["list_source"] = saved.source
    elif saved.source in exchange_titles():
        state["list_source"], state["list_exchange"] = OTHERS, saved.source
    else:
        return f"The source {saved.source!r} of this list is not available here."
    key = symbols_key(saved.source)
    state[key] = saved.symbols
    tidy_symbols(state, key)
    if saved.interval:
        state["list_interval"] = saved.interval
    return ""


def _show_loading(saved: Saved) -> None:
    if saved.problem:
        st.warning(
            f"This browser cannot store lists ({plain(saved.problem)}). Download the list as text, "
            "or bookmark this page.",
            icon=":material/bookmark_remove:",
        )
    if not saved.lists:
        return
    name = st.selectbox("Saved list", list(saved.lists), key="saved_name")
    with st.container(horizontal=True):
        st.button(
            "Load", key="saved_load", on_click=_load, args=(saved.lists[name],),
            icon=":material/upload:",
        )  # fmt: skip
        st.button(
            "Delete", key="saved_delete", on_click=delete, args=(name,), icon=":material/delete:"
        )
    problem = st.session_state.pop("saved_problem", "")
    if problem:
        st.warning(plain(problem))


def _show_saving(saved: Saved, chosen: ChosenList) -> None:
    name = st.text_input("Name", key="saved_new_name", max_chars=MAX_NAME)
    name = " ".join((name or "").split())
    is_full = len(saved.lists) >= MAX_SAVED and name not in saved.lists
    listed = SavedList(chosen.source, chosen.interval, list_line(chosen.symbols))
    st.button(
        "Save", key="saved_save", on_click=put, args=(name, listed), icon=":material/bookmark_add:",
        disabled=not name or not chosen.symbols or is_full or bool(saved.problem),
    )  # fmt: skip
    if is_full:
        st.caption(f"The limit is {MAX_SAVED} lists: delete one first.")
    if chosen.files:
        st.caption("A saved list does not include files.")


def _load(saved: SavedList) -> None:
    st.session_state["saved_problem"] = take_list(st.session_state, saved)


def _take_file() -> None:
    file = st.session_state.get("watch_text_file")
    if file is None:
        return
    # A letter has at most four bytes.
    text = file.getvalue()[: 4 * MAX_TEXT + 4].decode("utf-8", errors="replace")[: MAX_TEXT + 1]
    source = st.session_state.get("list_source", SAMPLES)
    if source == OTHERS:
        source = st.session_state.get("list_exchange", SAMPLES)
    take_list(st.session_state, SavedList(source, st.session_state.get("list_interval", ""), text))
