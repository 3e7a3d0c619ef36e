"""The Sharpe ratio after so many attempts (Bailey and López de Prado, 2014).

Of many strategies without any skill the best one shows a Sharpe ratio above 0. The deflated Sharpe
ratio is the probability that the true one is above what so many attempts bring by chance, given the
length of the record, its skewness and its kurtosis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kronos.errors import InvalidRequest
from kronos.portfolio.measures import sharpe_ratio

__all__ = ["Deflated", "deflated_sharpe", "expected_maximum", "probability_above"]

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Deflated:
    """A Sharpe ratio seen among all that were tried; ratios are a bar's, not a year's.

    Attributes:
        probability: That the true ratio is above `threshold`: the deflated Sharpe ratio. NaN
            where returns do not vary.
        threshold: Ratio that the best of so many attempts without skill is expected to show.
        n_trials: Attempts.
    """

    probability: float
    threshold: float
    n_trials: int


def deflated_sharpe(returns: np.ndarray, tried: np.ndarray, n_trials: int) -> Deflated:
    """The deflated Sharpe ratio of a strategy.

    Args:
        returns: (T,) of its bars.
        tried: Sharpe ratios, a bar's, of attempts, this one among them: they tell how much
            attempts differ.
        n_trials: Attempts in all, at least as many.

    Raises:
        InvalidRequest: There were fewer than that.
    """
    tried = tried[np.isfinite(tried)]
    if n_trials < len(tried):
        raise InvalidRequest(
            f"The number of trials must count the {len(tried)} signals tried here, found "
            f"{n_trials}."
        )
    spread = float(tried.var(ddof=1)) if len(tried) > 1 else 0.0
    threshold = expected_maximum(spread, n_trials)
    ratio = sharpe_ratio(returns)
    if math.isnan(ratio):
        return Deflated(float("nan"), threshold, n_trials)
    z = (returns - returns.mean()) / returns.std()
    probability = probability_above(
        ratio,
        threshold,
        n=len(returns),
        skewness=float((z**3).mean()),
        kurtosis=float((z**4).mean()),
    )
    return Deflated(probability, threshold, n_trials)


def expected_maximum(variance: float, n_trials: int) -> float:
    """Sharpe ratio that the best of so many attempts without skill is expected to show.

    Args:
        variance: Of the ratios of the attempts.
        n_trials: Attempts.
    """
    if n_trials < 2:
        return 0.0
    best = (1 - _EULER) * _NORMAL.inv_cdf(1 - 1 / n_trials)
    best += _EULER * _NORMAL.inv_cdf(1 - 1 / (n_trials * math.e))
    return math.sqrt(variance) * best


def probability_above(
    ratio: float, threshold: float, *, n: int, skewness: float, kurtosis: float
) -> float:
    """Probability that the true Sharpe ratio is above a threshold.

    Args:
        ratio: The one observed, a bar's like the threshold.
        threshold: To be exceeded.
        n: Returns observed.
        skewness: Of the returns.
        kurtosis: Of the returns; 3 for a normal distribution.
    """
    error = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if error <= 0.0 or n < 2:
        return float("nan")
    return _NORMAL.cdf((ratio - threshold) * math.sqrt(n - 1) / math.sqrt(error))
