"""The button that starts what the controls of a page describe."""

import streamlit as st

from pages.ui.frame.links import forget_losses
from pages.ui.frame.text import DISCLAIMER


def run_button(key: str, *, disabled: bool = False, in_line: bool = False) -> bool:
    """Run; whether it was pressed.

    Args:
        key: Its key on the page.
        disabled: Whether there is nothing to run.
        in_line: Whether it stands in a line with other controls. Otherwise it is as wide as its
            column, with the disclaimer below it.
    """
    is_pressed = st.button(
        "Run",
        key=key,
        type="primary",
        icon=":material/play_arrow:",
        width="content" if in_line else "stretch",
        shortcut="Ctrl+Enter",
        disabled=disabled,
    )
    if not in_line:
        st.caption(DISCLAIMER)
    if is_pressed:
        forget_losses()
    return is_pressed
