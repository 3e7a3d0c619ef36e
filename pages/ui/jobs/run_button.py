"""The button that starts what a page's sidebar describes."""

import streamlit as st

from pages.ui.frame.links import forget_losses
from pages.ui.frame.text import DISCLAIMER


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
        forget_losses()
    return is_pressed
