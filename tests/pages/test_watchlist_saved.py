"""Saved lists come back as they were, and nothing that a browser says is trusted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pages.ui.frame.browser_store import read_answer
from pages.ui.inputs.instruments import MAX_SYMBOLS, read_symbols
from pages.ui.inputs.ticker import OTHERS
from pages.ui.watchlist.controls import add_symbol, tidy_symbols
from pages.ui.watchlist.saved import MAX_SAVED, Saved, SavedList, checked, take_list

MINE = {"source": "yahoo", "interval": "1d", "symbols": "AAPL, MSFT"}


def answer(lists: object, done: object = 3, **extra: object) -> str:
    return json.dumps({"lists": json.dumps(lists), "done": done, "problem": ""} | extra)


def test_lists_are_read_in_order_of_their_names():
    stored = read_answer(answer({"b": MINE, "a": MINE}))
    saved = checked(stored)
    assert saved == Saved({"a": SavedList(**MINE), "b": SavedList(**MINE)})
    assert list(saved.lists) == ["a", "b"]
    assert stored.done == 3


@pytest.mark.parametrize(
    "lists",
    [
        [],
        "text",
        {"a": None},
        {"a": {"source": "yahoo"}},
        {"a": MINE | {"symbols": 7}},
        {"a": MINE | {"symbols": "A" * 100_000}},
        {"x" * 500: MINE},
        {"": MINE},
    ],
)
def test_what_is_no_list_is_left_out(lists):
    assert checked(read_answer(answer(lists))).lists == {}


def test_lists_are_bounded():
    saved = checked(read_answer(answer({f"{n:04}": MINE for n in range(500)})))
    assert len(saved.lists) == MAX_SAVED
    assert read_answer(answer({"a": MINE | {"symbols": "A" * 600_000}})).is_known is False


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.none(), st.integers(), st.text(max_size=60), st.from_regex(r"\{.*\}")))
def test_nonsense_is_no_answer(text):
    stored = read_answer(text)
    assert checked(stored).lists == {}
    assert isinstance(stored.done, int)


def test_a_browser_that_keeps_nothing_says_why():
    assert read_answer(answer({}, problem="SecurityError")).problem == "SecurityError"


def test_a_saved_list_fills_the_controls():
    state = {}
    assert take_list(state, SavedList("yahoo", "1h", "AAPL, MSFT")) == ""
    assert state["list_source"] == "yahoo"
    assert state["list_interval"] == "1h"
    assert read_symbols(state["symbols"]).symbols == ("AAPL", "MSFT")


def test_a_saved_list_of_a_lesser_known_exchange_names_it():
    state = {}
    assert take_list(state, SavedList("bitvavo", "1h", "BTC/EUR")) == ""
    assert (state["list_source"], state["list_exchange"]) == (OTHERS, "bitvavo")


def test_a_saved_list_of_samples_has_a_text_of_its_own():
    state = {"symbols": "AAPL"}
    take_list(state, SavedList("samples", "", "IBM, GOOG"))
    assert state["list_source"] == "samples"
    assert state["samples"] == "IBM, GOOG"
    assert state["symbols"] == "AAPL"


def test_a_source_that_is_not_offered_is_told_and_changes_nothing():
    state = {"symbols": "AAPL"}
    assert "'mars'" in take_list(state, SavedList("mars", "1d", "X"))
    assert state == {"symbols": "AAPL"}


def test_found_symbols_are_added_once_and_only_while_there_is_room():
    state = {"symbols": "AAPL"}
    for symbol in ("MSFT", "MSFT", "BTC/USDT"):
        add_symbol(state, "symbols", symbol)
    assert state["symbols"] == "AAPL, MSFT, BTC/USDT"
    full = {"symbols": " ".join(f"S{n}" for n in range(MAX_SYMBOLS))}
    add_symbol(full, "symbols", "ONE-MORE")
    assert "ONE-MORE" not in full["symbols"]


def test_a_list_that_is_taken_as_it_is_keeps_its_looks():
    state = {"symbols": "AAPL\nMSFT"}
    tidy_symbols(state, "symbols")
    assert state == {"symbols": "AAPL\nMSFT", "symbols notes": ()}


def test_a_list_that_is_cut_says_so_and_leaves_a_short_link():
    state = {"symbols": "\n".join(f"S{n}" for n in range(10_000))}
    tidy_symbols(state, "symbols")
    assert len(state["symbols"]) < 2000
    assert "Skipped 9,800 of 10,000" in state["symbols notes"][0]
