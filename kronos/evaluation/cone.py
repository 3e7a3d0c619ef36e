"""The baseline a fan has to beat: a driftless random walk with EWMA volatility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kronos.errors import InvalidCandles

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles

DECAY = 0.94
WARMUP = 20
VOLATILITY_BARS = 500
"""Bars read for the volatility at an origin; older ones have no weight."""


def ewma_volatility(closes: np.ndarray, decay: float = DECAY) -> float:
    """Standard deviation of one bar's log-return at the end of `closes` (T,).

    Exponentially weighted squares, started from the variance of the first 20 returns
    (RiskMetrics, decay .94).

    Raises:
        InvalidCandles: Fewer than 21 closes.
    """
    returns = np.diff(np.log(np.asarray(closes, dtype=np.float64)))
    if len(returns) < WARMUP:
        raise InvalidCandles(f"Volatility needs {WARMUP + 1} closes, found {len(closes)}.")
    variance = float(np.mean(returns[:WARMUP] ** 2))
    for r in returns[WARMUP:].tolist():  # whose floats take a third of the time of numpy's
        variance = decay * variance + (1 - decay) * r * r
    return float(np.sqrt(variance))


def origin_volatility(candles: Candles, origin: pd.Timestamp) -> float | None:
    """Volatility of one bar at an origin, from bars up to it; None with too few or still ones."""
    end = candles.position_of(origin) + 1
    return recent_volatility(candles.frame["close"].to_numpy()[:end])


def recent_volatility(closes: np.ndarray) -> float | None:
    """Volatility of one bar at the end of closes (T,); None with too few or still closes."""
    try:
        return ewma_volatility(closes[-VOLATILITY_BARS:]) or None
    except InvalidCandles:
        return None


def cone_scale(sigma: float, horizon: int) -> np.ndarray:
    """Standard deviations of the log-return from the origin, at every step: (H,)."""
    return sigma * np.sqrt(np.arange(1, horizon + 1))
