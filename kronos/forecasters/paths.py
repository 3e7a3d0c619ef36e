"""Sampled candles: anchored to the last close, made valid, and drawn from quantiles."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from kronos.context import CLOSE, PRICES, VOLUME, Context

PRICE_FLOOR = 1e-3
"""Lowest price a forecast may show, as a share of the last close."""


def anchor_factor(last_close: float, decoded: float) -> float:
    """Factor of prices that turns the decoded last close into the true one."""
    # A decoded close far off means that the tokenizer failed on this bar; the factor would carry
    # that error to the whole fan.
    factor = last_close / decoded if decoded > 0 else 1.0
    return factor if 0.5 < factor < 2.0 else 1.0


def make_valid(paths: np.ndarray, context: Context) -> np.ndarray:
    """Make candles (N, H, 6) valid in place; see `Forecaster.forecast`."""
    valid_prices(paths, context.values[-1, CLOSE])
    traded = context.values[:, VOLUME:].any(axis=0)
    paths[..., VOLUME:] = np.where(traded, np.maximum(paths[..., VOLUME:], 0.0), 0.0)
    return paths


def valid_prices(paths: np.ndarray, last_close: float) -> np.ndarray:
    """Make the prices of candles (N, H, 6) valid in place: above the floor, within low and high."""
    prices: np.ndarray = paths[..., PRICES]
    np.maximum(prices, PRICE_FLOOR * last_close, out=prices)
    paths[..., 1], paths[..., 2] = prices.max(axis=-1), prices.min(axis=-1)
    return paths


def borrow_ranks(reference: np.ndarray, levels: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Paths with the quantiles of a model and the ranks of a reference: the Schaake shuffle.

    Quantiles of single steps do not determine how steps and columns depend on each other. The
    dependence comes from the reference: at every step and in every column, path i gets the value
    whose rank in the model's distribution is that of reference path i among the reference paths.

    Between levels, quantiles are interpolated over the normal score of the level. Beyond the
    outermost they continue with the slope of the last two, like the tails of a normal distribution.

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
    """Piecewise linear functions through (knots, values (..., Q)) at N points: (N, ...)."""
    piece = np.clip(np.searchsorted(knots, at) - 1, 0, len(knots) - 2)
    share = (at - knots[piece]) / (knots[piece + 1] - knots[piece])
    low, high = values[..., piece], values[..., piece + 1]
    return np.moveaxis(low + share * (high - low), -1, 0)


def _scores(shares: np.ndarray) -> np.ndarray:
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(share)) for share in shares])
