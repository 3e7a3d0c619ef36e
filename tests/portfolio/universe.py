"""Universes made of numbers, for the laws of a backtest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.forecast import COLUMNS


def made(
    n_instruments: int = 6, n_bars: int = 120, *, seed: int = 0, has_volume: bool = True
) -> dict[str, Candles]:
    """Daily bars of instruments that are traded every day of the week."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=n_bars, tz="UTC", name="timestamp")
    found = {}
    for i in range(n_instruments):
        closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
        opens = np.concatenate([[100.0], closes[:-1]]) * np.exp(rng.normal(0.0, 0.005, n_bars))
        high, low = np.maximum(opens, closes) * 1.004, np.minimum(opens, closes) * 0.996
        volume = rng.lognormal(3.0, 0.4, n_bars) * has_volume
        values = np.stack([opens, high, low, closes, volume, volume * closes], axis=1)
        found[f"S{i}"] = of(pd.DataFrame(values, index, list(COLUMNS)), f"S{i}")
    return found


def of(frame: pd.DataFrame, symbol: str) -> Candles:
    """Daily candles of a frame."""
    return Candles(frame, "1d", "UTC", "24/7", symbol, "made of numbers")


def changed_after(candles: Candles, n_before: int, factor: float = 1.7) -> Candles:
    """The same bars up to a position, and others behind it."""
    frame = candles.frame.copy()
    frame.iloc[n_before:] *= factor
    return of(frame, candles.symbol)


def without(candles: Candles, bars: slice) -> Candles:
    """The bars without some of them."""
    return of(candles.frame.drop(candles.frame.index[bars]), candles.symbol)


def untraded(candles: Candles, bars: slice) -> Candles:
    """The bars, some of them without volume."""
    frame = candles.frame.copy()
    frame.iloc[bars, 4:] = 0.0
    return of(frame, candles.symbol)
