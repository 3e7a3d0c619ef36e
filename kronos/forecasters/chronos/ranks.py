"""Paths out of marginals: the Schaake shuffle.

A model that gives quantiles of every step alone says nothing of how steps and columns hang
together. That is borrowed from reference paths: at every step and in every column, path i gets the
value that has, in the model's distribution, the rank that reference path i has among the reference
paths. The marginals are the model's, the dependence is the reference's.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

__all__ = ["borrow_ranks"]


def borrow_ranks(reference: np.ndarray, levels: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Paths with the quantiles of a model and the ranks of a reference.

    Between levels, quantiles are interpolated over the normal score of the level, and beyond the
    outermost they go on with the slope of the last two: tails like a normal distribution's.

    Args:
        reference: (N, H, V) paths.
        levels: (Q,) increasing, within 0 and 1.
        quantiles: (H, V, Q), increasing in the last axis.

    Returns:
        (N, H, V) paths.
    """
    n = len(reference)
    ranks = reference.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    wanted = _scores((np.arange(n) + 0.5) / n)
    values = _interpolate(wanted, _scores(levels), quantiles)  # (N, H, V), in order of N
    return np.take_along_axis(values, ranks, axis=0)


def _interpolate(at: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Piecewise linear functions through (knots, values (..., Q)) at N places: (N, ...)."""
    piece = np.clip(np.searchsorted(knots, at) - 1, 0, len(knots) - 2)
    share = (at - knots[piece]) / (knots[piece + 1] - knots[piece])
    low, high = values[..., piece], values[..., piece + 1]
    return np.moveaxis(low + share * (high - low), -1, 0)


def _scores(shares: np.ndarray) -> np.ndarray:
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(share)) for share in shares])
