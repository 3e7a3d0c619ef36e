"""Keeping lists: under a name in the browser, as a text file, and as files of results."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.runtime.state import SessionStateProxy

from data_sources.registry import exchange_titles
from pages.ui.frame.messages import plain
from pages.ui.inputs.instruments import MAX_TEXT, SAMPLES, list_line, source_titles
from pages.ui.inputs.ticker import OTHERS
from pages.ui.watchlist.controls import ChosenList, symbols_key, tidy_symbols
from pages.ui.watchlist.exports import list_text, watch_csv, watch_json
from pages.ui.watchlist.run import WatchRun
from pages.ui.watchlist.saved import MAX_NAME, MAX_SAVED, Saved, SavedList, delete, put, saved_lists


def show_keeping(chosen: ChosenList) -> None:
    """Saved lists, and the list as a text file."""
    with st.expander("Saved watchlists", icon=":material/bookmark:"):
        saved = saved_lists()
        _show_saved(saved)
        _show_saving(saved, chosen)
        st.download_button(
            "List as text", partial(list_text, chosen.symbols), file_name="watchlist.txt",
            mime="text/plain", key="watch_text", on_click="ignore", icon=":material/download:",
            disabled=not chosen.symbols,
        )  # fmt: skip
        st.file_uploader(
            "List from a text file", type=["txt"], key="watch_text_file", max_upload_size=1,
            on_change=_take_file, help="Symbols separated by spaces, commas or line breaks.",
        )  # fmt: skip
        st.caption(
            "Saved lists stay in this browser. The address of this page holds the list as well."
        )


def show_downloads(run: WatchRun) -> None:
    """The results as files."""
    stem = f"watchlist_{run.request.source}_{run.request.horizon}bars"
    with st.container(horizontal=True):
        for label, build, name, mime in (
            ("Table (CSV)", watch_csv, f"{stem}.csv", "text/csv"),
            ("Everything (JSON)", watch_json, f"{stem}.json", "application/json"),
        ):
            st.download_button(
                label, partial(build, run), file_name=name, mime=mime, key=f"watch {label}",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip


def take_list(state: SessionStateProxy, saved: SavedList) -> str:
    """Put a saved list into the controls; returns what is wrong with it, "" if nothing is."""
    if saved.source in source_titles():
        state["list_source"] = saved.source
    elif saved.source in exchange_titles():
        state["list_source"], state["list_exchange"] = OTHERS, saved.source
    else:
        return f"Its source {saved.source!r} is not offered here."
    key = symbols_key(saved.source)
    state[key] = saved.symbols
    tidy_symbols(state, key)
    if saved.interval:
        state["list_interval"] = saved.interval
    return ""


def _show_saved(saved: Saved) -> None:
    if saved.problem:
        st.warning(
            f"This browser keeps nothing ({plain(saved.problem)}). Save the list as a text file, "
            "or keep the address of this page.",
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
        st.caption(f"{MAX_SAVED} lists are saved; delete one first.")
    if chosen.files:
        st.caption("Files are no part of a saved list.")


def _load(saved: SavedList) -> None:
    st.session_state["saved_problem"] = take_list(st.session_state, saved)


def _take_file() -> None:
    file = st.session_state.get("watch_text_file")
    if file is None:
        return
    text = file.getvalue().decode("utf-8", errors="replace")[: MAX_TEXT + 1]
    source = st.session_state.get("list_source", SAMPLES)
    if source == OTHERS:
        source = st.session_state.get("list_exchange", SAMPLES)
    take_list(st.session_state, SavedList(source, st.session_state.get("list_interval", ""), text))
