"""A plan in; curves, trades and measures out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.errors import ForecastCancelled, InvalidRequest
from kronos.portfolio.book import Book, simulate
from kronos.portfolio.deflated import Deflated, deflated_sharpe
from kronos.portfolio.forecasts import Keep, survey
from kronos.portfolio.market import Market
from kronos.portfolio.measures import Performance, break_even_cost, performance, sharpe_ratio
from kronos.portfolio.outlooks import Outlook
from kronos.portfolio.plan import WARM_UP, Plan, rebalance_dates
from kronos.portfolio.rank_ic import RankIC, forward_returns, rank_ic
from kronos.portfolio.rules import Costs, Rules
from kronos.portfolio.signals import MOMENTUM, SIGNALS, momentum, signal_of
from kronos.request import ModelFacts
from kronos.serving.jobs import JobStatus
from kronos.serving.service import ForecastService

__all__ = ["BENCHMARK", "STRATEGY", "Backtest", "backtest"]

STRATEGY, BENCHMARK = "strategy", "equal weight"


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What came of a plan.

    Attributes:
        plan: What was tried.
        model_name: Name of the model.
        model_revision: Revision of its weights, or of a baseline's source.
        names: The instruments.
        dates: (R,) times of the decisions.
        books: Strategy, equal weight and momentum, by name.
        performance: Of each book.
        rank_ic: Of the signal.
        momentum_ic: Of the momentum baseline's.
        break_even: Cost of a trade at which the strategy ends where equal weight does, a share;
            NaN or infinity as from `break_even_cost`.
        deflated: The Sharpe ratio among all signals.
        signal_sharpe: Yearly Sharpe ratio of every signal under the same rules.
    """

    plan: Plan
    model_name: str
    model_revision: str
    names: tuple[str, ...]
    dates: pd.DatetimeIndex
    books: dict[str, Book]
    performance: dict[str, Performance]
    rank_ic: RankIC
    momentum_ic: RankIC
    break_even: float
    deflated: Deflated
    signal_sharpe: dict[str, float]

    @property
    def curves(self) -> pd.DataFrame:
        """Equity of every book by time, as a multiple of the capital."""
        index = self.books[STRATEGY].index
        return pd.DataFrame(
            {name: book.equity / self.plan.capital for name, book in self.books.items()}, index
        )

    def n_before(self, cut_off: date | None) -> int:
        """Decisions from before a day, on which the model may have learned what came."""
        if cut_off is None or cut_off == date.min:
            return 0
        return int((self.dates < pd.Timestamp(cut_off, tz="UTC")).sum())


def backtest(
    service: ForecastService,
    market: Market,
    plan: Plan,
    *,
    cache_folder: Path | None = None,
    keep: Keep | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[JobStatus], None] | None = None,
    partial: Callable[[Backtest], None] | None = None,
) -> Backtest:
    """Runs a plan.

    Args:
        service: Makes the forecasts, like the next arguments as for `survey`.
        market: The bars.
        plan: What is tried.
        cache_folder: Where outlooks are kept.
        keep: Gets new forecasts.
        progress: Called as progress(windows done, windows in all); raising stops the run.
        watch: Called with the state of the request under way; likewise.
        partial: Gets what came of the rebalances that were complete, where a run is stopped.

    Raises:
        InvalidRequest: There is nothing to decide, or the model cannot do what is asked.
        ForecastCancelled: `progress` or `watch` said so.
    """
    market = _until(market, plan.end)
    dates = rebalance_dates(market, plan)
    facts = service.facts(plan.model)
    states = survey(
        service,
        plan.model,
        market,
        dates,
        horizon=plan.horizon,
        sampling=plan.sampling,
        warm_up=WARM_UP,
        cache_folder=cache_folder,
        keep=keep,
        watch=watch,
    )
    rows: list[list[Outlook | None]] = []
    try:
        for state in states:
            rows = state.rows
            if progress is not None:
                progress(state.n_done, state.n_windows)
    except ForecastCancelled:
        n = len(rows)
        if partial is not None and 0 < n < len(dates):
            until = _first(market, int(dates[n]) + 1)
            partial(judge(until, plan, dates[:n], rows, facts))
        raise
    return judge(market, plan, dates, rows, facts)


def judge(
    market: Market,
    plan: Plan,
    dates: np.ndarray,
    found: list[list[Outlook | None]],
    facts: ModelFacts,
) -> Backtest:
    """Follows every signal of the outlooks (R lists of I) through the market."""
    scores = {
        signal: np.array([[signal_of(signal, each) for each in row] for row in found])
        for signal in SIGNALS
    }
    past = momentum(market, dates, plan.momentum_bars)

    def follow(signal: np.ndarray, rules: Rules, costs: Costs = plan.costs) -> Book:
        return simulate(market, dates, signal, rules, costs, capital=plan.capital)

    tried = {signal: follow(values, plan.rules) for signal, values in scores.items()}
    everything = replace(plan.rules, top_k=len(market.names), n_drop=0, reweigh=True)
    present = np.where(market.has_bar[dates], 0.0, np.nan)
    books = {
        STRATEGY: tried[plan.signal],
        BENCHMARK: follow(present, everything),
        MOMENTUM: follow(past, plan.rules),
    }
    ratios = np.array([sharpe_ratio(book.returns) for book in tried.values()])
    earned = forward_returns(market, dates, plan.horizon)
    overlap = -(-plan.horizon // plan.every)
    return Backtest(
        plan=plan,
        model_name=facts.name,
        model_revision=facts.revision,
        names=tuple(market.names),
        dates=market.index[dates],
        books=books,
        performance={each: performance(book) for each, book in books.items()},
        rank_ic=rank_ic(scores[plan.signal], earned, overlap=overlap),
        momentum_ic=rank_ic(past, earned, overlap=overlap),
        break_even=break_even_cost(
            lambda cost: float(
                follow(scores[plan.signal], plan.rules, Costs(cost, cost)).equity[-1]
            ),
            float(books[BENCHMARK].equity[-1]),
        ),
        deflated=deflated_sharpe(books[STRATEGY].returns, ratios, plan.n_trials),
        signal_sharpe={signal: performance(book).sharpe for signal, book in tried.items()},
    )


def _until(market: Market, end: date | None) -> Market:
    """The market without the bars behind a day."""
    if end is None:
        return market
    n = int(market.index.searchsorted(pd.Timestamp(end, tz="UTC") + pd.Timedelta(days=1)))
    if n < 2:
        raise InvalidRequest(
            f"There are no bars up to {end}; they begin {market.index[0]:%Y-%m-%d}."
        )
    return _first(market, n)


def _first(market: Market, n: int) -> Market:
    """The first bars of a market."""
    return replace(
        market,
        index=market.index[:n],
        positions=market.positions[:n],
        opens=market.opens[:n],
        closes=market.closes[:n],
        can_buy=market.can_buy[:n],
        can_sell=market.can_sell[:n],
    )
