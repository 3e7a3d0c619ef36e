"""Colours and layout that all charts share.

The colours read on white and on near-black, so that a theme switch needs no new figure. Shape and
dash always carry the meaning too.
"""

from __future__ import annotations

from typing import Any

from kronos import plot
from pages.ui.chart.scene import Scene

UP = plot.UP
DOWN = plot.DOWN
FAN = plot.FAN
MEDIAN = plot.MEDIAN
NEUTRAL = plot.NEUTRAL
PILL = "#2C63CF"
PILL_TEXT = "#FFFFFF"
ACTUAL = plot.ACTUAL
MACRO = "#9455CC"
EARNINGS = "#C98A12"
NEWS = "#0FA39A"
# Letters on filled icons.
LIGHT_INK, DARK_INK = "#FFFFFF", "#0B0E13"
CLEAR = "rgba(0,0,0,0)"
FONT = "Inter, Source Sans, system-ui, -apple-system, Segoe UI, sans-serif"
FONT_SIZE = 12.5


def faded(colour: str, opacity: float) -> str:
    """A hex colour as rgba() with the given opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def page_layout(*, compact: bool = False) -> dict[str, Any]:
    """Layout without a ground and text colours of its own, so that it follows the page's theme."""
    return {
        "font": {"family": FONT, "size": 12 if compact else FONT_SIZE},
        # The paper is the theme's: a picture that a chart's button saves has no page behind it.
        "plot_bgcolor": CLEAR,
        "modebar": {
            "bgcolor": CLEAR,
            "color": NEUTRAL,
            "activecolor": FAN,
        },
        "hovermode": "x",
        "hoverdistance": 12,
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": FONT_SIZE}},
        "dragmode": "pan",
    }


DATES = [
    {"dtickrange": [None, 86_400_000 - 1], "value": "%H:%M\n%d %b"},
    {"dtickrange": [86_400_000, 2_419_200_000], "value": "%d %b\n%Y"},
]
"""Formats of the ticks of a date axis, day first as in all texts; from months on Plotly's own."""


def time_axis(scene: Scene, *, n_ticks: int) -> dict[str, Any]:
    """A category axis with one place per bar, opened at the window of the scene."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": scene.labels,
        "range": [scene.first_visible - 0.5, len(scene.labels) - 0.4],
        "tickmode": "auto",
        "nticks": n_ticks,
        "tickangle": 0,
        "ticks": "",
        "zeroline": False,
        "showgrid": True,
        "rangeslider": {"visible": False},
    }
