"""Whether losses exceed a value at risk as often, and as irregularly, as they should."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.errors import InvalidRequest

__all__ = ["ExceedanceTests", "exceedance_tests"]


@dataclass(frozen=True, slots=True)
class ExceedanceTests:
    """Tests of a series of exceedances; probabilities below .05 speak against the forecaster.

    Attributes:
        n: Forecasts.
        exceeded: How many losses exceeded the value at risk.
        expected: How many should have.
        p_count: Whether that is the right share: the unconditional coverage of Kupiec 1995.
        p_independence: Whether an exceedance says nothing of the next forecast: Christoffersen
            1998. NaN where no loss exceeded or all did.
        p_both: Both at once: conditional coverage, Christoffersen 1998. NaN likewise.
    """

    n: int
    exceeded: int
    expected: float
    p_count: float
    p_independence: float
    p_both: float


def exceedance_tests(exceeded: np.ndarray, share: float) -> ExceedanceTests:
    """Likelihood ratio tests of Kupiec and Christoffersen.

    Args:
        exceeded: (n,) bool, whether the loss exceeded the value at risk, in order of time, from
            forecasts that do not overlap.
        share: Share that should exceed it: .05 for a value at risk of 95%.

    Raises:
        InvalidRequest: There are fewer than two forecasts, or the share is not between 0 and 1.
    """
    from scipy.special import chdtrc

    hits = np.asarray(exceeded, bool)
    if hits.ndim != 1 or len(hits) < 2 or not 0.0 < share < 1.0:
        raise InvalidRequest(
            "Tests of exceedances need 2 forecasts or more and a share between 0 and 1, found "
            f"{hits.shape} and {share:g}."
        )
    n, k = len(hits), int(hits.sum())
    count = 2.0 * (_log_likelihood(n - k, k, k / n) - _log_likelihood(n - k, k, share))
    independence = np.nan
    if 0 < k < n:
        before, after = hits[:-1], hits[1:]
        stays, starts = _counts(after[~before]), _counts(after[before])
        together = stays[0] + starts[0], stays[1] + starts[1]
        independence = 2.0 * (
            _fitted(*stays) + _fitted(*starts) - _fitted(*together)
        )  # fmt: skip
    return ExceedanceTests(
        n,
        k,
        share * n,
        float(chdtrc(1, max(count, 0.0))),
        float(chdtrc(1, max(independence, 0.0))) if k not in (0, n) else float("nan"),
        float(chdtrc(2, max(count + independence, 0.0))) if k not in (0, n) else float("nan"),
    )


def _counts(hits: np.ndarray) -> tuple[int, int]:
    k = int(hits.sum())
    return len(hits) - k, k


def _log_likelihood(misses: int, hits: int, share: float) -> float:
    from scipy.special import xlog1py, xlogy

    return float(xlog1py(misses, -share) + xlogy(hits, share))


def _fitted(misses: int, hits: int) -> float:
    return _log_likelihood(misses, hits, hits / max(misses + hits, 1))
