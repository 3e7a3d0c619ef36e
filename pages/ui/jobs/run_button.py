"""The button that starts what the controls of a page describe, and the line of the title."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.frame.links import forget_losses


def run_button(key: str, *, label: str = "Run", disabled: bool = False) -> bool:
    """Run; whether it was pressed.

    Args:
        key: Its key on the page.
        label: What it says.
        disabled: Whether there is nothing to run.
    """
    is_pressed = st.button(
        label,
        key=key,
        type="primary",
        icon=":material/play_arrow:",
        width="content",
        shortcut="Ctrl+Enter",
        disabled=disabled,
    )
    if is_pressed:
        forget_losses()
    return is_pressed


def title_line(
    key: str, *, label: str = "Run", disabled: bool = False
) -> tuple[DeltaGenerator, bool]:
    """The line of a page's title with Run at its end: in sight also where the sidebar is closed.

    Args:
        key: Key of the button.
        label: What the button says.
        disabled: Whether there is nothing to run.

    Returns:
        The place of the title, and whether the button was pressed.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="title_line"):
        title = st.container(key="title")
        with st.container(width="content"):
            return title, run_button(key, label=label, disabled=disabled)


class ChipLine(NamedTuple):
    """Places in the line of a title: the title, chips of controls, facts, Run."""

    name: DeltaGenerator
    chips: DeltaGenerator
    facts: DeltaGenerator
    run: DeltaGenerator


def chip_line() -> ChipLine:
    """The line of a title whose controls are chips."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="line"):
        return ChipLine(
            st.container(width="content", key="name"),
            st.container(horizontal=True, gap="xsmall", width="content", key="chips"),
            st.container(key="facts"),
            st.container(width="content"),
        )
