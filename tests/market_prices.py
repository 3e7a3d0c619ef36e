"""Prices as a function of time, so that every bar of the loopback markets can be told in advance.

Bars of one symbol agree with one another whatever their width, and with themselves whenever they
are asked for, except that an open bar ends now.
"""

from __future__ import annotations

import zlib

import numpy as np

_SAMPLES = 12


def price(symbol: str, seconds: np.ndarray) -> np.ndarray:
    """Price at times, in seconds since 1970; positive, and never the same for long."""
    phase = zlib.crc32(symbol.encode()) % 1000
    level = 20 + phase / 5
    slow = 0.2 * np.sin(seconds / 86400 / 41 + phase) + 0.05 * np.sin(seconds / 86400 / 5.3)
    fast = 0.01 * np.sin(seconds / 3600 / 2.7 + phase) + 0.002 * np.sin(seconds / 60 / 3.1)
    return level * np.exp(slow + fast)


def bars(symbol: str, opens: np.ndarray, ends: np.ndarray, now: float) -> np.ndarray:
    """(T, 5) open, high, low, close, volume of bars; an end behind `now` is moved to it.

    Args:
        symbol: Of the instrument.
        opens: (T,) open times in seconds since 1970.
        ends: (T,) when the bars end.
        now: The markets' time.
    """
    until = np.minimum(ends, max(now, 0.0))
    until = np.maximum(until, opens)
    steps = np.linspace(0.0, 1.0, _SAMPLES)
    prices = price(symbol, opens[:, None] + (until - opens)[:, None] * steps)
    volume = np.floor(100 + (until - opens) * (1.5 + np.sin(opens / 7000.0)))
    columns = (prices[:, 0], prices.max(axis=1), prices.min(axis=1), prices[:, -1], volume)
    return np.column_stack(columns)
