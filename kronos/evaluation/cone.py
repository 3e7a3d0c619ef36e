"""The baseline a fan has to beat: a driftless random walk with EWMA volatility."""

from __future__ import annotations

import numpy as np

from kronos.errors import InvalidCandles

DECAY = 0.94
WARMUP = 20


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
    for r in returns[WARMUP:]:
        variance = decay * variance + (1 - decay) * r * r
    return float(np.sqrt(variance))


def cone_scale(sigma: float, horizon: int) -> np.ndarray:
    """Standard deviations of the log-return from the origin, at every step: (H,)."""
    return sigma * np.sqrt(np.arange(1, horizon + 1))
