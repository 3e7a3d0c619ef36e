"""What a run is judged by. Rates are a year's, and the riskless rate counts as 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kronos.portfolio.book import Book

__all__ = ["Performance", "break_even_cost", "drawdown", "performance", "sharpe_ratio"]

_SECONDS_A_YEAR = 365.25 * 86400
MOST_COST = 0.05
"""Cost of a trade up to which a break-even is looked for."""


@dataclass(frozen=True, slots=True)
class Performance:
    """A run in numbers; returns and costs are shares, 0.02 is 2%.

    Attributes:
        total_return: From the first decision to the end.
        annual_return: The yearly rate that compounds to it; NaN for less than a month.
        annual_volatility: Standard deviation of the bars' returns, times the square root of the
            bars in a year.
        sharpe: Mean over standard deviation of the bars' returns, likewise.
        max_drawdown: Largest fall from an earlier high; at most 0.
        turnover: Half of all that is bought and sold in a year, over the mean equity.
        costs: All that was paid, over the capital.
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


def years_of(book: Book) -> float:
    """Length of a run."""
    seconds = (book.index[-1] - book.index[0]).total_seconds()
    return max(seconds, 1.0) / _SECONDS_A_YEAR


def performance(book: Book) -> Performance:
    """The numbers of a run."""
    years, returns = years_of(book), book.returns
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
    """Mean over standard deviation of returns (T,), a bar's; NaN where they do not vary."""
    spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return float(returns.mean()) / spread if spread > 0.0 else float("nan")


def drawdown(equity: np.ndarray) -> np.ndarray:
    """Fall from the highest value so far: (B,), at most 0."""
    return equity / np.maximum.accumulate(equity) - 1.0


def break_even_cost(wealth: Callable[[float], float], needed: float) -> float:
    """Cost of every trade at which a strategy ends where its benchmark does.

    Args:
        wealth: What a strategy ends with at a cost, a share of each trade's value.
        needed: What the benchmark ends with.

    Returns:
        The cost; NaN where the strategy ends below the benchmark without any, infinity where it
        still ends above it at `MOST_COST`.
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
