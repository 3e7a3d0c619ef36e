"""The events that matter to the instrument on the page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from kronos.candles import Candles
from kronos.errors import InvalidEvents
from kronos.events import Event, load_events, regions_of
from kronos.forecast import Forecast
from pages.ui.messages import plain
from pages.ui.source import ChosenCandles


def events_of(source: ChosenCandles, forecast: Forecast | None) -> tuple[Event, ...]:
    """Releases of its regions and its own events, from the first bar to the end of the fan.

    A table on this machine that cannot be read is said, and its events are left out.
    """
    try:
        events = load_events()
    except InvalidEvents as error:
        st.warning(plain(error), icon=":material/event_busy:")
        return ()
    currency = source.bars.instrument.currency if source.bars is not None else ""
    return relevant_events(events, source.candles, forecast, currency=currency)


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
