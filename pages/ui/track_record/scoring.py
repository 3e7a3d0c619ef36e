"""The last run of scoring in the background, and a button that begins one."""

from __future__ import annotations

import streamlit as st

from pages.ui.frame.messages import plain
from pages.ui.jobs.scoring import scorer
from pages.ui.track_record.record import record
from pages.ui.track_record.text import scored_text

POLL_SECONDS = 2.0


def show() -> None:
    """The last run of scoring, with its button."""
    current = scorer()
    if current.is_running:
        _show_running()
        return
    with st.container(horizontal=True, vertical_alignment="center", key="record_scoring"):
        st.caption(plain(scored_text(current.last, is_running=False)))
        st.button(
            "Score now", key="score_now", icon=":material/fact_check:", width="content",
            on_click=_score_now,
        )  # fmt: skip


@st.fragment(run_every=POLL_SECONDS)
def _show_running() -> None:
    if not scorer().is_running:
        record().refresh()
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(scored_text(None, is_running=True))}")


def _score_now() -> None:
    if not scorer().score_now():
        st.toast("Scored a moment ago. Try again in a minute.", icon=":material/schedule:")
