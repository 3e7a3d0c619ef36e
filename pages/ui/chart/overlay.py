"""Several fans from one origin in one panel: medians and outlines, each with its own dash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from kronos.candles import Candles
from pages.ui.chart import colours as colour
from pages.ui.chart import layers
from pages.ui.chart.edge import spread
from pages.ui.chart.panels import Contender, build_scenes, price_range, set_axes, set_layout
from pages.ui.chart.scene import Scene, View
from pages.ui.chart.sheet import Sheet

COLOURS = ("#3F7DF2", "#D98A00", "#12A08C", "#CC6AA0")
"""One a place: told apart by colour-blind readers, and the dash says the same."""
DASHES = ("solid", "dash", "dot", "dashdot")
OVERLAY_HEIGHT = 560


def overlay_figure(
    candles: Candles, contenders: Sequence[Contender], *, view: View, compact: bool = False
) -> go.Figure:
    """All fans in one panel: the median and the p10 and p90 outlines of each, with its own dash."""
    scenes = build_scenes(candles, contenders, view=view)
    sheet = Sheet()
    layers.add_zone(sheet, scenes[0])
    layers.add_candles(sheet, scenes[0])
    grey = {"color": colour.NEUTRAL, "width": 1}
    for trace in sheet.traces:
        if trace["type"] == "candlestick":
            trace["increasing"] = trace["increasing"] | {"line": grey}
            trace["decreasing"] = {"line": grey, "fillcolor": colour.NEUTRAL}
    for scene, contender in zip(scenes, contenders, strict=True):
        _add_outline(sheet, scene, contender)
    _add_actual_closes(sheet, scenes[0])
    _add_overlay_hover(sheet, scenes, contenders)
    set_axes(sheet, scenes, n_ticks=3 if compact else 9)
    # Where it is narrow, the legend has a line for every entry.
    top = 40 + 19 * (len(scenes) + 1) if compact else 76
    height = 350 + top if compact else OVERLAY_HEIGHT
    set_layout(sheet, height=height, top=top, right=28, compact=compact)
    _add_letters(sheet, scenes, contenders, panel_pixels=height - top - 28)
    return sheet.figure()


def _add_outline(sheet: Sheet, scene: Scene, contender: Contender) -> None:
    quantiles = scene.quantiles()
    line = {"color": COLOURS[contender.place], "dash": DASHES[contender.place]}
    for level, width, named in ((0.10, 1.2, False), (0.90, 1.2, False), (0.50, 2.6, True)):
        sheet.trace(
            "scatter",
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
        marker={"size": 7, "symbol": "circle-open", "color": colour.NEUTRAL},
        hoverinfo="skip",
        name="Actual close",
    )


def _add_overlay_hover(
    sheet: Sheet, scenes: Sequence[Scene], contenders: Sequence[Contender]
) -> None:
    """One box a bar with the numbers of all fans, carried by a line nobody sees."""
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
    """The letter of each fan beside the end of its median, moved apart where they would touch."""
    bottom, top = price_range(scenes)
    ends = [scene.on_axis(float(scene.quantiles()[0.50][-1])) for scene in scenes]
    pixels = (np.array(ends) - bottom) / (top - bottom) * panel_pixels
    shifts = spread(pixels, gap=17.0, limit=panel_pixels) - pixels
    for contender, end, shift in zip(contenders, ends, shifts, strict=True):
        sheet.note(
            f"<b>{contender.letter}</b>", size=13, x=1, xref="paper", xanchor="left", xshift=5,
            y=end, yref="y", yshift=float(shift),
        )  # fmt: skip
