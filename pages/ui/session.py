"""Who this session is."""

from __future__ import annotations

import secrets

import streamlit as st


def owner() -> str:
    """A name for this session that only it knows."""
    return st.session_state.setdefault("owner", secrets.token_hex(16))
