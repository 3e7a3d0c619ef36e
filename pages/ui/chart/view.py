"""The fan chart on the page, with the controls of its look."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from kronos.candles import Candles
from kronos.events import Event
from kronos.forecast import Forecast
from pages.ui.chart.events import events_legend, wide_bars_text
from pages.ui.chart.figure import Layer, Look, Shape, View, Window, chart_description, fan_figure
from pages.ui.chart.interactive import n_history, show_interactive
from pages.ui.chart.layers import Overlay
from pages.ui.chart.levels import KEY, read_levels
from pages.ui.chart.scene import MAX_WINDOW, build_scene, n_known
from pages.ui.chart.studies import STUDIES, Study
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.shell import is_narrow
from pages.ui.inputs.calendar import show_calendar
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import all_events, events_of

WINDOW_LABELS: dict[Window, str] = {"auto": "Near", "all": "All"}
LAYER_LABELS: dict[Layer, str] = {"bands": "Bands", "paths": "Paths", "events": "Events"}
SHAPE_LABELS: dict[Shape, str] = {"candles": "Candles", "bars": "Bars", "line": "Line"}
VIEW_LABELS: dict[View, str] = {"price": "Price", "percent": "% from origin", "log": "Log price"}
_MOMENT = "chart_moment"


def show_chart(
    source: ChosenCandles,
    forecast: Forecast | None,
    asked: pd.Timestamp,
    levels: Sequence[float] = (),
    overlays: Sequence[Overlay] = (),
    studies: Sequence[Study] = (),
) -> Look:
    """The chart under the controls of its look.

    Args:
        source: The bars.
        forecast: The fan, or None for candles alone.
        asked: The origin that the controls say.
        levels: Prices to draw as lines.
        overlays: Lines over the fan.
        studies: Studies of the bars.

    Returns:
        The look, for a copy of the chart; it follows the controls.
    """
    look: Look = {
        "view": "price",
        "window": "auto",
        "shown": (),
        "events": (),
        "levels": levels,
        "shape": "candles",
        "overlays": overlays,
        "studies": studies,
    }
    _draw(source, forecast, look, _moment(source, forecast, asked))
    return look


def _moment(source: ChosenCandles, forecast: Forecast | None, asked: pd.Timestamp) -> str:
    """The origin that the view belongs to; "" for the last bar, whichever that is.

    Of a forecast from another origin the chart shows the fan, wherever the view was. Until that
    forecast is there, the origin that a control says moves nothing; nor does a bar more.
    """
    state = st.session_state
    drawn = source.series_id, None if forecast is None else forecast.origin
    if state.get(_MOMENT, (None, ""))[0] != drawn:
        origin = asked if forecast is None else forecast.origin
        is_last = origin >= source.candles.frame.index[-1] or state.get("origin") is None
        state[_MOMENT] = drawn, "" if is_last else f"{origin.tz_convert('UTC'):%Y-%m-%dT%H:%M}"
    moment: str = state[_MOMENT][1]
    return moment


@st.fragment  # a switch of the look runs this alone
def _draw(source: ChosenCandles, forecast: Forecast | None, look: Look, moment: str) -> None:
    """Controls and chart; puts the look into `look`, which the rest of the page holds."""
    candles = source.candles
    levels, overlays = look["levels"], look.get("overlays", ())
    if levels != read_levels(st.session_state.get(KEY) or "")[0]:
        st.rerun()  # the chart has added or removed one, and the panel lists them
    look["view"], look["window"], look["shown"], look["shape"] = _choose_look(forecast)
    look["events"] = events_of(source, forecast) if "events" in look["shown"] else ()
    narrow = is_narrow()
    subject = " ".join([source.series_id, moment, look["window"]])
    look["n_history"] = n_history(subject)
    figure = fan_figure(candles, forecast, compact=narrow, **look)
    scene = build_scene(
        candles,
        forecast,
        view=look["view"],
        compact=narrow,
        window=look["window"],
        n_history=look["n_history"],
    )
    n_bars = n_known(candles, forecast)
    n_drawable = min(n_bars, MAX_WINDOW)
    if n_bars > scene.n_history >= MAX_WINDOW:
        st.caption(f"The chart has the last {MAX_WINDOW:,} of {n_bars:,} bars.")
    show_interactive(
        figure,
        scene,
        key="fan",
        subject=subject,
        oldest=candles.frame.index[n_bars - n_drawable] if n_drawable > scene.n_history else None,
        levels=levels,
        overlays=overlays,
        alt=chart_description(candles, forecast, look["events"]),
        parameter="zoom",
    )
    if narrow and forecast is not None:
        st.caption("Bands: 80% (p10 to p90) and 50% (p25 to p75) of paths. Thick line: median.")
    if wide := wide_bars_text(scene, look["events"]):
        st.caption(f":material/open_in_full: {plain(wide)}", help=meaning("Wide bars"))
    # Only a chart with a legend names the letters.
    if (narrow or forecast is None) and (legend := events_legend(scene, look["events"])):
        st.caption(plain(legend))
    if "events" in look["shown"]:
        show_calendar(source, all_events(), forecast)


def choose_studies() -> tuple[Study, ...]:
    """Their control, which the link carries."""
    chosen = st.multiselect(
        "Studies",
        STUDIES,
        key="studies",
        bind="query-params",
        placeholder="None",
        help="SMA, EMA: simple and exponential moving averages of the close. Bollinger: 2 standard "
        "deviations about the average of 20 bars. RSI: relative strength index. Of the real bars "
        "up to the origin; the fan has none.",
    )
    return tuple(chosen)


def show_fan(
    candles: Candles,
    forecast: Forecast | None,
    *,
    key: str,
    narrow: bool,
    view: View = "price",
    shown: Collection[Layer] = get_args(Layer),
    events: Sequence[Event] = (),
    subject: str = "",
    alt: str | None = None,
) -> None:
    """A fan chart to work in, without levels and controls of its look.

    Args:
        candles: The bars.
        forecast: The fan, or None for candles alone.
        key: Its key on the page, and its file name as a picture.
        narrow: Whether the screen is narrow.
        view: Units of the price axis.
        shown: Layers to draw beside candles and median.
        events: Events to mark.
        subject: What the view belongs to; "" for the bars from the origin.
        alt: Alternative text; None for a description of the chart.
    """
    origin = "" if forecast is None else f"{forecast.origin.tz_convert('UTC'):%Y-%m-%dT%H:%M}"
    show_interactive(
        fan_figure(candles, forecast, view=view, compact=narrow, shown=shown, events=events),
        build_scene(candles, forecast, view=view, compact=narrow),
        key=key,
        subject=f"{key} {subject or f'{candles.symbol} {candles.interval} {origin}'}",
        alt=alt or chart_description(candles, forecast, events),
    )


def show_figure(figure: go.Figure, *, key: str, alt: str | None = None) -> None:
    """A chart with its buttons.

    Args:
        figure: The chart.
        key: Its key on the page, and its file name as a picture.
        alt: Alternative text.
    """
    st.plotly_chart(
        figure,
        key=key,
        alt=alt,
        config={
            "displaylogo": False,
            # The wheel scrolls the page, which the chart fills; the buttons zoom.
            "scrollZoom": False,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": f"{key}-chart", "scale": 2},
        },
    )


def choose_view() -> View:
    """Price, percent or logarithm; the link carries it."""
    return st.segmented_control(
        "View",
        list(get_args(View)),
        default="price",
        required=True,
        format_func=lambda name: VIEW_LABELS[name],
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )


def _choose_look(forecast: Forecast | None) -> tuple[View, Window, list[Layer], Shape]:
    """The controls above the chart."""
    with st.container(horizontal=True, gap="xsmall", key="look"):
        shape = st.segmented_control(
            "Bars",
            list(get_args(Shape)),
            default="candles",
            required=True,
            format_func=lambda name: SHAPE_LABELS[name],
            key="shape",
            bind="query-params",
            label_visibility="collapsed",
        )
        view = choose_view()
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
    return view, window, shown, shape
