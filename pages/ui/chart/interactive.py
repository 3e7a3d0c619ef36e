"""The chart that is worked in: a component of the page that hosts Plotly (ADR 24).

The figure is that of the other charts. The component adds what `st.plotly_chart` cannot: a view
that is bounded, fits its prices and outlives a change of the figure, a crosshair, and keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly

from pages.ui.chart.layers import Overlay
from pages.ui.chart.levels import take_from_chart
from pages.ui.chart.scene import MAX_HISTORY, Scene
from pages.ui.frame.plotly_script import script_name

KEYS = {
    "← →": "move in time",
    "+ −": "zoom",
    "↑ ↓": "move the price axis, with Shift stretch it",
    "[ ]": "step the crosshair from bar to bar",
    "L": "put a level at the crosshair",
    "Delete": "remove the level next to it",
    "0": "reset the view",
    "?": "show or hide this list",
}
"""What the keys of the chart do; the keys of the script are the same."""
_LEVEL_KEYS = ("L", "Delete")
_SPOKEN = {
    "← →": "left and right arrows", "+ −": "plus and minus", "↑ ↓": "up and down arrows",
    "[ ]": "square brackets", "?": "question mark",
}  # fmt: skip
_OLDER = "older_bars"
_CSS = """
.desk-chart { position: relative; width: 100%; overflow: hidden; }
.desk-chart, .desk-chart * { touch-action: pan-y !important; }
.desk-chart:focus { outline: none; }
.desk-chart:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -2px; }
.desk-chart .axistext { display: none; }
.desk-chart .nsewdrag { cursor: crosshair; }
.desk-placing .nsewdrag { cursor: row-resize; }
.desk-cross-x, .desk-cross-y, .desk-tag { display: none; position: absolute; pointer-events: none; }
.desk-cross-x { border-left: 1px dashed var(--st-text-color); opacity: 0.55; }
.desk-cross-y { border-top: 1px dashed var(--st-text-color); opacity: 0.55; }
.desk-tag {
  font: 12px var(--st-font, sans-serif);
  color: var(--st-background-color);
  background: var(--st-text-color);
  border-radius: 3px;
  padding: 1px 4px;
  white-space: nowrap;
}
.desk-tag-time { transform: translateX(-50%); }
.desk-tag-price { transform: translateY(-50%); text-align: right; box-sizing: border-box; }
.desk-keys {
  position: absolute; right: 8px; top: 40px; z-index: 5; margin: 0; padding: 10px 14px;
  font: 13px var(--st-font, sans-serif); color: var(--st-text-color);
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: 8px;
  display: grid; grid-template-columns: auto auto; gap: 4px 14px;
}
.desk-keys[hidden] { display: none; }
.desk-keys dt { font-weight: 600; white-space: nowrap; }
.desk-keys dd { margin: 0; }
.desk-spoken {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
"""

_component = st.components.v2.component(
    "interactive_chart",
    css=_CSS,
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,  # Plotly's own style sheet is that of the page
)


def show_interactive(
    figure: go.Figure,
    scene: Scene,
    *,
    key: str,
    subject: str,
    alt: str,
    levels: Sequence[float] | None = None,
    overlays: Sequence[Overlay] = (),
    oldest: pd.Timestamp | None = None,
    parameter: str = "",
) -> None:
    """A fan chart to work in.

    Args:
        figure: The chart, drawn of `scene`.
        scene: Its data.
        key: Its key on the page, and its file name as a picture.
        subject: What the view belongs to: another subject opens with the range of its figure.
        alt: Alternative text.
        levels: The levels that the figure has; None on a page without their field.
        overlays: The lines over the fan that the figure has.
        oldest: Time of the first bar that could be drawn, where the scene begins later: the bars
            between come with the next run after they are asked for.
        parameter: The parameter of the link that has the view; "" for none.
    """
    own_key = f"{key}_chart"

    def take_level() -> None:
        sent = st.session_state.get(own_key) or {}
        take_from_chart(sent.get("level"), decimals=scene.decimals)

    def take_older() -> None:
        sent = st.session_state.get(own_key) or {}
        if sent.get("older") == scene.n_history:  # not what an earlier figure asked for
            st.session_state[_OLDER] = {subject: 2 * scene.n_history}

    with st.container(key=key):
        _component(
            key=own_key,
            data=component_data(figure, scene, key, subject, alt, levels, overlays)
            | {
                "older": 0 if oldest is None else scene.n_history,
                "oldest": None if oldest is None else oldest.timestamp(),
                "parameter": parameter,
            },
            on_level_change=take_level,
            on_older_change=take_older,
        )


def n_history(subject: str) -> int:
    """Bars to draw before the origin: twice as many whenever the view comes near the first."""
    n: int = st.session_state.get(_OLDER, {}).get(subject, MAX_HISTORY)
    return n


def component_data(
    figure: go.Figure,
    scene: Scene,
    key: str,
    subject: str,
    alt: str,
    levels: Sequence[float] | None = None,
    overlays: Sequence[Overlay] = (),
) -> dict[str, Any]:
    """What the component draws, as JSON can hold it."""
    drawn = figure.to_dict()
    drawn["layout"].pop("template", None)  # the component has one of the colours of the page
    keys = {k: what for k, what in KEYS.items() if levels is not None or k not in _LEVEL_KEYS}
    low, high = scene.extents([overlay.rows for overlay in overlays])
    return {
        "figure": to_json_plotly(drawn),
        "subject": subject,
        "unit": scene.view,
        "times": scene.moments.as_unit("s").asi8.tolist(),
        "low": _plain(low),
        "high": _plain(high),
        "volume": _plain(scene.volume_extent()) if scene.has_volume else None,
        "levels": None if levels is None else [scene.on_axis(level) for level in levels],
        "last": scene.last_close,
        "decimals": scene.decimals,
        "name": f"{key}-chart",
        "alt": alt,
        "keys": [[key, what] for key, what in keys.items()],
        "spoken": "Keys: "
        + ", ".join(f"{_SPOKEN.get(key, key)} {what}" for key, what in keys.items())
        + ".",
        "script": script_name(),
    }


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, which has no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]
