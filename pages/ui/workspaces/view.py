"""Workspaces in the sidebar of every page: saved, opened, renamed, exported and imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import streamlit as st

from kronos.errors import Busy, InvalidEvents, InvalidRequest
from pages.ui.frame.browser_store import BrowserStore, Stored
from pages.ui.frame.links import open_addresses, visited_addresses
from pages.ui.frame.messages import plain
from pages.ui.frame.shell import ADDRESSES
from pages.ui.frame.text import file_part
from pages.ui.inputs.candles import UPLOAD
from pages.ui.inputs.events import own_events_text, put_own_events
from pages.ui.jobs.forecast_runs import COMPARISON, FORECAST
from pages.ui.workspaces.workspace import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_NAME,
    Workspace,
    read_fields,
    read_file,
)

__all__ = ["another_name", "has_upload", "show_workspaces"]

MAX_WORKSPACES = 30

_ALL = frozenset(ADDRESSES)
_MESSAGE, _LIST, _IS_OPENED = "workspace_message", "workspaces_list", "workspace_opened"
_store = BrowserStore("workspaces", "kronos-fan.workspaces")


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    is_problem: bool = False


def show_workspaces(address: str) -> None:
    """A button that opens the list of workspaces.

    Args:
        address: Address of the page that is shown.
    """
    if st.session_state.pop(_IS_OPENED, False):
        st.session_state[_LIST] = False
    opened = st.sidebar.popover(
        "Workspaces",
        key=_LIST,
        type="tertiary",
        icon=":material/workspaces:",
        on_change="rerun",
    )
    if not opened.open:
        return
    with opened:
        st.caption(
            "A workspace holds the pages of this visit with their settings, and your own events. "
            "It stays in this browser."
        )
        stored = _store.read()
        known = _checked(stored)
        if not stored.is_pending:  # else the browser's answer brings the next run
            _show_message(known.problem)
        _show_saved(known)
        _show_saving(known, address)
        st.file_uploader(
            "Import a file", type=["json"], key="workspace_file", on_change=_import, args=(known,),
            max_upload_size=1, help=f"A workspace that was exported, at most {MAX_BYTES:,} bytes.",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    """The workspaces of this browser.

    Attributes:
        workspaces: By name.
        n_damaged: Entries that cannot be read; they stay as they are.
        problem: Why the browser stores nothing; empty if it does.
    """

    workspaces: dict[str, Workspace]
    n_damaged: int
    problem: str


def _checked(stored: Stored) -> _Known:
    found: dict[str, Workspace] = {}
    for name, fields in stored.values.items():
        if 0 < len(name) <= MAX_NAME and len(found) < MAX_WORKSPACES:
            try:
                found[name] = read_fields(fields, _ALL)[0]
            except InvalidRequest:
                continue
    return _Known(found, len(stored.values) - len(found), stored.problem)


def _show_message(problem: str) -> None:
    if problem:
        st.warning(
            f"This browser cannot store workspaces ({plain(problem)}). Export them as files.",
            icon=":material/bookmark_remove:",
        )
    message: _Message | None = st.session_state.pop(_MESSAGE, None)
    if message is not None and (message.is_problem or not problem):
        (st.error if message.is_problem else st.success)(plain(message.text))


def _show_saved(known: _Known) -> None:
    if known.n_damaged:
        st.caption(
            f"{known.n_damaged} stored in this browser cannot be read by this version and are not "
            "listed."
        )
    if not known.workspaces:
        return
    name = st.selectbox("Workspace", list(known.workspaces), key="workspace_name")
    chosen = known.workspaces[name]
    with st.container(horizontal=True):
        if st.button(
            "Open workspace", key="workspace_open", type="primary", icon=":material/open_in_new:"
        ):
            _open(chosen)
        st.download_button(
            "Export", partial(chosen.file, name), file_name=f"{file_part(name, 'workspace')}.json",
            mime="application/json", key="workspace_export", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip
        st.button(
            "Delete", key="workspace_delete", on_click=_change, icon=":material/delete:",
            args=({name: None}, f"{name} is deleted."),
        )  # fmt: skip


def _show_saving(known: _Known, address: str) -> None:
    name = st.text_input("Workspace name", key="workspace_new_name", max_chars=MAX_NAME)
    name = " ".join((name or "").split())
    current = known.workspaces.get(st.session_state.get("workspace_name") or "")
    pages, events = visited_addresses(), own_events_text()
    is_full = len(known.workspaces) >= MAX_WORKSPACES and name not in known.workspaces
    is_large = len(events) > MAX_EVENTS
    now = Workspace(pages, address, "" if is_large else events)
    with st.container(horizontal=True):
        st.button(
            "Save", key="workspace_save", on_click=_change, icon=":material/bookmark_add:",
            args=({name: now.fields()}, f"{name} is saved."),
            disabled=not name or is_full or is_large or bool(known.problem),
        )  # fmt: skip
        if current is not None:
            old = st.session_state["workspace_name"]
            st.button(
                "Rename", key="workspace_rename", on_click=_change, icon=":material/edit:",
                args=({old: None, name: current.fields()}, f"{old} is now {name}."),
                disabled=not name or name in known.workspaces,
                help="Gives the chosen workspace this name.",
            )  # fmt: skip
    if name in known.workspaces:
        st.caption(f"Save replaces the workspace {plain(name)}.")
    if is_full:
        st.caption(f"The limit is {MAX_WORKSPACES} workspaces: delete one first.")
    if is_large:
        st.caption(
            f"Your own events take {len(events):,} characters; a workspace holds {MAX_EVENTS:,}."
        )
    if has_upload(pages):
        st.caption("Uploaded bars are not part of a workspace: upload the file again there.")


def has_upload(pages: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a page has bars of an uploaded file, which its link does not hold."""
    return any(query.get("data") == UPLOAD for query in pages.values())


def _change(values: dict[str, dict[str, object] | None], done: str) -> None:
    _store.change(values)
    st.session_state[_MESSAGE] = _Message(done)


def _open(workspace: Workspace) -> None:
    try:
        put_own_events("the workspace", workspace.events)
    except (Busy, InvalidEvents) as error:
        st.error(f"The events of this workspace cannot be read: {plain(error)}")
        return
    open_addresses(workspace.pages)
    FORECAST.expect_visit()
    COMPARISON.expect_visit()
    st.session_state[_IS_OPENED] = True
    st.switch_page(f"pages/{workspace.page}.py")


def _import(known: _Known) -> None:
    file = st.session_state.get("workspace_file")
    if file is None:
        return
    try:
        name, workspace, unknown = read_file(file.getvalue()[: MAX_BYTES + 1], _ALL)
    except InvalidRequest as error:
        st.session_state[_MESSAGE] = _Message(str(error), is_problem=True)
        return
    left_out = f" Left out: {', '.join(unknown[:10])}." if unknown else ""
    own = another_name(name, known.workspaces)
    renamed = "" if own == name else f" as {own}, as there is one of that name"
    _change({own: workspace.fields()}, f"{name} is imported{renamed}.{left_out}")


def another_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken: an import replaces nothing."""
    found, number = name, 1
    while found in taken:
        number += 1
        end = f" {number}"
        found = name[: MAX_NAME - len(end)].rstrip() + end
    return found
