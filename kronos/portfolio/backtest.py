"""Backtests: a plan, the bars at which it decides, and the curves, trades and measures of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.calendars import MAX_HORIZON
from kronos.errors import ForecastCancelled, InvalidRequest
from kronos.events import Leaders
from kronos.forecast import SamplingParameters, whole_number
from kronos.portfolio.book import Book, Costs, Rules, simulate
from kronos.portfolio.forecasts import Save, survey
from kronos.portfolio.market import Market
from kronos.portfolio.measures import (
    Deflated,
    Performance,
    RankIC,
    break_even_cost,
    deflated_sharpe,
    forward_returns,
    performance,
    rank_ic,
    sharpe_ratio,
)
from kronos.portfolio.signals import MOMENTUM, SIGNALS, Outlook, momentum, signal_of
from kronos.request import ModelFacts
from kronos.serving.service import ForecastService

__all__ = [
    "BENCHMARK",
    "STRATEGY",
    "WARM_UP",
    "Backtest",
    "Plan",
    "backtest",
    "rebalance_dates",
]

STRATEGY, BENCHMARK = "strategy", "equal weight"
WARM_UP = 64
"""Bars an instrument needs before it is ranked."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a backtest.

    Attributes:
        model: Name or folder of the model, or name of a baseline.
        signal: A key of `SIGNALS`.
        horizon: Bars of a forecast.
        every: Bars from one rebalance to the next.
        rules: How holdings follow the signal.
        costs: Trading costs.
        sampling: Sampling parameters.
        momentum_bars: Lookback of the momentum baseline, in bars.
        n_trials: Attempts behind this run, for the deflated Sharpe ratio. Every run computes all
            signals, so there are at least as many.
        start: First day of a decision; None for the earliest possible.
        end: Last day of the run; None for the last bar.
        capital: Cash at the first decision.

    Raises:
        InvalidRequest: A number is out of range.
    """

    model: str = "bundled"
    signal: str = "last"
    horizon: int = 5
    every: int = 5
    rules: Rules = field(default_factory=lambda: Rules(top_k=1, n_drop=1))
    costs: Costs = field(default_factory=Costs)
    sampling: SamplingParameters = field(
        default_factory=lambda: SamplingParameters(sample_count=50)
    )
    momentum_bars: int = 20
    n_trials: int = len(SIGNALS)
    start: date | None = None
    end: date | None = None
    capital: float = 100_000.0

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise InvalidRequest(
                f"There is no signal {self.signal!r}. Choose one of {', '.join(SIGNALS)}."
            )
        for name, low, high in (
            ("horizon", 1, MAX_HORIZON),
            ("every", 1, 10_000),
            ("momentum_bars", 1, 10_000),
            ("n_trials", len(SIGNALS), 10**9),
        ):
            value = whole_number(getattr(self, name), name)
            if not low <= value <= high:
                raise InvalidRequest(f"{name} must be from {low} to {high:,}, found {value}.")
        if not 0.0 < self.capital < float("inf"):
            raise InvalidRequest(f"The capital must be above 0, found {self.capital:g}.")


def rebalance_dates(market: Market, plan: Plan) -> np.ndarray:
    """Positions of the decisions in the market's calendar: (R,).

    The first is at the first bar where two instruments, or the only one, have enough bars.

    Raises:
        InvalidRequest: There is no such bar with an open after it.
    """
    days = market.index.normalize()
    needed = max(WARM_UP, plan.momentum_bars + 1)
    possible = (market.n_known >= needed).sum(axis=1) >= min(2, len(market.names))
    if plan.start is not None:
        possible &= np.asarray(days >= pd.Timestamp(plan.start, tz="UTC"))
    if plan.end is not None:
        possible &= np.asarray(days <= pd.Timestamp(plan.end, tz="UTC"))
    possible[-1:] = False
    at = np.flatnonzero(possible)
    if not len(at):
        raise InvalidRequest(
            f"There is nothing to decide: at least {min(2, len(market.names))} instruments must "
            f"have {needed} bars before a decision and one after it, between the first and the "
            f"last day. The bars run from {market.index[0]:%Y-%m-%d} to "
            f"{market.index[-1]:%Y-%m-%d}."
        )
    return at[(at - at[0]) % plan.every == 0]


FEWEST_REBALANCES = 60
"""Rebalances below which a yearly return or a Sharpe ratio is mostly chance, and is not shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """The result of a plan.

    Attributes:
        plan: The settings.
        model_name: Name of the model.
        model_revision: Revision of its weights, or of a baseline's source.
        names: The instruments.
        dates: (R,) times of the decisions.
        books: Books of strategy, equal weight and momentum, by name.
        performance: Performance of each book.
        rank_ic: Rank correlation of the signal with outcomes.
        momentum_ic: The same for momentum.
        break_even: Cost of a trade at which the strategy ends level with equal weight, a share;
            NaN or infinity as from `break_even_cost`.
        deflated: The deflated Sharpe ratio of the strategy.
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
    def can_annualise(self) -> bool:
        """Whether there are enough rebalances to speak of years."""
        return len(self.dates) >= FEWEST_REBALANCES

    @property
    def curves(self) -> pd.DataFrame:
        """Equity of every book by time, as a multiple of the capital."""
        index = self.books[STRATEGY].index
        return pd.DataFrame(
            {name: book.equity / self.plan.capital for name, book in self.books.items()}, index
        )

    def n_before(self, cut_off: date | None) -> int:
        """Number of decisions before the training cut-off, whose outcomes the model may know."""
        if cut_off is None or cut_off == date.min:
            return 0
        return int((self.dates < pd.Timestamp(cut_off, tz="UTC")).sum())


def backtest(
    service: ForecastService,
    market: Market,
    plan: Plan,
    *,
    leaders: Leaders | None = None,
    cache_folder: Path | None = None,
    save: Save | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[], object] | None = None,
    partial: Callable[[Backtest], None] | None = None,
) -> Backtest:
    """Run a plan.

    Args:
        service: Makes the forecasts.
        market: The bars.
        plan: The settings.
        leaders: Leading markets, for a model that reads events.
        cache_folder: Folder of the outlook cache; None for no cache.
        save: Called with new forecasts.
        progress: Called as progress(windows done, total windows); raising stops the run.
        watch: Called again and again; raising stops the run.
        partial: Called with the result of the complete rebalances when a run is stopped.

    Raises:
        InvalidRequest: There is no rebalance date, or the model cannot make these forecasts.
        ForecastCancelled: Raised by `progress` or `watch`.
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
        leaders=leaders,
        cache_folder=cache_folder,
        save=save,
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
    outlooks: list[list[Outlook | None]],
    facts: ModelFacts,
) -> Backtest:
    """Trade by every signal of the outlooks, R lists of I, and measure the books."""
    scores = {
        signal: np.array([[signal_of(signal, each) for each in row] for row in outlooks])
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
    """The market without the bars after a day."""
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
