"""Past bars drawn in blocks."""

from __future__ import annotations

import numpy as np

from kronos.forecasters.baselines.history import History, Moves


def block_bootstrap(history: History, noise: np.ndarray) -> Moves:
    """Bars of the past, gaps, wicks and volume included, in blocks of geometric length.

    The stationary bootstrap: every step continues with the next bar of the past or, once in
    `block_length` steps on average, starts a new block at a random bar. The first bar follows the
    last.
    """
    n = len(history.returns)
    bars = block_rows(n, noise, block_length(n))
    return Moves(history.returns[bars], bars, np.ones(bars.shape))


def block_rows(n: int, noise: np.ndarray, length: float) -> np.ndarray:
    """Rows of a series in blocks of geometric length: (N, H).

    Args:
        n: Rows of the series.
        noise: (N, H, 2) numbers in [0, 1).
        length: Mean length of a block.
    """
    begins = noise[..., 0] < 1.0 / length
    begins[:, 0] = True
    starts = np.floor(noise[..., 1] * n).astype(int)
    steps = np.arange(noise.shape[1])
    latest = np.maximum.accumulate(np.where(begins, steps, 0), axis=1)
    return (np.take_along_axis(starts, latest, axis=1) + steps - latest) % n


def block_length(n_returns: int) -> float:
    """Mean length of a block: the cube root of the number of returns, at least 2."""
    return max(2.0, n_returns ** (1 / 3))
