"""The fan chart on the page, and the controls of its look."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui.chart.figure import Layer, View, Window, chart_description, fan_figure
from pages.ui.chart.scene import MAX_WINDOW, bars_in_window
from pages.ui.market_events import events_of
from pages.ui.source import ChosenCandles
from pages.ui.viewport import is_narrow

WINDOW_LABELS: dict[Window, str] = {"auto": "Near", "all": "All"}
LAYER_LABELS: dict[Layer, str] = {"bands": "Bands", "paths": "Paths", "events": "Events"}
VIEW_LABELS: dict[View, str] = {"price": "Price", "percent": "% from origin", "log": "Log price"}


def show_chart(source: ChosenCandles, forecast: Forecast | None) -> None:
    """The chart under its view control."""
    candles = source.candles
    look = _choose_look(candles, forecast)
    look["events"] = events_of(source, forecast) if "events" in look["shown"] else ()
    narrow = is_narrow()
    figure = fan_figure(candles, forecast, compact=narrow, **look)
    st.plotly_chart(
        figure,
        key="fan",
        alt=chart_description(candles, forecast, look["events"]),
        config={
            "displaylogo": False,
            # The wheel scrolls the page, of which the chart fills most; the buttons zoom.
            "scrollZoom": False,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": "fan-chart", "scale": 2},
        },
    )
    if narrow and forecast is not None:
        st.caption("Bands: 80% (p10 to p90) and 50% (p25 to p75) of paths. Thick line: median.")


def _choose_look(candles: Candles, forecast: Forecast | None) -> dict[str, Any]:
    """The controls above the chart."""
    with st.container(horizontal=True, gap="small", key="look"):
        view = st.segmented_control(
            "View",
            list(get_args(View)),
            default="price",
            required=True,
            format_func=lambda name: VIEW_LABELS[name],
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
        window = st.segmented_control(
            "Window",
            list(get_args(Window)),
            default="auto",
            required=True,
            format_func=lambda name: WINDOW_LABELS.get(name, name),
            key="window",
            bind="query-params",
            label_visibility="collapsed",
        )
        shown: list[Layer] = list(get_args(Layer))
        if forecast is not None:
            shown = st.pills(
                "Layers",
                shown,
                selection_mode="multi",
                default=shown,
                format_func=lambda name: LAYER_LABELS[name],
                key="layers",
                bind="query-params",
                label_visibility="collapsed",
            )
    n_known = len(candles)
    if forecast is not None:
        n_known = int((candles.frame.index <= forecast.origin).sum())
    if window != "auto" and (n := bars_in_window(candles, n_known, window)) > MAX_WINDOW:
        st.caption(f"The chart shows the last {MAX_WINDOW:,} of {n:,} bars.")
    look = {"view": view, "window": window, "shown": shown}
    st.session_state["look"] = look
    return look
