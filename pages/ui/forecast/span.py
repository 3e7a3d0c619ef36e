"""A slider under the chart: the bars that the model reads, and the origin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
import streamlit as st

from kronos.calendars.intervals import is_intraday
from kronos.errors import KronosError
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.jobs import queues
from pages.ui.jobs.settings import MIN_CONTEXT, ForecastSettings

__all__ = ["choose_span"]

_DRAWN, _TAKEN = "span_drawn", "span_taken"


class _Drawn(NamedTuple):
    """A slider on the page: its number, the bars that it is for, and where it stands."""

    number: int
    bars: tuple[str, datetime, datetime, timedelta]
    moments: tuple[datetime, datetime]

    @property
    def key(self) -> str:
        return f"span_{self.number}"


def choose_span(source: ChosenCandles, settings: ForecastSettings) -> None:
    """The slider; what it changes are the controls of origin and lookback.

    It draws where these stand, so that it follows them. A browser that mounts a slider first says
    its default, before it reads the value that the page has set: a slider for other bars, or for
    controls that something else has changed, is therefore a new one whose default is where they
    stand. Only a slider that has been moved, and is on the page for sure, is set.

    Args:
        source: The bars.
        settings: What the controls say.
    """
    state = st.session_state
    is_moved = state.pop(_TAKEN, False)
    wall = source.candles.local_index.tz_localize(None)
    end = source.candles.position_of(settings.origin)
    if len(wall) <= MIN_CONTEXT or end + 1 < MIN_CONTEXT:
        return
    try:
        facts = queues.forecasts().facts(settings.model)
        n_read = facts.context_length(end + 1, settings.horizon, settings.lookback)
    except KronosError:  # the list of models and Run show the error
        return
    moments = _moment(wall, end + 1 - n_read), _moment(wall, end)
    step = source.candles.width.to_pytimedelta()
    bars = source.series_id, _moment(wall, 0), _moment(wall, -1), step
    before: _Drawn | None = state.get(_DRAWN)
    drawn = _Drawn(0 if before is None else before.number, bars, moments)
    is_set = False
    if before is not None and (before.bars != bars or state.get(drawn.key, moments) != moments):
        is_set = is_moved and before.bars == bars
        if is_set:
            state[drawn.key] = moments
        else:
            drawn = drawn._replace(number=drawn.number + 1)
    state[_DRAWN] = drawn
    st.slider(
        "Context and origin",
        _moment(wall, 0),
        _moment(wall, -1),
        None if is_set else moments,
        step=step,
        format="D MMM YY HH:mm" if is_intraday(source.candles.interval) else "D MMM YYYY",
        key=drawn.key,
        on_change=_take,
        args=(drawn, wall, is_intraday(source.candles.interval), facts.most),
        help="Left: the first bar that the model reads. Right: the last one, from which it "
        "forecasts. Press Run afterwards.",
    )


def _moment(wall: pd.DatetimeIndex, position: int) -> datetime:
    moment: datetime = wall[position].floor("us").to_pydatetime()
    return moment


def _take(drawn: _Drawn, wall: pd.DatetimeIndex, is_timed: bool, most: int) -> None:
    """Put the ends of the slider into the controls; between two bars the first of them counts.

    The report of a slider that the page has replaced is no choice.
    """
    state = st.session_state
    chosen = state.get(drawn.key)
    if not isinstance(chosen, tuple) or len(chosen) != 2 or state.get(_DRAWN) != drawn:
        return  # also the message of another client than the page
    state[_TAKEN] = True
    first, end = (int(wall.searchsorted(each, side="right")) - 1 for each in chosen)
    end = max(end, MIN_CONTEXT - 1)
    if chosen[1] != drawn.moments[1]:
        is_last = end == len(wall) - 1
        state["origin"] = None if is_last else wall[end].date()
        if is_timed:
            state["origin_time"] = None if is_last else wall[end].time()
    if chosen[0] != drawn.moments[0]:
        state["lookback"] = min(max(end + 1 - max(first, 0), MIN_CONTEXT), most)
