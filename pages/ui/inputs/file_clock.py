"""The control for the clock of uploaded files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from kronos.calendars.clocks import CLOCKS, clock_title

_ZONES = (
    "UTC",
    "America/New_York",
    "America/Chicago",
    "America/Toronto",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Moscow",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Australia/Sydney",
)
FILE_CLOCKS = tuple(dict.fromkeys((*_ZONES, *CLOCKS)))
"""Clocks of a file that a visitor can choose."""


def choose_file_clock(
    key: str, *, on_change: Callable[[], None] | None = None, stays: bool = False
) -> str | None:
    """The clock of timestamps without an offset; None to find it from the bars.

    Args:
        key: Key of the control.
        on_change: Called when it changes.
        stays: Whether the choice survives a visit of another page, and stands in the link.
    """
    persist: Literal["session"] | None = "session" if stays else None
    linked: Literal["query-params"] | None = "query-params" if stays else None
    return st.selectbox(
        "Time zone of the timestamps",
        FILE_CLOCKS,
        None,
        key=key,
        bind=linked,
        persist_state=persist,
        format_func=clock_title,
        placeholder="Detect from the file",
        on_change=on_change,
        help="For times without a UTC offset. The calendar sets the time zone of the exchange.",
    )
