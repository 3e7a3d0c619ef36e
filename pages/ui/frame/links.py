"""Links to pages: values of a link that a page cannot show, and links between pages."""

from __future__ import annotations

import datetime as dt
from typing import Literal, NoReturn

import streamlit as st

from pages.ui.frame.messages import plain

_LINKED, _LOST = "link_asked", "link_lost"
_TITLES = {
    "data": "data",
    "model": "model",
    "told_model": "model",
    **{slot: f"model {slot.upper()}" for slot in "abcd"},
    "syn_model": "model",
    "origin": "origin",
    "horizon": "horizon",
    "lookback": "lookback",
    "paths": "paths",
    "T": "T",
    "top_p": "top-p",
    "top_k": "top-k",
    "seed": "seed",
}
"""Titles of the parameters that are compared with the controls, by their names in the address."""
_SHARED = (
    "data", "source", "exchange", "interval", "raw", "symbol_box", "symbol_source", "horizon",
    "lookback", "paths", "seed", "origin", "origin_time",
)  # fmt: skip
_OF_PAGE = {
    "forecast": ("model", "T", "top_p", "top_k"),
    "compare": ("models", *(name + slot for slot in "abcd" for name in ("", "T", "p"))),
}
"""By page, the keys in the session of the controls of its forecasts."""
_LONGEST = 40


def remember_link() -> None:
    """Store the values of the address of a visit, before any control corrects it."""
    if _LINKED not in st.session_state:
        st.session_state[_LINKED] = st.query_params.to_dict()


def take_from_link(name: str) -> str | None:
    """The value of the link by that name, once: for a control that appears later."""
    text: str | None = st.session_state.get(_LINKED, {}).pop(name, None)
    return text


def show_link_losses() -> None:
    """Warn about values of the link that the controls could not take, while they differ.

    For the end of a page, when all its controls are there.
    """
    state = st.session_state
    # Every value of the link is compared once with the value of its control.
    for name, text in list(state.get(_LINKED, {}).items()):
        if name in _TITLES and name in state:
            del state[_LINKED][name]
            if not _is_same(state[name], text):
                state.setdefault(_LOST, {})[name] = (text, state[name])
    still = {
        name: text
        for name, (text, given) in state.get(_LOST, {}).items()
        if name in state and state[name] == given
    }
    if still:
        lost = "; ".join(f"{_TITLES[name]} {text[:_LONGEST]}" for name, text in still.items())
        st.warning(
            f"These values of the link are not available here: {plain(lost)}. The page uses the "
            "values in the sidebar instead.",
            icon=":material/link_off:",
        )


def forget_link() -> None:
    """Ignore the link from now on, as the user chose other data."""
    st.session_state[_LINKED] = {}
    forget_losses()


def forget_losses() -> None:
    """Drop the warning: a press of Run accepts the values of the controls."""
    st.session_state.pop(_LOST, None)


def open_page(page: Literal["forecast", "compare"], query: dict[str, str]) -> NoReturn:
    """Open another page as a new session with these link parameters would."""
    forget_link()
    # Otherwise the last choice there stays for every parameter that the link does not name or
    # that equals the default of its control, which Streamlit ignores.
    for name in (*_SHARED, *_OF_PAGE[page]):
        st.session_state.pop(name, None)
    st.switch_page(f"pages/{page}.py", query_params=query)


def _is_same(given: object, text: str) -> bool:
    """Whether a control has the value that an address names."""
    if isinstance(given, dt.date):
        return given.isoformat() == text
    if isinstance(given, int | float):
        try:
            return float(text) == float(given)
        except ValueError:
            return False
    return isinstance(given, str) and given.casefold() == text.casefold()
