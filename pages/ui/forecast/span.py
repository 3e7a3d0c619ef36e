"""A slider under the chart: the bars that the model reads, and the origin."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import streamlit as st

from kronos.calendars.intervals import is_intraday
from kronos.errors import KronosError
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.jobs import queues
from pages.ui.jobs.settings import MIN_CONTEXT, ForecastSettings

__all__ = ["choose_span"]

_KEY, _DRAWN = "span", "span_drawn"


def choose_span(source: ChosenCandles, settings: ForecastSettings) -> None:
    """The slider; what it changes are the controls of origin and lookback.

    It draws where these stand, so that it follows them.

    Args:
        source: The bars.
        settings: What the controls say.
    """
    wall = source.candles.local_index.tz_localize(None)
    end = source.candles.position_of(settings.origin)
    if len(wall) <= MIN_CONTEXT or end + 1 < MIN_CONTEXT:
        return
    try:
        facts = queues.forecasts().facts(settings.model)
        n_read = facts.context_length(end + 1, settings.horizon, settings.lookback)
    except KronosError:  # the list of models and Run show the error
        return
    drawn = _moment(wall, end + 1 - n_read), _moment(wall, end)
    st.session_state[_DRAWN] = drawn
    if st.session_state.get(_KEY) != drawn:  # what is the same stays under the visitor's hand
        st.session_state[_KEY] = drawn
    st.slider(
        "Context and origin",
        _moment(wall, 0),
        _moment(wall, -1),
        step=source.candles.width.to_pytimedelta(),
        format="D MMM YY HH:mm" if is_intraday(source.candles.interval) else "D MMM YYYY",
        key=_KEY,
        on_change=_take,
        args=(wall, is_intraday(source.candles.interval), facts.most),
        help="Left: the first bar that the model reads. Right: the last one, from which it "
        "forecasts. Press Run afterwards.",
    )


def _moment(wall: pd.DatetimeIndex, position: int) -> datetime:
    moment: datetime = wall[position].floor("us").to_pydatetime()
    return moment


def _take(wall: pd.DatetimeIndex, is_timed: bool, most: int) -> None:
    """Put the ends of the slider into the controls; between two bars the first of them counts."""
    state = st.session_state
    chosen, drawn = state.get(_KEY), state.get(_DRAWN)
    if not isinstance(chosen, tuple) or len(chosen) != 2 or drawn is None:
        return  # the message of another client than the page
    first, end = (int(wall.searchsorted(each, side="right")) - 1 for each in chosen)
    end = max(end, MIN_CONTEXT - 1)
    if chosen[1] != drawn[1]:
        is_last = end == len(wall) - 1
        state["origin"] = None if is_last else wall[end].date()
        if is_timed:
            state["origin_time"] = None if is_last else wall[end].time()
    if chosen[0] != drawn[0]:
        state["lookback"] = min(max(end + 1 - max(first, 0), MIN_CONTEXT), most)
