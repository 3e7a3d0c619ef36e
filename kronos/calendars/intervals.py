"""Bar widths: their names, and inferring the width from timestamps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.errors import InvalidCandles

__all__ = ["INTERVALS", "infer_interval", "interval_width", "is_intraday"]

_NAMES = (
    *("1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m", "45m", "90m"),
    *("1h", "2h", "3h", "4h", "6h", "8h", "12h", "1d", "1w"),
)
_UNITS = {"m": "min", "h": "h", "d": "D", "w": "W"}

INTERVALS: dict[str, pd.Timedelta] = {
    name: pd.Timedelta(int(name[:-1]), _UNITS[name[-1]])  # type: ignore[arg-type]
    for name in _NAMES
}
"""Every interval by name, narrowest first."""

# Smallest share of the most common spacing for evenly spaced bars.
_MIN_SHARE = 0.25


def interval_width(interval: str) -> pd.Timedelta:
    """Width of a bar.

    Raises:
        InvalidCandles: The name is not one of `INTERVALS`.
    """
    try:
        return INTERVALS[interval]
    except KeyError:
        raise InvalidCandles(
            f"Unknown interval {interval!r}; the intervals are {', '.join(INTERVALS)}."
        ) from None


def is_intraday(interval: str) -> bool:
    """Whether several bars fall on one day."""
    return interval_width(interval) < pd.Timedelta(days=1)


def infer_interval(index: pd.DatetimeIndex) -> str:
    """Name of the most common spacing between consecutive bars.

    Nights, weekends, holidays and missing bars only add wider, rarer spacings. Days and weeks are
    recognised across clock changes (23 or 25 hours).

    Args:
        index: At least two distinct timestamps, in any order, with or without a zone.

    Raises:
        InvalidCandles: Fewer than two timestamps, no dominant spacing, or a width that is not
            one of `INTERVALS`.
    """
    stamps = np.unique(index.as_unit("s").asi8)
    if stamps.size < 2:
        raise InvalidCandles(
            f"The interval cannot be inferred from {stamps.size} distinct timestamp(s); "
            "give at least two bars."
        )
    seconds = _without_clock_changes(np.diff(stamps))
    widths, counts = np.unique(seconds, return_counts=True)
    best = int(np.argmax(counts))  # the narrowest of equally common widths
    width, share = int(widths[best]), counts[best] / seconds.size
    found = ", ".join(
        f"{pd.Timedelta(seconds=int(widths[i]))} ({counts[i]} times)"
        for i in np.argsort(-counts, kind="stable")[:3]
    )
    if 28 * 86400 <= width <= 31 * 86400:
        raise InvalidCandles(
            "The bars are a month apart. Monthly bars are not supported; the widest interval "
            "is 1w. Export weekly or daily bars."
        )
    if share < _MIN_SHARE:
        raise InvalidCandles(
            f"The bars are not evenly spaced: the most common spacings are {found}. "
            "Resample the data to one of " + ", ".join(INTERVALS) + "."
        )
    for name, known in INTERVALS.items():
        if int(known.total_seconds()) == width:
            return name
    raise InvalidCandles(
        f"A spacing of {pd.Timedelta(seconds=width)} is not a supported interval "
        f"(found {found}). The intervals are {', '.join(INTERVALS)}."
    )


def _without_clock_changes(seconds: np.ndarray) -> np.ndarray:
    """Spacings of about a day or more, rounded to whole days: 23 and 25 hours are a day."""
    days = np.rint(seconds / 86400)
    near = (days >= 1) & (np.abs(seconds - days * 86400) <= 3600)
    return np.where(near, days * 86400, seconds).astype(np.int64)
