"""Horizontal levels of the visitor's own: their field, and their text in a link.

The text is the only place that holds them: the field, the link and the chart read and write it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import streamlit as st

from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui.chart.layers import level_text
from pages.ui.chart.scene import build_scene
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain

KEY = "levels"
MAX_LEVELS = 8
MAX_CHARS = 200
_INSTRUMENT = "levels_of"
# A comma parts two levels where a space follows it, so that 8,300 is refused and is not two.
_BETWEEN = re.compile(r"[;\s]+|,(?=\s|$)")
# As the pages write prices: only with the point is it sure that the comma is no decimal one.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+\.\d+")


def read_levels(text: str) -> tuple[tuple[float, ...], list[str]]:
    """The levels of a text, rising and once each, and the pieces that are no price."""
    found: set[float] = set()
    bad: list[str] = []
    for piece in filter(None, _BETWEEN.split(text[:MAX_CHARS])):
        try:
            level = float(piece.replace(",", "") if _GROUPED.fullmatch(piece) else piece)
        except ValueError:
            level = math.nan
        if math.isfinite(level) and level > 0 and len(found) < MAX_LEVELS:
            found.add(level)
        else:
            bad.append(piece)
    return tuple(sorted(found)), bad


def levels_text(levels: Sequence[float]) -> str:
    """Levels as the text that `read_levels` reads."""
    return " ".join(f"{level:.12g}" for level in sorted(set(levels)))


def choose_levels(symbol: str) -> tuple[float, ...]:
    """The field of the levels; they go when another instrument is opened."""
    state = st.session_state
    if state.setdefault(_INSTRUMENT, symbol) != symbol:
        state[_INSTRUMENT], state[KEY] = symbol, ""
    text = st.text_input(
        "Levels on the chart",
        key=KEY,
        bind="query-params",
        placeholder="Prices, with spaces",
        max_chars=MAX_CHARS,
        help="Lines on the chart, each with its P(touch). On the chart, the key L puts one at the "
        "crosshair, Delete removes it.",
    )
    levels, bad = read_levels(text or "")
    if bad:
        st.caption(
            f"No level: {plain(' '.join(bad)[:40])}. Write up to {MAX_LEVELS} prices with spaces "
            "between them."
        )
    return levels


def show_levels(candles: Candles, forecast: Forecast | None, levels: Sequence[float]) -> None:
    """What the chart writes on its levels, as text: distance and, over a fan, P(touch)."""
    if levels:
        scene = build_scene(candles, forecast, view="price")
        lines = (plain(level_text(scene, level)) for level in reversed(levels))
        st.caption("  \n".join(lines), help=meaning("P(touch)"))


def take_from_chart(change: object, *, decimals: int) -> None:
    """Add or remove the level that the chart reports; anything else is ignored.

    Args:
        change: What the browser sent: {"add": price} or {"remove": price}.
        decimals: Digits after the point of a price.
    """
    if not isinstance(change, dict):
        return
    levels, _ = read_levels(str(st.session_state.get(KEY) or ""))
    added, removed = (_price(change.get(name)) for name in ("add", "remove"))
    if added is not None and round(added, decimals) > 0 and len(levels) < MAX_LEVELS:
        levels = (*levels, round(added, decimals))
    if removed is not None and levels:
        nearest = min(levels, key=lambda level: abs(level - removed))
        levels = tuple(level for level in levels if level != nearest)
    st.session_state[KEY] = levels_text(levels)


def _price(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None
