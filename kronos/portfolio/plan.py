"""What a backtest tries, and the bars at which it decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from kronos.calendars import MAX_HORIZON
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters, whole_number
from kronos.portfolio.market import Market
from kronos.portfolio.rules import Costs, Rules
from kronos.portfolio.signals import SIGNALS

__all__ = ["WARM_UP", "Plan", "rebalance_dates"]

WARM_UP = 64
"""Bars an instrument needs before it is ranked."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried.

    Attributes:
        model: Name or folder of the model, or name of a baseline.
        signal: A key of `SIGNALS`.
        horizon: Bars of a forecast.
        every: Bars from one rebalance to the next.
        rules: What is held.
        costs: Of trading.
        sampling: How futures are drawn.
        momentum_bars: Bars the momentum baseline looks back.
        n_trials: Attempts behind this run, for the deflated Sharpe ratio. All signals are computed
            for it in every run, so there are as many at least.
        start: First day of a decision; None for the earliest possible.
        end: Last day of the run; None for all there is.
        capital: Cash at the beginning.

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

    The first is where two instruments, or the only one, have enough bars behind them.

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
