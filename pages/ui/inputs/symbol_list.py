"""The symbols of a source as suggestions, looked up while the page goes on."""

from __future__ import annotations

import streamlit as st

from data_sources.source import Instrument
from kronos.errors import Busy
from pages.ui.inputs import fetching
from pages.ui.jobs import queues
from pages.ui.jobs.session import owner


def known_instruments(source: str) -> list[Instrument]:
    """What a source has, as far as it is known by now; a line on the page says where it is not."""
    try:
        status = fetching.instruments(source)
    except Busy:
        return []
    if status.state == "done":
        return status.result
    if status.is_final:
        st.caption("The list of symbols could not be had: type the symbol.")
    else:
        _await_symbols(source)
    return []


@st.fragment(run_every=fetching.POLL_SECONDS)
def _await_symbols(source: str) -> None:
    status = queues.fetches().status(fetching.symbols_key(source), owner=owner())
    if status is None or status.is_final:
        st.rerun()
    st.caption(":material/hourglass_top: Loading the list of symbols …")
