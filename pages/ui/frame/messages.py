"""Errors and text from outside as messages on the page."""

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
    NotOffered,
    SourceError,
)
from kronos.system import storage_problem
from pages.ui.frame.access import without_paths

_TITLES: tuple[tuple[type[KronosError], str], ...] = (
    (Busy, "The server is busy."),
    (CheckpointUnavailable, "The model could not be downloaded."),
    (CheckpointError, "The model cannot be used."),
    (InvalidCandles, "These candles cannot be used."),
    (InvalidRequest, "This request cannot be run."),
    (SourceError, "The bars could not be fetched."),
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:@&^=\"'])")


def plain(text: object) -> str:
    """Text that Markdown shows unchanged, such as file names and messages from outside.

    Visitors of a public server read it without paths.
    """
    # Half of a surrogate pair, as JSON may write it, is no text that a page can send.
    sound = str(text).encode("utf-8", "replace").decode("utf-8")
    flat = " ".join(without_paths(sound).split())
    return _MARKDOWN.sub(r"\\\1", flat)


def error_text(error: Exception) -> str:
    """What went wrong and what to do, as Markdown; of an unexpected error only the type."""
    for kind, title in _TITLES:
        if isinstance(error, kind):
            return f"**{title}** {plain(error)}"
    if isinstance(error, KronosError):
        return plain(error)
    problem = storage_problem(error)
    if problem is not None:
        return f"**The disk cannot be used.** {plain(problem)}"
    return (
        f"**Unexpected error** ({plain(type(error).__name__)}). Nothing was saved; the server log "
        "has the details. Press Run to try again."
    )


def show_error(error: Exception) -> None:
    """An error as a message on the page."""
    if isinstance(error, Busy):
        st.warning(error_text(error), icon=":material/hourglass_top:")
    elif isinstance(error, NotOffered):
        st.info(error_text(error), icon=":material/lock:")
    else:
        st.error(error_text(error), icon=":material/error:")
