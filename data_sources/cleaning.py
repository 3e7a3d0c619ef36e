"""Bars as vendors give them, put in order. Nothing is invented: what cannot be used is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.candles import PRICES

__all__ = ["LIKELY_ROUNDING", "mend_bars"]

LIKELY_ROUNDING = 1e-6
"""Relative error that rescaling and rounding of prices leaves."""
# By how much of the close an open or close may lie outside high and low and still be taken for
# what was traded; beyond, one of the four is wrong and nobody can tell which.
_SMALL = 0.02


def mend_bars(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Bars sorted, each time once, with usable prices only; and what was done to them.

    Left out and counted: bars without one of the four prices, with a price that is not above 0,
    and with open or close far outside low and high. Where open or close lie outside by little,
    high and low are widened to them. Of bars given twice the later one is kept. A volume that is
    missing or negative becomes 0, which means unknown.

    Args:
        bars: Columns open, high, low, close, volume; aware open times, in any order.

    Returns:
        The usable bars, in order, and a sentence for each thing that was done.
    """
    notes: list[str] = []
    prices = bars[list(PRICES)].to_numpy(float)
    missing = ~np.isfinite(prices).all(axis=1)
    worthless = ~missing & (prices <= 0).any(axis=1)
    for chosen, what in (
        (missing, "without all four prices"),
        (worthless, "with a price that is not above 0"),
    ):
        _note_left_out(notes, bars.index[chosen], what)
    kept = bars[~missing & ~worthless]
    kept = _each_once(kept, notes).sort_index()
    kept = _widen(kept, notes)
    volume = kept["volume"].to_numpy(float)
    known = np.isfinite(volume) & (volume > 0)
    return kept.assign(volume=np.where(known, volume, 0.0)), notes


def _each_once(bars: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    once = bars[~bars.index.duplicated(keep="last")]
    if len(once) < len(bars):
        differing = bars.reset_index().drop_duplicates()
        n_conflicts = int(differing[bars.index.name or "index"].duplicated().sum())
        if n_conflicts:
            notes.append(
                f"{_count(n_conflicts)} given twice with different values; the later one is used."
            )
    return once


def _widen(bars: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    opens, high, low, close = bars[list(PRICES)].to_numpy(float).T
    top, bottom = np.maximum(opens, close), np.minimum(opens, close)
    outside = np.maximum(np.maximum(top - high, low - bottom), 0.0) / close
    # A high below the low is no matter of little.
    wrong = (outside > _SMALL) | (high < low * (1 - LIKELY_ROUNDING))
    _note_left_out(notes, bars.index[wrong], "with open or close far outside low and high")
    widened = ~wrong & (outside > LIKELY_ROUNDING)
    if widened.any():
        notes.append(
            f"{_count(int(widened.sum()))} given with open or close outside low and high; there "
            "high and low are widened to them."
        )
    mended = bars.assign(high=np.maximum(high, top), low=np.minimum(low, bottom))
    return mended[~wrong]


def _note_left_out(notes: list[str], stamps: pd.Index, what: str) -> None:
    if not len(stamps):
        return
    days = pd.DatetimeIndex(stamps)
    first, last = days.min().date(), days.max().date()
    span = f"{first}" if first == last else f"{first} to {last}"
    notes.append(f"{_count(len(stamps))} left out, {what} ({span}).")


def _count(n: int) -> str:
    return f"{n:,} bars were" if n != 1 else "1 bar was"
