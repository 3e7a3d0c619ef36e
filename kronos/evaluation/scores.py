"""Scores of sampled log-returns; horizons stay separate until the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Z80 = 1.2815515655446004
"""Half width of the central 80% of a standard normal."""


@dataclass(frozen=True, slots=True, eq=False)
class FanScores:
    """Scores of one forecast at every step, each (H,).

    Attributes:
        crps: Continuous ranked probability score over sigma * sqrt(h).
        inside: Whether the outcome lay between p10 and p90.
        width: p90 - p10 over sigma * sqrt(h).
        error: Distance of the outcome from the median, over sigma * sqrt(h).
    """

    crps: np.ndarray
    inside: np.ndarray
    width: np.ndarray
    error: np.ndarray


def score_paths(actual: np.ndarray, paths: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores sampled log-returns.

    Args:
        actual: (H,) log-returns from the origin that happened.
        paths: (N, H) sampled log-returns from the origin; N at least 2.
        scale: (H,) sigma * sqrt(h), which makes assets and horizons comparable.
    """
    crps = fair_crps(actual, paths)
    low, median, high = np.quantile(paths, (0.1, 0.5, 0.9), axis=0)
    return FanScores(
        crps / scale,
        (actual >= low) & (actual <= high),
        (high - low) / scale,
        np.abs(actual - median) / scale,
    )


def fair_crps(actual: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """CRPS of samples (N, H) against outcomes (H,): (H,), in their units; N at least 2.

    The fair estimator, which does not favour small ensembles, in the form of probability-weighted
    moments: N log N, where comparing all pairs takes N * N memory.
    """
    n = len(paths)
    weights = 2.0 * np.arange(1, n + 1) - n - 1.0
    spread = weights @ np.sort(paths, axis=0) / (n * (n - 1))
    return np.asarray(np.abs(paths - actual).mean(axis=0) - spread)


def score_cone(actual: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores the normal cone of standard deviation `scale` in closed form: all (H,)."""
    from scipy.special import ndtr

    z = actual / scale
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    crps = z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)
    return FanScores(crps, np.abs(z) <= Z80, np.full(len(scale), 2 * Z80), np.abs(z))
