"""What the link of a visit asked for and the page does not show."""

from __future__ import annotations

import datetime as dt
from typing import Literal, NoReturn

import streamlit as st

from pages.ui.frame.messages import plain

_ASKED, _LOST = "link_asked", "link_lost"
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
"""What to call the parameters that are looked after, by their names in the address."""
_SHARED = (
    "data", "source", "exchange", "interval", "raw", "symbol_box", "symbol_source", "horizon",
    "lookback", "paths", "seed", "origin", "origin_time",
)  # fmt: skip
_OF_PAGE = {
    "forecast": ("model", "T", "top_p", "top_k"),
    "compare": ("models", *(name + slot for slot in "abcd" for name in ("", "T", "p"))),
}
"""By page, the names in the session of the controls that decide what it forecasts."""
_LONGEST = 40


def remember_link() -> None:
    """Notes what the address of a visit asks for, before any control has corrected it."""
    if _ASKED not in st.session_state:
        st.session_state[_ASKED] = st.query_params.to_dict()


def take_from_link(name: str) -> str | None:
    """What the link asked for by that name, once: for a control that is not there at first."""
    text: str | None = st.session_state.get(_ASKED, {}).pop(name, None)
    return text


def show_link_losses() -> None:
    """Says which values a link asked for and cannot be had, as long as others stand in for them.

    For the end of a page, when all its controls are there.
    """
    state = st.session_state
    # What is asked for is compared once, with what the controls made of it.
    for name, text in list(state.get(_ASKED, {}).items()):
        if name in _TITLES and name in state:
            del state[_ASKED][name]
            if not _is_same(state[name], text):
                state.setdefault(_LOST, {})[name] = (text, state[name])
    still = {
        name: text
        for name, (text, given) in state.get(_LOST, {}).items()
        if name in state and state[name] == given
    }
    if still:
        asked = "; ".join(f"{_TITLES[name]} {text[:_LONGEST]}" for name, text in still.items())
        st.warning(
            f"The link asks for what cannot be had here: {plain(asked)}. What the controls in the "
            "sidebar say is shown instead.",
            icon=":material/link_off:",
        )


def forget_link() -> None:
    """For when other data are chosen, which the link did not speak of."""
    st.session_state[_ASKED] = {}
    forget_losses()


def forget_losses() -> None:
    """For when Run is pressed: who does that means what the controls say."""
    st.session_state.pop(_LOST, None)


def open_page(page: Literal["forecast", "compare"], query: dict[str, str]) -> NoReturn:
    """Opens another page as in a session of its own that came by a link with these parameters."""
    forget_link()
    # Else what was last chosen there stands in for all that is not named, and for what is named
    # but is a control's default, of which Streamlit makes nothing.
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
