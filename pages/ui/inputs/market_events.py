"""The events of the instrument on the page: those that are drawn, and those that a model reads."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from kronos.candles import Candles
from kronos.errors import InvalidEvents, KronosError
from kronos.events import (
    Event,
    EventInputs,
    EventTable,
    event_inputs,
    load_events,
    merge_events,
    regions_of,
)
from kronos.forecast import Forecast
from pages.ui.frame.messages import plain
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.own_events import own_events
from pages.ui.jobs import queues

_MERGED = "events_with_own"


def all_events() -> tuple[Event, ...]:
    """Every event this session knows: those of this machine's tables, and its own.

    A table that cannot be used is said, and its events are left out.
    """
    try:
        stored = load_events()
    except InvalidEvents as error:
        _say(error)
        stored = ()
    own = own_events()
    if not own:
        return stored
    kept = st.session_state.get(_MERGED)
    # `load_events` gives the same object until a table changes.
    if kept is None or kept[0] is not stored or kept[1] != own:
        tables = [EventTable("stored", stored), EventTable("own", own)]
        try:
            merged = merge_events(tables)
        except InvalidEvents as error:
            _say(error)
            return stored
        kept = st.session_state[_MERGED] = (stored, own, merged)
    return kept[2]


def events_of(source: ChosenCandles, forecast: Forecast | None) -> tuple[Event, ...]:
    """Releases of its regions and its own events, from the first bar to the end of the fan."""
    return relevant_events(all_events(), source.candles, forecast, currency=currency_of(source))


def events_for(source: ChosenCandles, model: str) -> EventInputs | None:
    """Events of these candles for a model; None for one that reads no events."""
    try:
        facts = queues.forecasts().facts(model)
    except KronosError:  # the list of models, and then Run, say what is wrong with it
        return None
    if not facts.reads_events:
        return None
    return event_inputs(all_events(), source.candles, currency=currency_of(source))


def currency_of(source: ChosenCandles) -> str:
    """Currency the instrument is quoted in; empty where the source does not say."""
    return source.bars.instrument.currency if source.bars is not None else ""


def relevant_events(
    events: tuple[Event, ...], candles: Candles, forecast: Forecast | None, *, currency: str = ""
) -> tuple[Event, ...]:
    """Those of the instrument's regions and symbol, within the bars and the horizon."""
    regions = regions_of(candles.calendar, candles.symbol, currency)
    first = pd.Timestamp(candles.frame.index[0])
    last = pd.Timestamp(candles.frame.index[-1])
    if forecast is not None:
        last = max(last, forecast.timestamps[-1].tz_convert("UTC"))
    last += max(candles.width, pd.Timedelta(days=1))
    return tuple(
        event
        for event in events
        if first <= event.time <= last
        and (event.symbol == candles.symbol if event.symbol else event.region in regions)
    )


def _say(error: InvalidEvents) -> None:
    st.warning(plain(error), icon=":material/event_busy:")
