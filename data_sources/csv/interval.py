"""The width of a bar: found in the spacing of the rows, or chosen and checked against it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.calendars.intervals import infer_interval, interval_width
from kronos.errors import InvalidCandles

__all__ = ["settle_interval"]

# Steps narrower than the chosen interval that may be half bars at the edge of a session.
_MAX_NARROWER = 0.1
# A sparse file still has this share of bars next to each other, and the other steps are gaps of
# whole bars, save this share (nights and lunch breaks).
_MIN_ADJACENT, _MIN_WHOLE = 0.05, 0.75


def settle_interval(index: pd.DatetimeIndex, chosen: str | None) -> tuple[str, str]:
    """Width of a bar, and what was assumed in saying so ("" if nothing).

    Args:
        index: Sorted distinct open times, at least two.
        chosen: The user's answer, or None to read it off the rows.

    Raises:
        InvalidCandles: Nothing was chosen and the rows do not show a supported interval, or
            the chosen one is unknown or contradicts the rows.
    """
    if chosen is None:
        return infer_interval(index), ""
    width = int(interval_width(chosen).total_seconds())
    try:
        found = infer_interval(index)
    except InvalidCandles:
        found = None
    if found == chosen:
        return chosen, ""
    steps = _steps(index, width)
    adjacent = int((steps == width).sum())
    is_whole = (steps >= width) & (steps % width == 0)
    if (steps < width).mean() <= _MAX_NARROWER:
        if adjacent >= _MIN_ADJACENT * steps.size and is_whole.mean() >= _MIN_WHOLE:
            return chosen, (
                f"the bars are {chosen} wide, as chosen; only {adjacent:,} of {steps.size:,} "
                "steps are that wide, and the wider ones are taken for missing bars"
            )
        if found is None and width <= np.quantile(steps, 0.05) < 2 * width:
            # Sessions that no whole number of bars fills have steps such as 3 hours 30 minutes.
            return chosen, f"the bars are {chosen} wide, as chosen; their spacing does not show it"
    widths, counts = np.unique(steps, return_counts=True)
    common = ", ".join(
        f"{pd.Timedelta(seconds=int(widths[i]))} ({counts[i]:,} of {steps.size:,})"
        for i in np.argsort(-counts, kind="stable")[:3]
    )
    advice = f"Choose {found} or leave the interval open" if found else "Choose another interval"
    raise InvalidCandles(
        f"The interval {chosen} was chosen, but it does not fit the bars: their most common "
        f"spacings are {common}. {advice}, or resample the data."
    )


def _steps(index: pd.DatetimeIndex, width: int) -> np.ndarray:
    """Seconds from bar to bar; for days and weeks, clock changes (23 or 25 hours) are levelled."""
    steps = np.diff(index.as_unit("s").asi8)
    if width < 86400:
        return steps
    days = np.rint(steps / 86400).astype(np.int64)
    return np.where((days >= 1) & (np.abs(steps - days * 86400) <= 3600), days * 86400, steps)
