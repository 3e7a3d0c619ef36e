"""Scores of sampled log-returns, by scoringrules; horizons stay separate until the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scoringrules

Z80 = 1.2815515655446004
"""Half width of the central 80% of a standard normal."""


@dataclass(frozen=True, slots=True, eq=False)
class FanScores:
    """Scores of one forecast at every step, each (H,).

    Attributes:
        crps: Continuous ranked probability score over sigma * sqrt(h).
        inside: Whether the outcome lay between p10 and p90.
        width: p90 - p10 over sigma * sqrt(h).
    """

    crps: np.ndarray
    inside: np.ndarray
    width: np.ndarray


def score_paths(actual: np.ndarray, paths: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores sampled log-returns.

    Args:
        actual: (H,) log-returns from the origin that happened.
        paths: (N, H) sampled log-returns from the origin; N at least 2.
        scale: (H,) sigma * sqrt(h), which makes assets and horizons comparable.

    The CRPS is the fair estimator, which does not favour small ensembles, in the form of
    probability-weighted moments: N log N, where comparing all pairs takes N * N memory.
    """
    crps = scoringrules.crps_ensemble(actual, paths.T, estimator="pwm")
    low, high = np.quantile(paths, (0.1, 0.9), axis=0)
    return FanScores(crps / scale, (actual >= low) & (actual <= high), (high - low) / scale)


def score_cone(actual: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores the normal cone of standard deviation `scale` in closed form: all (H,)."""
    crps = scoringrules.crps_normal(actual, 0.0, scale)
    return FanScores(crps / scale, np.abs(actual) <= Z80 * scale, np.full(len(scale), 2 * Z80))
