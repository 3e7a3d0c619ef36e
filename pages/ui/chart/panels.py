"""Several fans from one origin in panels on one price axis, built of the fan chart's own layers.

Pure functions to Plotly figures. overlay.py lays the fans over each other instead.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from kronos.candles import Candles
from kronos.events import Event
from kronos.forecast import Forecast
from pages.ui.chart import colours as colour
from pages.ui.chart import layers
from pages.ui.chart.events import RAIL_AXIS, add_events
from pages.ui.chart.scene import Scene, View, build_scene
from pages.ui.chart.sheet import Sheet
from pages.ui.chart.style import FONT_SIZE, page_layout, time_axis

__all__ = ["LETTERS", "Contender", "compare_description", "panel_figure"]

LETTERS = "ABCD"
"""Names of the places; a model keeps its letter in panels, overlay and tables."""
PANEL_HEIGHT, STACKED_HEIGHT = 470, 300
_FIRST_RAIL = 20  # number of the first panel's axis of events, above those of all panels


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """One fan of a comparison.

    Attributes:
        place: Which one it is, from 0.
        title: Model and, where they differ from the model's own, settings.
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
    """A panel for every fan, with one price axis for all; below each other where it is narrow.

    Args:
        candles: The bars.
        contenders: The fans.
        view: price, percent (from the last close) or log.
        compact: For a narrow screen.
        events: What to mark in each panel; nothing where it is empty.
    """
    scenes = build_scenes(candles, contenders, view=view)
    n = len(scenes)
    n_ticks = 3 if compact else {2: 5, 3: 3}.get(n, 2)
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
    height = STACKED_HEIGHT * n if compact else PANEL_HEIGHT
    set_layout(sheet, height=height, top=30 if compact else 76, right=12, compact=compact)
    sheet.layout["showlegend"] = not compact
    return sheet.figure()


def compare_description(candles: Candles, contenders: Sequence[Contender]) -> str:
    """The comparison in words, for those who do not see it."""
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
    """Scenes with a short history, as a panel is narrow."""
    scenes = [build_scene(candles, contender.forecast, view=view) for contender in contenders]
    return [replace(scene, n_window=max(scene.horizon, 30)) for scene in scenes]


def _title(contender: Contender, n_columns: int) -> str:
    """A panel's title, in lines that fit into its width."""
    lines = textwrap.wrap(contender.label, 96 // n_columns)
    return f"<b>{'<br>'.join(map(html.escape, lines))}</b>"


def _add_panel(
    sheet: Sheet, scene: Scene, row: int, column: int, *, place: int, events: Sequence[Event]
) -> None:
    """The fan chart's layers, drawn on a sheet of their own and moved to their panel."""
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
            # One entry for all panels, which hides and shows the layer in all of them.
            shown = {drawn.get("legendgroup") for drawn in sheet.traces if drawn.get("showlegend")}
            trace |= {"legendgroup": name, "showlegend": name not in shown}
        sheet.trace(kind, row=row, column=column, **trace)
    for shape in panel.shapes:
        kind, yref = shape.pop("type"), "y" if shape["yref"] == "y" else "y domain"
        moved = {"xref": f"x{number}", "yref": yref.replace("y", f"y{number}")}
        sheet.shape(kind, **(shape | moved))


def price_range(scenes: Sequence[Scene]) -> tuple[float, float]:
    """Limits that hold all fans."""
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
    sheet.time_axis(*panel).update(time_axis(scene, n_ticks=n_ticks))
    sheet.price_axis(*panel).update(
        form,
        type="log" if scene.view == "log" else "linear",
        range=[bottom, top],
        matches="y",
        ticks="",
        zeroline=False,
    )


def set_layout(sheet: Sheet, *, height: int, top: int, right: int, compact: bool) -> None:
    """Size and look of the whole figure, which follows the page's theme."""
    sheet.layout.update(
        height=height,
        margin={"l": 54 if compact else 64, "r": right, "t": top, "b": 28},
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "yref": "container",
            "y": 1 - 4 / height, "yanchor": "top", "bgcolor": colour.CLEAR,
            "font": {"size": 11 if compact else 11.5}, "itemsizing": "trace",
            "traceorder": "normal",
        },
        showlegend=True,
        **page_layout(font_size=12 if compact else FONT_SIZE),
    )  # fmt: skip
