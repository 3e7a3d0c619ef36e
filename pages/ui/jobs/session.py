"""The name of this session, and the requests for which it pressed Run."""

from __future__ import annotations

import secrets

import streamlit as st


def owner() -> str:
    """A name for this session that only it knows."""
    return st.session_state.setdefault("owner", secrets.token_hex(16))


def note_pressed(*keys: str) -> None:
    """Record a press of Run for these requests."""
    st.session_state.setdefault("asked by hand", set()).update(keys)


def was_pressed(key: str) -> bool:
    """Whether this session pressed Run for a request; a first visit starts some without."""
    return key in st.session_state.get("asked by hand", ())
