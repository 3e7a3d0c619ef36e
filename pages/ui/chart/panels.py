"""Several fans from one origin: in panels on one price axis, or laid over each other."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kronos.candles import Candles
from kronos.events import Event
from kronos.forecast import Forecast
from pages.ui.chart import layers, style
from pages.ui.chart.events import RAIL_AXIS, add_events
from pages.ui.chart.layers import spread
from pages.ui.chart.scene import Scene, View, build_scene
from pages.ui.chart.sheet import Sheet

__all__ = ["LETTERS", "Contender", "compare_description", "panel_figure"]

LETTERS = "ABCD"
"""Letters of the places, the same in panels, overlay and tables."""
PANEL_HEIGHT, STACKED_HEIGHT = 470, 300
_FIRST_RAIL = 20  # number of the first rail axis, above those of all panels


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """One fan of a comparison.

    Attributes:
        place: Position, from 0.
        title: Model, with temperature and top-p where they differ from 1.
        forecast: Its paths.
    """

    place: int
    title: str
    forecast: Forecast

    @property
    def letter(self) -> str:
        return LETTERS[self.place]

    @property
    def label(self) -> str:
        """Letter and title."""
        return f"{self.letter} · {self.title}"

    @property
    def name(self) -> str:
        """The label, safe in Plotly's text."""
        return html.escape(self.label)


def panel_figure(
    candles: Candles,
    contenders: Sequence[Contender],
    *,
    view: View,
    compact: bool = False,
    events: Sequence[Sequence[Event]] = (),
) -> go.Figure:
    """A panel for every fan, with one price axis; one below the other on a narrow screen.

    Args:
        candles: The bars.
        contenders: The fans.
        view: price, percent (from the last close) or log.
        compact: For a narrow screen.
        events: Events to mark in each panel; empty for none.
    """
    scenes = build_scenes(candles, contenders, view=view)
    n = len(scenes)
    n_ticks = 3 if compact else {2: 5}.get(n, 4)
    sheet = Sheet(
        heights=(1.0,) * (n if compact else 1),
        widths=(1.0,) * (1 if compact else n),
        gaps=(0.015, 0.09 if compact else 0.0),
    )
    for place, (scene, contender) in enumerate(zip(scenes, contenders, strict=True)):
        row, column = (place + 1, 1) if compact else (1, place + 1)
        marked = events[place] if events else ()
        _add_panel(sheet, scene, row, column, place=place, events=marked)
        left, right = sheet.time_axis(row, column)["domain"]
        sheet.note(
            _title(contender, 1 if compact else n), size=13 if compact or n < 4 else 12,
            x=(left + right) / 2, xref="paper", xanchor="center",
            y=sheet.price_axis(row, column)["domain"][1], yref="paper", yanchor="bottom",
        )  # fmt: skip
        if not compact and place > 0:
            sheet.price_axis(row, column)["showticklabels"] = False
        set_axes(sheet, scenes, n_ticks=n_ticks, panel=(row, column))
        if not compact and n > 2:  # the day above the time: four labels fit then
            broken = {label: "<br>".join(label.rsplit(" ", 1)) for label in scene.labels}
            sheet.time_axis(row, column)["labelalias"] = broken
    height = STACKED_HEIGHT * n if compact else PANEL_HEIGHT
    set_layout(sheet, height=height, top=30 if compact else 76, right=12, compact=compact)
    sheet.layout["margin"]["b"] = 28 if compact or n < 3 else 44
    sheet.layout["showlegend"] = not compact
    return sheet.figure()


def compare_description(candles: Candles, contenders: Sequence[Contender]) -> str:
    """The comparison in words, as alternative text."""
    scene = build_scene(candles, contenders[0].forecast, view="price")
    parts = []
    for contender in contenders:
        low, median, high = contender.forecast.quantile((0.10, 0.50, 0.90))[:, -1]
        parts.append(
            f"{contender.letter}, {contender.title}: median {scene.price_text(median)}, 80% of "
            f"paths from {scene.price_text(low)} to {scene.price_text(high)}"
        )
    return (
        f"{len(contenders)} fans of {candles.symbol}, {candles.interval} bars, from the last close "
        f"{scene.price_text(scene.last_close)}; after {scene.horizon} bars: {'; '.join(parts)}."
    )


def build_scenes(candles: Candles, contenders: Sequence[Contender], *, view: View) -> list[Scene]:
    """Scenes with a short history, as panels are narrow."""
    scenes = [build_scene(candles, contender.forecast, view=view) for contender in contenders]
    return [replace(scene, n_window=max(scene.horizon, 30)) for scene in scenes]


def _title(contender: Contender, n_columns: int) -> str:
    """The title of a panel, wrapped to its width."""
    lines = textwrap.wrap(contender.label, 96 // n_columns)
    return f"<b>{'<br>'.join(map(html.escape, lines))}</b>"


def _add_panel(
    sheet: Sheet, scene: Scene, row: int, column: int, *, place: int, events: Sequence[Event]
) -> None:
    """Draw the layers of the fan chart on a sheet of their own, then move them to the panel."""
    panel = Sheet()
    layers.add_zone(panel, scene)
    layers.add_bands(panel, scene)
    layers.add_sample_paths(panel, scene)
    layers.add_candles(panel, scene)
    layers.add_median(panel, scene)
    layers.add_actual(panel, scene)
    add_events(panel, scene, events, compact=True)
    number = sheet.number(row, column)
    rail = f"y{_FIRST_RAIL + place}"
    if RAIL_AXIS in panel.layout:
        anchors = {"overlaying": f"y{number}", "anchor": f"x{number}"}
        sheet.layout[rail.replace("y", "yaxis")] = panel.layout[RAIL_AXIS] | anchors
    for trace in panel.traces:
        kind, name = trace.pop("type"), trace.get("name")
        del trace["xaxis"]
        if trace.pop("yaxis") != "y":
            trace["yaxis"] = rail
        if trace.get("showlegend") is not False and name:
            # One legend entry shows and hides the layer in all panels.
            shown = {drawn.get("legendgroup") for drawn in sheet.traces if drawn.get("showlegend")}
            trace |= {"legendgroup": name, "showlegend": name not in shown}
        sheet.trace(kind, row=row, column=column, **trace)
    for shape in panel.shapes:
        kind, yref = shape.pop("type"), "y" if shape["yref"] == "y" else "y domain"
        moved = {"xref": f"x{number}", "yref": yref.replace("y", f"y{number}")}
        sheet.shape(kind, **(shape | moved))


def price_range(scenes: Sequence[Scene]) -> tuple[float, float]:
    """Limits that contain all fans."""
    lows, highs = zip(*(scene.price_range() for scene in scenes), strict=True)
    return min(lows), max(highs)


def set_axes(
    sheet: Sheet, scenes: Sequence[Scene], *, n_ticks: int, panel: tuple[int, int] = (1, 1)
) -> None:
    """The same time axis in every panel, and one price axis for all."""
    scene = scenes[0]
    bottom, top = price_range(scenes)
    if scene.view == "percent":
        form: dict[str, Any] = {"tickformat": "+.2f", "ticksuffix": "%"}
    else:
        is_wide = scene.view == "price" and top - bottom >= 20.0
        form = {"tickformat": f",.{0 if is_wide else scene.decimals}f", "nticks": 8}
    sheet.time_axis(*panel).update(style.time_axis(scene, n_ticks=n_ticks))
    sheet.price_axis(*panel).update(
        form,
        type="log" if scene.view == "log" else "linear",
        range=[bottom, top],
        matches="y",
        ticks="",
        zeroline=False,
    )


def set_layout(sheet: Sheet, *, height: int, top: int, right: int, compact: bool) -> None:
    """Size and look of the figure, which follows the theme of the page."""
    sheet.layout.update(
        height=height,
        margin={"l": 54 if compact else 64, "r": right, "t": top, "b": 28},
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "yref": "container",
            "y": 1 - 4 / height, "yanchor": "top", "bgcolor": style.CLEAR,
            "font": {"size": 11 if compact else 11.5}, "itemsizing": "trace",
            "traceorder": "normal",
        },
        showlegend=True,
        **style.page_layout(compact=compact),
    )  # fmt: skip


COLOURS = ("#3F7DF2", "#D98A00", "#12A08C", "#CC6AA0")
"""One per place, distinct for colour-blind readers; the dash says the same."""
DASHES = ("solid", "dash", "dot", "dashdot")
OVERLAY_HEIGHT = 560


def overlay_figure(
    candles: Candles, contenders: Sequence[Contender], *, view: View, compact: bool = False
) -> go.Figure:
    """All fans in one panel: the median and the 80% band of each, in its own colour and dash."""
    scenes = build_scenes(candles, contenders, view=view)
    sheet = Sheet()
    layers.add_zone(sheet, scenes[0])
    layers.add_candles(sheet, scenes[0])
    grey = {"color": style.NEUTRAL, "width": 1}
    for trace in sheet.traces:
        if trace["type"] == "candlestick":
            trace["increasing"] = trace["increasing"] | {"line": grey}
            trace["decreasing"] = {"line": grey, "fillcolor": style.NEUTRAL}
    for scene, contender in zip(scenes, contenders, strict=True):
        _add_outline(sheet, scene, contender)
    _add_actual_closes(sheet, scenes[0])
    _add_overlay_hover(sheet, scenes, contenders)
    set_axes(sheet, scenes, n_ticks=3 if compact else 9)
    # On a narrow screen every entry of the legend has its own line.
    top = 40 + 19 * (len(scenes) + 1) if compact else 76
    height = 350 + top if compact else OVERLAY_HEIGHT
    set_layout(sheet, height=height, top=top, right=28, compact=compact)
    _add_letters(sheet, scenes, contenders, panel_pixels=height - top - 28)
    return sheet.figure()


def _add_outline(sheet: Sheet, scene: Scene, contender: Contender) -> None:
    quantiles = scene.quantiles()
    line = {"color": COLOURS[contender.place], "dash": DASHES[contender.place]}
    # Thin enough that four bands over each other leave the outlines readable.
    band: dict[str, Any] = {
        "fill": "tonexty",
        "fillcolor": style.faded(COLOURS[contender.place], 0.10),
    }
    for level, width, named in ((0.10, 1.2, False), (0.90, 1.2, False), (0.50, 2.6, True)):
        sheet.trace(
            "scatter",
            **(band if level == 0.90 else {}),
            x=scene.fan_labels,
            y=scene.scaled(quantiles[level]).round(10),
            mode="lines",
            line=line | {"width": width},
            opacity=1.0 if named else 0.85,
            hoverinfo="skip",
            legendgroup=contender.letter,
            name=contender.name,
            showlegend=named,
        )


def _add_actual_closes(sheet: Sheet, scene: Scene) -> None:
    if scene.actual is None:
        return
    sheet.trace(
        "scatter",
        x=scene.fan_labels[1:],
        y=scene.scaled(scene.actual["close"]).round(10),
        mode="markers",
        marker={"size": 7, "symbol": "circle-open", "color": style.NEUTRAL},
        hoverinfo="skip",
        name="Actual close",
    )


def _add_overlay_hover(
    sheet: Sheet, scenes: Sequence[Scene], contenders: Sequence[Contender]
) -> None:
    """One hover box per bar with the numbers of all fans, on an invisible line."""
    first = scenes[0]
    actual = None if first.actual is None else first.actual["close"].to_numpy(dtype=float)
    texts = []
    for bar in range(1, first.horizon + 1):
        lines = [f"<b>{first.fan_labels[bar]}</b> · bar +{bar}"]
        for scene, contender in zip(scenes, contenders, strict=True):
            low, median, high = (scene.quantiles()[level][bar] for level in (0.10, 0.50, 0.90))
            lines.append(
                f"{contender.letter}  p10 {scene.price_text(low)}  <b>p50 "
                f"{scene.price_text(median)}</b>  p90 {scene.price_text(high)}"
            )
        if actual is not None and np.isfinite(actual[bar - 1]):
            lines.append(f"Actual close {first.price_text(actual[bar - 1])}")
        texts.append("<br>".join(lines))
    sheet.trace(
        "scatter",
        x=first.fan_labels[1:],
        y=first.scaled(first.quantiles()[0.50][1:]).round(10),
        mode="lines",
        line=layers.UNSEEN,
        text=texts,
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="",
    )


def _add_letters(
    sheet: Sheet,
    scenes: Sequence[Scene],
    contenders: Sequence[Contender],
    *,
    panel_pixels: float,
) -> None:
    """The letter of each fan at the end of its median, without overlap."""
    bottom, top = price_range(scenes)
    ends = [scene.on_axis(float(scene.quantiles()[0.50][-1])) for scene in scenes]
    pixels = (np.array(ends) - bottom) / (top - bottom) * panel_pixels
    shifts = spread(pixels, gap=17.0, limit=panel_pixels) - pixels
    for contender, end, shift in zip(contenders, ends, shifts, strict=True):
        sheet.note(
            f"<b>{contender.letter}</b>", size=13, x=1, xref="paper", xanchor="left", xshift=5,
            y=end, yref="y", yshift=float(shift),
        )  # fmt: skip
