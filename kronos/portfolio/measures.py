"""Measures of a backtest: performance, rank correlation of its signal, deflated Sharpe ratio.

Rates are yearly, and the riskless rate counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kronos.errors import InvalidRequest
from kronos.evaluation.significance import newey_west
from kronos.portfolio.book import Book
from kronos.portfolio.market import Market

__all__ = [
    "Deflated",
    "Performance",
    "RankIC",
    "break_even_cost",
    "deflated_sharpe",
    "drawdown",
    "expected_maximum",
    "forward_returns",
    "newey_west_t",
    "performance",
    "probability_above",
    "rank_ic",
    "sharpe_ratio",
]

_SECONDS_A_YEAR = 365.25 * 86400
_EULER = 0.5772156649015329
_NORMAL = NormalDist()
MOST_COST = 0.05
"""Largest cost of a trade at which a break-even is sought."""


@dataclass(frozen=True, slots=True)
class Performance:
    """The performance of a book; returns and costs are shares, 0.02 is 2%.

    Attributes:
        total_return: From the first decision to the end.
        annual_return: Yearly rate that compounds to it; NaN for less than a month.
        annual_volatility: Standard deviation of the bars' returns, times the square root of the
            bars in a year.
        sharpe: Mean over standard deviation of the bars' returns, likewise.
        max_drawdown: Largest fall from an earlier high; at most 0.
        turnover: Half of the value bought and sold in a year, over the mean equity.
        costs: Total costs over the capital.
        n_trades: Fills.
        n_lapsed: Orders that could not be filled.
    """

    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float
    max_drawdown: float
    turnover: float
    costs: float
    n_trades: int
    n_lapsed: int


def _years_of(book: Book) -> float:
    seconds = (book.index[-1] - book.index[0]).total_seconds()
    return max(seconds, 1.0) / _SECONDS_A_YEAR


def performance(book: Book) -> Performance:
    """Measure a book."""
    years, returns = _years_of(book), book.returns
    total = float(book.equity[-1] / book.equity[0])
    scale = np.sqrt(len(returns) / years)
    return Performance(
        total_return=total - 1.0,
        annual_return=total ** (1.0 / years) - 1.0 if years > 1 / 12 else float("nan"),
        annual_volatility=float(returns.std(ddof=1) * scale) if len(returns) > 1 else float("nan"),
        sharpe=sharpe_ratio(returns) * float(scale),
        max_drawdown=float(drawdown(book.equity).min()),
        turnover=float(book.trades["value"].sum() / 2 / book.equity.mean() / years),
        costs=book.costs_paid / float(book.equity[0]),
        n_trades=len(book.trades),
        n_lapsed=book.n_lapsed,
    )


def sharpe_ratio(returns: np.ndarray) -> float:
    """Mean over standard deviation of the bars' returns (T,); NaN where they do not vary."""
    spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return float(returns.mean()) / spread if spread > 0.0 else float("nan")


def drawdown(equity: np.ndarray) -> np.ndarray:
    """Fall from the highest value so far: (B,), at most 0."""
    return equity / np.maximum.accumulate(equity) - 1.0


def break_even_cost(wealth: Callable[[float], float], needed: float) -> float:
    """Cost of every trade at which a strategy ends level with its benchmark.

    Args:
        wealth: Final equity of the strategy at a cost, a share of each trade's value.
        needed: Final equity of the benchmark.

    Returns:
        The cost; NaN where the strategy ends below the benchmark without costs, infinity where it
        ends above it even at `MOST_COST`.
    """
    if not wealth(0.0) > needed:
        return float("nan")
    if wealth(MOST_COST) > needed:
        return float("inf")
    # Bisection, because selection may jump with the cost: a holding not worth selling stays.
    low, high = 0.0, MOST_COST
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if wealth(middle) > needed else (low, middle)
    return low


@dataclass(frozen=True, slots=True, eq=False)
class RankIC:
    """Rank correlation of scores with outcomes.

    Attributes:
        values: (R,) Spearman's correlation across instruments at every rebalance; NaN where fewer
            than two have both a score and an outcome, or all are equal.
        t: t of the mean, with Newey and West's standard error; NaN for fewer than three values.
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
    """Returns that a decision could earn: (R, I).

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
        overlap: Rebalances that one outcome spans: so many neighbours are correlated.
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
        lags: Fewest neighbours taken as correlated; at least the usual 4 (T/100)^(2/9) are.

    Returns:
        NaN for fewer than three values, or values that do not vary.
    """
    n = len(values)
    if n < 3:
        return float("nan")
    n_lags = min(max(lags, math.floor(4 * (n / 100) ** (2 / 9))), n - 1)
    error = math.sqrt(max(newey_west(values, n_lags), 0.0) / n)
    return float(values.mean()) / error if error > 1e-15 else float("nan")


@dataclass(frozen=True, slots=True)
class Deflated:
    """A Sharpe ratio among all attempts (Bailey and López de Prado, 2014).

    Of many strategies without skill the best shows a Sharpe ratio above 0. The deflated Sharpe
    ratio is the probability that the true one is above what so many attempts show by chance, given
    the length of the record, its skewness and its kurtosis. Ratios are per bar, not per year.

    Attributes:
        probability: The deflated Sharpe ratio: probability that the true ratio is above
            `threshold`; NaN where returns do not vary.
        threshold: Expected ratio of the best of so many attempts without skill.
        n_trials: Attempts.
    """

    probability: float
    threshold: float
    n_trials: int


def deflated_sharpe(returns: np.ndarray, tried: np.ndarray, n_trials: int) -> Deflated:
    """The deflated Sharpe ratio of a strategy.

    Args:
        returns: (T,) returns of its bars.
        tried: Sharpe ratios per bar of some attempts, this one included: they measure how much
            attempts differ.
        n_trials: Total attempts.

    Raises:
        InvalidRequest: `n_trials` is below the number of ratios.
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
    """Expected Sharpe ratio of the best of `n_trials` attempts without skill, whose ratios have a
    variance."""
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
        ratio: Observed ratio, per bar.
        threshold: Ratio to exceed, per bar.
        n: Number of returns.
        skewness: Skewness of the returns.
        kurtosis: Kurtosis of the returns; 3 for a normal distribution.
    """
    error = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if error <= 0.0 or n < 2:
        return float("nan")
    return _NORMAL.cdf((ratio - threshold) * math.sqrt(n - 1) / math.sqrt(error))
