"""What all charts have in common: they stand on the page's ground and are moved by dragging."""

from __future__ import annotations

from typing import Any

from pages.ui.chart import colours as colour
from pages.ui.chart.scene import Scene

FONT = "Inter, Source Sans, system-ui, -apple-system, Segoe UI, sans-serif"
FONT_SIZE = 12.5


def page_layout(*, font_size: float = FONT_SIZE) -> dict[str, Any]:
    """Layout without grounds and text colours of its own, so that it follows the page's theme."""
    return {
        "font": {"family": FONT, "size": font_size},
        "paper_bgcolor": colour.CLEAR,
        "plot_bgcolor": colour.CLEAR,
        "modebar": {
            "bgcolor": colour.CLEAR,
            "color": colour.NEUTRAL,
            "activecolor": colour.FAN,
        },
        "hovermode": "x",
        "hoverdistance": 12,
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": FONT_SIZE}},
        "dragmode": "pan",
    }


def time_axis(scene: Scene, *, n_ticks: int) -> dict[str, Any]:
    """An axis with one place a bar, opened at the scene's window."""
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
        "rangeslider_visible": False,
    }
