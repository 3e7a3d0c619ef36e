"""Who this session is."""

from __future__ import annotations

import secrets

import streamlit as st


def owner() -> str:
    """A name for this session that only it knows."""
    return st.session_state.setdefault("owner", secrets.token_hex(16))


def note_asked(*keys: str) -> None:
    """A press of Run asked for these requests."""
    st.session_state.setdefault("asked by hand", set()).update(keys)


def was_asked(key: str) -> bool:
    """Whether this session pressed Run for a request; a page also shows forecasts unasked."""
    return key in st.session_state.get("asked by hand", ())
