"""How errors and text from outside become words on the page."""

from __future__ import annotations

import re

import streamlit as st

from kronos.errors import (
    Busy,
    CheckpointError,
    CheckpointUnavailable,
    InvalidCandles,
    InvalidRequest,
    KronosError,
    SourceError,
)

_TITLES: tuple[tuple[type[KronosError], str], ...] = (
    (Busy, "The server is busy."),
    (CheckpointUnavailable, "The model could not be fetched."),
    (CheckpointError, "The model cannot be used."),
    (InvalidCandles, "These candles cannot be used."),
    (InvalidRequest, "This request cannot be run."),
    (SourceError, "No bars could be fetched."),
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:@&^=\"'])")


def plain(text: object) -> str:
    """Text that Markdown shows as it is: file names, columns and messages come from outside."""
    flat = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", flat)


def error_text(error: Exception) -> str:
    """What went wrong and what to do, as Markdown.

    Of an error nobody foresaw only the kind is told; the log has the rest.
    """
    for kind, title in _TITLES:
        if isinstance(error, kind):
            return f"**{title}** {plain(error)}"
    if isinstance(error, KronosError):
        return plain(error)
    return (
        f"**Something unforeseen failed** ({plain(type(error).__name__)}). Nothing was kept; the "
        "server's log has the details. Press Run to try again."
    )


def show_error(error: Exception) -> None:
    """An error as a message on the page."""
    if isinstance(error, Busy):
        st.warning(error_text(error), icon=":material/hourglass_top:")
    else:
        st.error(error_text(error), icon=":material/error:")
