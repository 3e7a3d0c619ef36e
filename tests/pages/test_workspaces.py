"""Workspaces: what is stored opens as it was, and nothing from outside is trusted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import InvalidRequest
from pages.ui.workspaces.view import another_name, has_upload
from pages.ui.workspaces.workspace import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_NAME,
    Workspace,
    read_fields,
    read_file,
)
from tests.pages.app_driver import new_session

ADDRESSES = frozenset({"forecast", "watchlist"})
MINE = Workspace(
    {"forecast": {"symbol": "AAPL", "data": "Ticker", "levels": "180;190.5"}, "watchlist": {}},
    "watchlist",
    "kind,time\ncpi,2026-11-12\n",
)


def file_of(**changes: object) -> bytes:
    fields = json.loads(MINE.file("Morning")) | changes
    return json.dumps(fields).encode()


def test_a_file_gives_back_what_was_exported() -> None:
    assert read_file(MINE.file("Morning"), ADDRESSES) == ("Morning", MINE, [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no workspace"),
        (b"[]", "no workspace"),
        (b'{"format": "something else"}', "no workspace"),
        (file_of(version=2), "Update the program"),
        (file_of(version="1"), "Update the program"),
        (file_of(name=""), "1 to 40 characters"),
        (file_of(name="x" * 41), "1 to 40 characters"),
        (file_of(name=7), "1 to 40 characters"),
        (file_of(pages=[]), "damaged"),
        (file_of(pages={}), "no page"),
        (file_of(pages={"elsewhere": {}}), "no page"),
        (file_of(events=["a"]), "damaged"),
        (file_of(events="x" * (MAX_EVENTS + 1)), "damaged"),
        (b" " * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(content: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_file(content, ADDRESSES)


def test_what_this_version_does_not_know_is_left_out_and_named() -> None:
    pages = {
        "forecast": {"horizon": "12", "paths": "1e999", "warp": "9", "list_seed": "1", "seed": 7},
        "moon": {},
    }
    _, workspace, unknown = read_file(file_of(pages=pages, page="moon"), ADDRESSES)
    assert workspace.pages == {"forecast": {"horizon": "12"}}
    assert workspace.page == "forecast"
    assert read_file(file_of(page=["forecast"]), ADDRESSES)[1].page == "forecast"
    assert unknown == [
        "paths of forecast", "warp of forecast", "list_seed of forecast", "seed of forecast",
        "page moon",
    ]  # fmt: skip


def test_an_import_replaces_no_workspace_of_the_same_name() -> None:
    assert another_name("Morning", {"Evening"}) == "Morning"
    assert another_name("Morning", {"Morning", "Morning 2"}) == "Morning 3"
    long = "x" * MAX_NAME
    assert another_name(long, {long}) == "x" * (MAX_NAME - 2) + " 2"


def test_bars_of_an_uploaded_file_are_known_not_to_be_in_it() -> None:
    app = new_session("forecast", data="My own file").run()
    assert has_upload({"forecast": {"data": app.selectbox(key="data").value}})
    assert not has_upload(MINE.pages)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "version": st.sampled_from([1, 1.0, "1", None]),
            "pages": st.dictionaries(st.sampled_from(["forecast", "x"]), _JSON) | _JSON,
            "page": _JSON,
            "events": st.text(max_size=9) | _JSON,
        },
    )
)
def test_nonsense_is_refused_in_words_or_read(fields: dict[str, object]) -> None:
    try:
        workspace, _ = read_fields(fields, ADDRESSES)
    except InvalidRequest:
        return
    assert workspace.page in workspace.pages
    assert read_fields(workspace.fields(), ADDRESSES) == (workspace, [])
