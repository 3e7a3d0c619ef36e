"""The loss that weights are learned by: that of the combined fan, not of its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kronos.evaluation.scores import pinball

__all__ = ["combined", "combined_loss", "constant_scores", "objective", "softmax"]

_SMALLEST_CURVATURE = 1e-3
_STEPS, _RATE = 150, 0.3


def softmax(scores: np.ndarray) -> np.ndarray:
    """(n, M) weights of scores (n, M): positive, with a sum of 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def combined(weights: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """(n, L) quantiles averaged level by level over members: weights (n, M), (n, M, L)."""
    return np.einsum("nm,nml->nl", weights, quantiles)


def combined_loss(
    weights: np.ndarray, quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """(n,) pinball loss of the combined fan."""
    return np.asarray(pinball(outcomes[:, None] - combined(weights, quantiles), levels).mean(-1))


def objective(
    quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray
) -> Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]]:
    """Gradient and curvature of the loss in the scores, as LightGBM asks for them.

    With weights w = softmax(s) and g the derivative of the loss in the weights, the derivative in
    the scores is w * (g - sum(w * g)). The curvature is that of the softmax, which is positive
    where the loss itself is piecewise straight.
    """
    unit = float(pinball(outcomes[:, None, None] - quantiles, levels).mean()) or 1.0

    def derivatives(scores: np.ndarray, _: Any) -> tuple[np.ndarray, np.ndarray]:
        weights = softmax(scores.reshape(quantiles.shape[:2]))
        errors = outcomes[:, None] - combined(weights, quantiles)
        slopes = np.where(errors > 0, -levels, 1.0 - levels) / unit
        by_weight = np.einsum("nl,nml->nm", slopes, quantiles) / len(levels)
        mean = (weights * by_weight).sum(axis=1, keepdims=True)
        curvature = np.maximum(weights * (1.0 - weights), _SMALLEST_CURVATURE)
        return weights * (by_weight - mean), curvature

    return derivatives


def constant_scores(quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(M,) scores of the best weights that depend on nothing, by Newton's steps.

    Trees are grown on top of them: a tree that finds nothing to split by adds nothing, so that
    trees alone would leave the weights equal where one member is better everywhere.
    """
    derivatives = objective(quantiles, outcomes, levels)
    scores = np.zeros(quantiles.shape[1])
    for _ in range(_STEPS):
        slope, curvature = derivatives(np.tile(scores, (len(outcomes), 1)), None)
        scores -= _RATE * slope.mean(axis=0) / curvature.mean(axis=0)
    return np.asarray(np.clip(scores - scores.mean(), -5.0, 5.0))
