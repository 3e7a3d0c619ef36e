"""The filters of the list and the open forecast, in the sidebar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from kronos.errors import StoreError
from kronos.store.switch import is_off
from pages.ui.fan.stored import visible_sources
from pages.ui.frame.messages import show_error

if TYPE_CHECKING:
    from kronos.store.listing import Choices, Filters, State

ALL = "All"
OPENED = "stored"
"""Key of the id of the open forecast, and its name in a link."""
STATES: dict[str, State | None] = {
    ALL: None, "Waiting": "waiting", "Partly known": "partial", "Complete": "complete",
}  # fmt: skip
CHOICES_SECONDS = 60
"""Seconds for which the choices of the filters stand: finding them reads every row."""


def choose() -> Filters | None:
    """The filters; None where the store cannot be used."""
    from kronos.store.listing import Filters

    if is_off():
        return None
    sources = visible_sources()
    try:
        known = _choices(_address(), sources)
    except StoreError as error:
        show_error(error)
        return None
    instrument = _one_of("Instrument", known.instruments, "stored_instrument")
    model = _one_of("Model", known.models, "stored_model")
    interval = _one_of("Interval", known.intervals, "stored_interval")
    state = st.selectbox(
        "Outcome", list(STATES), key="stored_state", bind="query-params",
        help="Waiting: no bar of the horizon is known. Complete: the last one is.",
    )  # fmt: skip
    return Filters(instrument, model, interval, STATES[state], sources)


def choose_opened() -> str:
    """The id of the open forecast; "" without one. The link holds it."""
    return st.text_input(
        "Forecast by its id", max_chars=64, key=OPENED, bind="query-params",
        placeholder="64 digits, or the first of them",
        help="`kronos forecast --save` prints the id.",
    ).strip()  # fmt: skip


def _one_of(label: str, options: tuple[str, ...], key: str) -> str | None:
    chosen = st.selectbox(label, [ALL, *options], key=key, bind="query-params")
    return None if chosen == ALL else chosen


def _address() -> str:
    from kronos.store import open_store

    return open_store().address


@st.cache_data(show_spinner=False, ttl=CHOICES_SECONDS, max_entries=8)
def _choices(address: str, sources: tuple[str, ...] | None) -> Choices:
    from kronos.store import open_store
    from kronos.store.listing import read_choices

    return read_choices(open_store(), sources)
