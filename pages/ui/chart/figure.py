"""The fan chart: a pure function from a forecast and its candles to a Plotly figure.

The figure has transparent grounds and no text colours, so that it follows the page's theme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Sequence
from typing import NotRequired, TypedDict, get_args

import plotly.graph_objects as go

from kronos.candles import Candles
from kronos.events import Event
from kronos.forecast import Forecast
from pages.ui.chart import layers, style
from pages.ui.chart.events import add_events, event_markers, events_sentence
from pages.ui.chart.layers import Overlay, add_distribution, add_edge_labels
from pages.ui.chart.scene import MAX_HISTORY, Layer, Scene, Shape, View, Window, build_scene
from pages.ui.chart.sheet import Sheet
from pages.ui.chart.studies import RSI, Study, add_rsi, add_studies, study_readings

__all__ = ["Layer", "Look", "Shape", "View", "Window", "chart_description", "fan_figure"]

_LAYERS_IN_LEGEND = 5
_GAP = 0.025  # between panels, as a share of the height
_RSI_PIXELS = 96
VIEW_NAMES = {"price": "", "percent": "change since the last close", "log": "log scale"}


class Look(TypedDict):
    """The chosen look of the chart: options of `fan_figure`."""

    view: View
    window: Window
    shown: Collection[Layer]
    events: Sequence[Event]
    levels: Sequence[float]
    shape: Shape
    overlays: NotRequired[Sequence[Overlay]]
    studies: NotRequired[Sequence[Study]]
    n_history: NotRequired[int]


def fan_figure(
    candles: Candles,
    forecast: Forecast | None = None,
    *,
    view: View = "price",
    compact: bool = False,
    window: Window = "auto",
    shown: Collection[Layer] = get_args(Layer),
    events: Sequence[Event] = (),
    levels: Sequence[float] = (),
    shape: Shape = "candles",
    overlays: Sequence[Overlay] = (),
    studies: Sequence[Study] = (),
    n_history: int = MAX_HISTORY,
) -> go.Figure:
    """Draw candles and, where there is a forecast, its fan.

    Args:
        candles: The bars of the forecast; actual bars after its origin are drawn over the fan.
        forecast: The fan, or None for candles alone.
        view: Price, percent from the last close, or price on a log axis.
        compact: Layout for screens too narrow for labels beside the chart.
        window: Visible history; auto depends on the horizon.
        shown: Layers to draw beside candles and median.
        events: Events to mark, in any order.
        levels: Prices to draw as lines, with their P(touch).
        shape: Bars as candles, as open-high-low-close bars, or their closes as a line.
        overlays: Lines over the fan.
        studies: Studies of the bars up to the origin.
        n_history: Bars to draw before the origin; see `build_scene`.
    """
    scene = build_scene(
        candles, forecast, view=view, compact=compact, window=window, n_history=n_history
    )
    n_kinds = len({marker.group for marker in event_markers(scene, events)})
    has_rsi = RSI in studies
    n_named = n_kinds + len(overlays) + len(studies) - has_rsi
    height, margin = _frame_size(scene, n_named, compact=compact)
    if compact:  # a wide screen keeps the time axis on its first screen
        height += _RSI_PIXELS * has_rsi
    shares = _heights(scene, height, has_rsi=has_rsi)
    sheet = _panels(scene, shares)
    if forecast is not None:
        layers.add_zone(sheet, scene)
        if "bands" in shown:
            layers.add_bands(sheet, scene)
        if "paths" in shown:
            layers.add_sample_paths(sheet, scene)
    at_bars, ahead = layers.level_readings(scene, levels)
    layers.add_candles(sheet, scene, shape, {**study_readings(scene, candles, studies), **at_bars})
    add_studies(sheet, scene, candles, studies)
    if forecast is not None:
        layers.add_overlays(sheet, scene, overlays)
        layers.add_median(sheet, scene, {**layers.overlay_readings(scene, overlays), **ahead})
        layers.add_actual(sheet, scene, shape)
        add_distribution(sheet, scene)
        inner = height - margin["t"] - margin["b"]
        share = shares[0] / sum(shares) * (1.0 - _GAP * (len(shares) - 1))
        add_edge_labels(sheet, scene, panel_pixels=inner * share, compact=compact)
    if scene.has_volume:
        layers.add_volume(sheet, scene)
    if has_rsi:
        add_rsi(sheet, scene, candles, row=len(shares))
    _set_axes(sheet, scene, _price_limits(scene, overlays), len(shares), compact=compact)
    add_events(sheet, scene, events, compact=compact)
    layers.add_levels(sheet, scene, levels, compact=compact)
    _set_layout(sheet, candles, scene, height=height, margin=margin, compact=compact)
    return sheet.figure()


def chart_description(
    candles: Candles, forecast: Forecast | None, events: Sequence[Event] = ()
) -> str:
    """The chart in a few sentences, as alternative text."""
    scene = build_scene(candles, forecast, view="price")
    text = (
        f"Candlestick chart of {candles.symbol}, {candles.interval} bars up to "
        f"{scene.history_labels[-1]}, last close {scene.price_text(scene.last_close)}."
    )
    if forecast is None:
        return text
    low, median, high = (scene.quantiles()[level][-1] for level in (0.10, 0.50, 0.90))
    return (
        f"{text} Fan of {forecast.n_paths} simulated paths over {forecast.horizon} bars: at the "
        f"horizon the median is {scene.price_text(median)} ({scene.percent_text(median)}) and 80% "
        f"of paths lie between {scene.price_text(low)} and {scene.price_text(high)}."
        f"{events_sentence(scene, events)}"
    )


def _frame_size(scene: Scene, n_kinds: int, *, compact: bool) -> tuple[int, dict[str, int]]:
    has_fan = scene.forecast is not None
    if compact:
        return 388, {"l": 46, "r": 60 if has_fan else 8, "t": 46 if has_fan else 36, "b": 8}
    # The margin has room for three rows of the legend, with four entries each.
    rows = math.ceil((_LAYERS_IN_LEGEND + n_kinds) / 4)
    more = 18 * max(0, rows - 3) if has_fan else 0
    top = 92 + more if has_fan else 44
    return 590 + more, {"l": 64, "r": 142 if has_fan else 20, "t": top, "b": 8}


def _heights(scene: Scene, height: int, *, has_rsi: bool) -> tuple[float, ...]:
    """Heights of the panels from the top: prices, volume, RSI."""
    shares = (0.82, 0.18) if scene.has_volume else (1.0,)
    rsi = _RSI_PIXELS / (height - _RSI_PIXELS)
    return (*shares, rsi * sum(shares)) if has_rsi else shares


def _panels(scene: Scene, heights: tuple[float, ...]) -> Sheet:
    """Panels for prices, volume and RSI below them, and the distribution at the horizon beside."""
    has_fan = scene.forecast is not None
    rows = range(1, len(heights) + 1)
    sheet = Sheet(
        heights=heights,
        widths=(0.91, 0.09) if has_fan else (1.0,),
        gaps=(0.006, _GAP),
        without=[(row, 2) for row in rows[1:]],
    )
    for row in rows[:-1]:
        sheet.time_axis(row=row).update(
            matches=f"x{sheet.number(rows[-1], 1)}", showticklabels=False
        )
    if has_fan:
        sheet.price_axis(column=2).update(matches="y", showticklabels=False)
    return sheet


def _price_limits(scene: Scene, overlays: Sequence[Overlay]) -> list[float]:
    """Limits of the price axis, in its units, that hold the lines over the fan as well."""
    ends = [scene.on_axis(float(end)) for o in overlays for end in (o.rows.min(), o.rows.max())]
    low, high = scene.price_range()
    return [min(low, *ends), max(high, *ends)] if ends else [low, high]


def _set_axes(
    sheet: Sheet, scene: Scene, limits: list[float], n_rows: int, *, compact: bool
) -> None:
    is_timed = ":" in scene.labels[-1]  # longer labels, fewer of them
    time = style.time_axis(scene, n_ticks=3 if compact else 7 if is_timed else 10) | {
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "cursor",
        "spikethickness": 1,
        "spikedash": "dot",
        "spikecolor": style.NEUTRAL,
    }
    prices = {
        "type": "log" if scene.view == "log" else "linear",
        "range": limits,
        "zeroline": False,
    }
    if scene.view == "percent":
        is_wide = abs(limits[1] - limits[0]) > 1
        form: dict[str, object] = {"tickformat": "+.1f" if is_wide else "+.2f", "ticksuffix": "%"}
    else:
        form = {"tickformat": f",.{_tick_decimals(scene)}f", "nticks": 8}
    for row in range(1, n_rows + 1):
        sheet.time_axis(row=row).update(time, showticklabels=row == n_rows)
    sheet.price_axis().update(prices | form, ticks="", side="left")
    if scene.has_volume:
        sheet.price_axis(row=2).update(
            nticks=3, tickformat="~s", showgrid=False, ticks="", zeroline=False
        )
    if scene.forecast is not None:
        sheet.time_axis(column=2).update(visible=False, fixedrange=True)
        sheet.price_axis(column=2).update(prices, showgrid=False, showticklabels=False)


def _tick_decimals(scene: Scene) -> int:
    """Decimals of the axis: fewer than in the labels, but enough for distinct ticks."""
    low, high = scene.price_range()
    span = 10**high - 10**low if scene.view == "log" else high - low
    decimals = 0
    while decimals < scene.decimals and span / 8 < 0.8 * 10.0**-decimals:
        decimals += 1
    return decimals


def _set_layout(
    sheet: Sheet, candles: Candles, scene: Scene, *, height: int, margin: dict, compact: bool
) -> None:
    if scene.has_volume:
        panel = "y3" if scene.forecast is not None else "y2"
        sheet.note(
            "volume", size=11, x=0, xref="paper", xshift=4, xanchor="left",
            y=1, yref=f"{panel} domain", yanchor="bottom",
        )  # fmt: skip
    if scene.forecast is not None and not compact:
        sheet.note(
            "at horizon", size=11, x=0.5, xref="x2 domain", y=1, yref="y domain", yanchor="bottom"
        )
    sheet.layout.update(
        height=height,
        margin=margin,
        title={
            "text": _title(candles, scene, compact=compact),
            "x": 0, "xanchor": "left", "xref": "paper",
            "y": 0.985, "yanchor": "top", "yref": "container",
            "font": {"size": 14 if compact else 16},
        },
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "yref": "container",
            "y": 1 - 32 / height, "yanchor": "top",  # its last row ends above the plot
            "bgcolor": style.CLEAR, "font": {"size": 11.5}, "itemsizing": "constant",
            "traceorder": "normal",
        },
        showlegend=scene.forecast is not None and not compact,
        **style.page_layout(),
        barmode="overlay",
        bargap=0.25,
    )  # fmt: skip


def _title(candles: Candles, scene: Scene, *, compact: bool) -> str:
    """Symbol, interval, model and view; names come from files and are escaped."""
    parts = [f"<b>{html.escape(candles.symbol[:40])}</b>", html.escape(candles.interval)]
    if scene.forecast is not None and not compact:
        parts += [html.escape(scene.forecast.model_name[:40]), f"{scene.forecast.n_paths} paths"]
    if VIEW_NAMES[scene.view]:
        parts.append(VIEW_NAMES[scene.view])
    return " · ".join(parts)
