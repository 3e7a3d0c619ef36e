"""Random walks of normal steps."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from kronos.evaluation.cone import ewma_volatility
from kronos.forecasters.baselines.history import History, Moves, similar_bars

SMALLEST = 2.0**-54
"""Replaces a uniform number of 0, whose normal quantile would be infinite."""


def walk_with_drift(history: History, noise: np.ndarray) -> Moves:
    """Steps with the mean and the standard deviation of all past returns."""
    mean = float(history.returns.mean())
    return _walk(history, noise, mean, float(history.returns.std(ddof=1)))


def ewma_cone(history: History, noise: np.ndarray) -> Moves:
    """Steps without drift, of the EWMA volatility at the origin: the width grows as sqrt(h)."""
    closes = np.exp(np.concatenate([[0.0], np.cumsum(history.returns)]))
    return _walk(history, noise, 0.0, ewma_volatility(closes))


def _walk(history: History, noise: np.ndarray, mean: float, sigma: float) -> Moves:
    shocks = ndtri(np.maximum(noise[..., 0], SMALLEST))
    usual = float(history.returns.std()) or 1.0
    past = (history.returns - history.returns.mean()) / usual
    return Moves(
        returns=mean + sigma * shocks,
        bars=similar_bars(past, shocks, noise[..., 1]),
        scale=np.full(shocks.shape, sigma / usual),
    )
