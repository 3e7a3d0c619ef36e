"""Which forecasts of a page are kept, and what it says of that."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from kronos.forecast import Forecast
from kronos.store.switch import OFF, VARIABLE, is_off
from pages.ui.frame.messages import plain
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.jobs import services
from pages.ui.jobs.session import was_asked


def source_name(source: ChosenCandles) -> str:
    """Name of the source that can be asked for later bars; empty for bars of the user's own."""
    if source.bars is not None:
        return source.bars.instrument.source
    return "samples" if source.is_sample else ""


def keep(source: ChosenCandles, found: Mapping[str, Forecast]) -> None:
    """Has the forecasts on the page stored that somebody asked for; says what becomes of them.

    Args:
        source: The candles on the page.
        found: What the page shows, by the keys of the requests. What nobody pressed Run for is
            not kept.
    """
    name = source_name(source)
    asked = {key: forecast for key, forecast in found.items() if was_asked(key)}
    if not asked:
        return
    if is_off():
        _say(f"Forecasts are not kept: {VARIABLE} is {OFF}.")
        return
    if not name:
        _say(
            "Forecasts of a file of your own stay in this session. They are not kept, as everybody "
            "who uses this server sees its record."
        )
        return
    kept: set[str] = st.session_state.setdefault("kept forecasts", set())
    for key in asked.keys() - kept:
        kept.add(key)
        services.keep_forecast(asked[key], source.candles, name)
    problem = services.keeper().problem
    if not problem:
        _say("Kept in this server's record, to be scored when its bars have come.")
    elif st.session_state.get("keeping problem") != problem:
        st.session_state["keeping problem"] = problem
        st.warning(f"Forecasts are not kept: {plain(problem)}", icon=":material/bookmark_remove:")


def _say(text: str) -> None:
    st.caption(f":material/bookmark: {plain(text)}")
