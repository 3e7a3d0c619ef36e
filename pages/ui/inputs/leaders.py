"""The leading markets, fetched for models that read events."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from data_sources.calendar import is_on
from data_sources.leaders import fetched_leaders, leader_bars
from kronos.candles import Candles
from kronos.errors import Busy
from kronos.events import Leaders, last_close, leaders_text
from kronos.forecast import Forecast
from kronos.serving.jobs import JobControl, JobStatus, Work
from pages.ui.frame.messages import plain
from pages.ui.inputs.fetching import POLL_SECONDS
from pages.ui.jobs import queues
from pages.ui.jobs.presence import note_waiting
from pages.ui.jobs.session import owner

_KEY, _KNOWN = "leading_markets_job", "leading_markets_known"
_TRY_AGAIN_SECONDS = 300


def keep_leaders(candles: Candles) -> Leaders:
    """The leading markets that are known; what is missing is fetched in the background.

    While that lasts they stay those of before: a forecast is not made again for each that arrives.
    """
    until = last_close(candles)
    missing = leader_bars().missing(until) if is_on() else ()
    if missing:
        key = f"leaders {missing} {int(time.time()) // _TRY_AGAIN_SECONDS}"
        _submit(key, until)
        st.session_state[_KEY] = key
    known = leader_bars().known()
    if _is_fetching():
        return st.session_state.setdefault(_KNOWN, known)
    st.session_state[_KNOWN] = known
    return known


def leaders_for(candles: Candles) -> Leaders:
    """The leading markets for work in the background, fetched where they are missing."""
    return fetched_leaders(last_close(candles))


def show_leaders(forecast: Forecast | None) -> None:
    """The line on what a forecast was told of leading markets, and the state of their fetch."""
    if forecast is not None and forecast.leaders is not None:
        text = f"Leading markets that the model read: {leaders_text(forecast.leaders)}."
        problem = leader_bars().problem() if is_on() else "their fetch is switched off."
        text += f" Not up to date: {problem}" if problem else ""
        st.caption(f":material/show_chart: {plain(text)}")
    if _is_fetching():
        st.fragment(_await_leaders, run_every=POLL_SECONDS)()


def _is_fetching() -> bool:
    """Whether leading markets are on their way to this session; some may be there by now."""
    status = _status()
    return status is not None and not status.is_final


def _await_leaders() -> None:
    """A line until the fetch has ended; then the page runs again, with the new bars."""
    status = _status()
    if status is None or status.is_final:
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(status.stage or 'Fetching leading markets')} …")


def _status() -> JobStatus | None:
    key = st.session_state.get(_KEY)
    return None if key is None else queues.fetches().status(key, owner=owner())


def _submit(key: str, until: pd.Timestamp) -> None:
    queue = queues.fetches()
    if queue.status(key, owner=owner()) is not None:
        return
    note_waiting(owner(), queue)
    try:
        queue.submit(key, _work(until), owner=owner(), supersede=False)
    except Busy:  # the next run of the page tries again
        return


def _work(until: pd.Timestamp) -> Work:
    def work(control: JobControl) -> None:
        def progress(stage: str) -> None:
            control.check()
            control.stage(stage)

        leader_bars().refresh(until, progress=progress)

    return work
