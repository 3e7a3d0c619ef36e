"""Uncertainty of a mean whose terms depend on their neighbours in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Tested", "block_bootstrap", "diebold_mariano", "newey_west", "paired_change"]

FEWEST_PAIRS = 10
"""Pairs below which a bootstrap says nothing of an interval."""


@dataclass(frozen=True, slots=True)
class Tested:
    """A test statistic and its probability under the null hypothesis.

    Attributes:
        statistic: Mean over its standard error.
        p: Two-sided probability.
    """

    statistic: float
    p: float


def newey_west(values: np.ndarray, lag: int) -> float:
    """Long-run variance of a series (n,), with Bartlett weights up to `lag` (Newey, West 1987)."""
    centred = values - values.mean()
    n = len(values)
    variance = float(centred @ centred) / n
    for k in range(1, min(lag, n - 1) + 1):
        variance += 2.0 * (1.0 - k / (lag + 1)) * float(centred[k:] @ centred[:-k]) / n
    return max(variance, 0.0)


def diebold_mariano(differences: np.ndarray, horizon: int = 1) -> Tested:
    """Whether two forecasters differ: the test of Diebold and Mariano, corrected for small samples.

    Args:
        differences: (n,) losses of one less those of the other, in order of time.
        horizon: Terms that overlap, h: each depends on the h - 1 after it. Source of the
            correction: Harvey, Leybourne and Newbold 1997.

    Returns:
        The statistic, below 0 where the first lost less; NaN where n is too small for h or the
        differences are constant.
    """
    from scipy.special import stdtr

    n, h = len(differences), horizon
    correction = (n + 1 - 2 * h + h * (h - 1) / max(n, 1)) / max(n, 1)
    variance = newey_west(differences, h - 1) if n else 0.0
    if n < 2 or h >= n or correction <= 0.0 or variance <= 0.0:
        return Tested(float("nan"), float("nan"))
    statistic = float(differences.mean() / np.sqrt(variance / n) * np.sqrt(correction))
    return Tested(statistic, float(2.0 * stdtr(n - 1, -abs(statistic))))


def block_bootstrap(n: int, block: int, n_draws: int, seed: int = 0) -> np.ndarray:
    """Draws n terms in order of time, in circular blocks of neighbours.

    Returns:
        (n_draws, n) counts; each row sums to n.
    """
    rng = np.random.default_rng(seed)
    length = max(1, min(block, n))
    n_blocks = -(-n // length)
    starts = rng.integers(0, n, (n_draws, n_blocks))
    places = (starts[:, :, None] + np.arange(length)).reshape(n_draws, -1)[:, :n] % n
    counts = np.zeros((n_draws, n))
    np.add.at(counts, (np.arange(n_draws)[:, None], places), 1.0)
    return counts


def paired_change(
    losses: np.ndarray, before: np.ndarray, *, block: int, n_draws: int = 2000
) -> dict[str, float]:
    """Relative change of a mean loss, with its 95% interval from a bootstrap of pairs.

    Args:
        losses: (n,) losses, in order of time.
        before: (n,) losses of what they are compared with, on the same windows.
        block: Neighbours that depend on one another; they are drawn together.
        n_draws: Draws of the bootstrap.

    Returns:
        change, below 0 where the loss has fallen; and change_low and change_high, its interval,
        unless there are fewer than `FEWEST_PAIRS` pairs.
    """
    found = {"change": float(losses.mean() / before.mean() - 1.0)}
    if len(losses) < FEWEST_PAIRS:
        return found
    sums = block_bootstrap(len(losses), block, n_draws) @ np.column_stack([losses, before])
    low, high = np.quantile(sums[:, 0] / sums[:, 1] - 1.0, (0.025, 0.975))
    return found | {"change_low": float(low), "change_high": float(high)}
