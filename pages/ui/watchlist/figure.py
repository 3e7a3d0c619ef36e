"""The small fan of a line: the last closes and the quantiles that follow."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

import numpy as np

from pages.ui.chart.style import FAN, MEDIAN, NEUTRAL, faded
from pages.ui.watchlist.work import Summary

WIDTH, HEIGHT = 150, 40
_HISTORY = 0.42
"""Share of the width for the past closes."""
_POINTS = 24
"""Points of a curve: more are not visible at this size."""


@lru_cache(maxsize=1_000)
def fan_image(summary: Summary) -> str:
    """The picture as a data URL of an SVG, for light and dark themes alike.

    Cached, because the table is drawn again every second during a run.
    """
    n_past = min(len(summary.recent), max(summary.quantiles.shape[1], 8))
    past = summary.recent[-n_past:]
    fan = np.concatenate([np.full((3, 1), summary.last_close), summary.quantiles], axis=1)
    low, high = float(min(past.min(), fan.min())), float(max(past.max(), fan.max()))
    span = (high - low) or 1.0

    def across(values: np.ndarray, left: float, right: float) -> list[str]:
        points = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round())
        x = left + (right - left) * points / max(len(values) - 1, 1)
        y = 2 + (HEIGHT - 4) * (1 - (values[points.astype(int)] - low) / span)
        return [f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True)]

    now, end = WIDTH * _HISTORY, WIDTH - 2.0
    lower, median, upper = (across(curve, now, end) for curve in fan)
    origin = lower[0].partition(",")[2]
    shapes = (
        f"<polygon points='{' '.join(upper + lower[::-1])}' fill='{faded(FAN, 0.3)}' "
        f"stroke='{FAN}' stroke-width='.8'/>"
        f"<path d='M{now:.0f} {origin}H{end:.0f}' stroke='{NEUTRAL}' stroke-dasharray='2 3'/>"
        f"<polyline points='{' '.join(median)}' stroke='{MEDIAN}' stroke-width='1.8'/>"
        f"<polyline points='{' '.join(across(past, 2.0, now))}' stroke='{NEUTRAL}' "
        "stroke-width='1.3'/>"
    )
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' "
        f"viewBox='0 0 {WIDTH} {HEIGHT}' fill='none'>{shapes}</svg>"
    )
    return "data:image/svg+xml;utf8," + quote(svg, safe=" ='/:,.()-")
