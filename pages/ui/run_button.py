"""The button that starts what a page's sidebar describes."""

import streamlit as st

from pages.ui.disclaimer import DISCLAIMER
from pages.ui.link import forget_link


def run_button(key: str, *, disabled: bool = False) -> bool:
    """Run and, below it, the disclaimer; whether it was pressed."""
    is_pressed = st.button(
        "Run",
        key=key,
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        shortcut="Ctrl+Enter",
        disabled=disabled,
    )
    st.caption(DISCLAIMER)
    if is_pressed:
        forget_link()  # who presses Run means what the controls say
    return is_pressed
