"""Whether a signal puts instruments in the right order, date by date."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kronos.evaluation.significance import newey_west
from kronos.portfolio.market import Market

__all__ = ["RankIC", "forward_returns", "newey_west_t", "rank_ic"]


@dataclass(frozen=True, slots=True, eq=False)
class RankIC:
    """Rank correlation of scores with what came.

    Attributes:
        values: (R,) Spearman's correlation across instruments at every rebalance; NaN where fewer
            than two have both a score and an outcome, or all are equal.
        t: Of the mean, with Newey and West's standard error; NaN for fewer than three values.
    """

    values: np.ndarray
    t: float

    @property
    def n(self) -> int:
        """Rebalances with a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """Mean over the rebalances."""
        return float(np.nanmean(self.values)) if self.n else float("nan")

    @property
    def icir(self) -> float:
        """Mean over standard deviation."""
        spread = float(np.nanstd(self.values, ddof=1)) if self.n > 1 else 0.0
        return self.mean / spread if spread > 0.0 else float("nan")


def forward_returns(market: Market, dates: np.ndarray, horizon: int) -> np.ndarray:
    """What could have been earned on a decision: (R, I).

    The log-return from the open after the decision to the close `horizon` bars after it. NaN where
    nothing could be bought at that open, or the calendar ends before.
    """
    earned = np.full((len(dates), len(market.names)), np.nan)
    for r, at in enumerate(dates):
        if at + horizon < len(market.index):
            with np.errstate(invalid="ignore"):
                moves = np.log(market.closes[at + horizon]) - np.log(market.opens[at + 1])
            earned[r] = np.where(market.can_buy[at + 1], moves, np.nan)
    return earned


def rank_ic(scores: np.ndarray, earned: np.ndarray, *, overlap: int = 1) -> RankIC:
    """Rank correlation at every rebalance.

    Args:
        scores: (R, I).
        earned: (R, I) outcomes.
        overlap: Rebalances over which one outcome reaches: as many neighbours hang together.
    """
    from scipy.stats import spearmanr

    values = np.full(len(scores), np.nan)
    for r in range(len(scores)):
        both = np.isfinite(scores[r]) & np.isfinite(earned[r])
        x, y = scores[r, both], earned[r, both]
        if len(x) > 1 and np.ptp(x) > 0.0 and np.ptp(y) > 0.0:
            values[r] = spearmanr(x, y).statistic
    return RankIC(values, newey_west_t(values[np.isfinite(values)], lags=overlap - 1))


def newey_west_t(values: np.ndarray, *, lags: int) -> float:
    """t of the mean of a series (T,), with Newey and West's standard error.

    Args:
        values: The series.
        lags: Neighbours taken to hang together, at least; no fewer than the usual
            4 (T/100)^(2/9).

    Returns:
        NaN for fewer than three values, or values that do not vary.
    """
    n = len(values)
    if n < 3:
        return float("nan")
    n_lags = min(max(lags, math.floor(4 * (n / 100) ** (2 / 9))), n - 1)
    error = math.sqrt(max(newey_west(values, n_lags), 0.0) / n)
    return float(values.mean()) / error if error > 1e-15 else float("nan")
