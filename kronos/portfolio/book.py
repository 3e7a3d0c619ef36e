"""The book of a portfolio: which instruments are held, and cash, holdings and trades bar by bar.

A decision is made at the close of a bar, from scores that know nothing later. The selection is
that of Qlib's TopkDropoutStrategy: held instruments and the best of the others are ranked
together, and the held ones among the last `n_drop` are sold. Orders are filled at the next open,
or lapse where the instrument cannot be traded then. Sales go first, and their proceeds pay for the
purchases. A holding that cannot be sold stays in the book, at its last close.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest
from kronos.forecast import whole_number
from kronos.portfolio.market import Market

__all__ = ["Book", "Costs", "Rules", "choose", "simulate"]

_DUST = 1e-12
"""Share of the equity below which an order is not worth placing."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Trading costs, as shares of the traded value.

    Attributes:
        buy: Cost of a purchase.
        sell: Cost of a sale.

    Raises:
        InvalidRequest: A cost is below 0, or at least 50%.
    """

    buy: float = 0.0010
    sell: float = 0.0015

    def __post_init__(self) -> None:
        for name in ("buy", "sell"):
            if not 0.0 <= getattr(self, name) < 0.5:
                raise InvalidRequest(
                    f"The cost to {name} must be a share from 0 to below 0.5, found "
                    f"{getattr(self, name):g}; 0.001 is 0.10%."
                )


@dataclass(frozen=True, slots=True)
class Rules:
    """How a portfolio follows its scores.

    Attributes:
        top_k: Most instruments held.
        n_drop: Most instruments sold at one rebalance because others are better.
        hold: Fewest bars that a purchase is held.
        reweigh: Whether every rebalance restores equal values; otherwise holdings drift, and only
            free cash is spent.

    Raises:
        InvalidRequest: A number is out of range.
    """

    top_k: int
    n_drop: int
    hold: int = 1
    reweigh: bool = False

    def __post_init__(self) -> None:
        for name, low in (("top_k", 1), ("n_drop", 0), ("hold", 1)):
            value = whole_number(getattr(self, name), name)
            if value < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {value}.")
            object.__setattr__(self, name, value)
        if self.n_drop > self.top_k:
            raise InvalidRequest(
                f"n_drop must be at most top_k, found {self.n_drop} and {self.top_k}: no more can "
                "be sold than is held."
            )


def choose(scores: np.ndarray, held: np.ndarray, rules: Rules) -> tuple[list[int], list[int]]:
    """Choose the sales and purchases of one rebalance.

    Instruments without a score are neither bought nor sold. Of equal scores the earlier
    instrument is the better one.

    Args:
        scores: (I,) the higher the better; NaN where there is none.
        held: (I,) whether an instrument is in the book.
        rules: Only top_k and n_drop count here.

    Returns:
        Instruments to sell, the worst first, and candidates to buy, the best first: as many as fit
        if all sales succeed.
    """
    ranked = [int(i) for i in np.argsort(-scores, kind="stable") if np.isfinite(scores[i])]
    room = rules.top_k - int(held.sum())
    others = [i for i in ranked if not held[i]][: max(rules.n_drop + room, 0)]
    together = [i for i in ranked if held[i] or i in others]
    last = together[len(together) - rules.n_drop :] if rules.n_drop else []
    sell = [i for i in reversed(last) if held[i]]
    return sell, others[: max(len(sell) + room, 0)]


@dataclass(slots=True, eq=False)
class Book:
    """The history of a portfolio: B bars from the first decision on, I instruments.

    Attributes:
        index: (B,) times of the bars.
        equity: (B,) value of cash and holdings at the close; the first is the capital.
        cash: (B,) at the close.
        shares: (B, I) held at the close.
        trades: Columns time, decided, instrument, side, shares, price, value, cost; one row a
            fill, value and cost in the currency of the capital.
        n_lapsed: Orders that could not be filled.
    """

    index: pd.DatetimeIndex
    equity: np.ndarray
    cash: np.ndarray
    shares: np.ndarray
    trades: pd.DataFrame
    n_lapsed: int

    @property
    def returns(self) -> np.ndarray:
        """(B - 1,) simple returns from bar to bar."""
        return self.equity[1:] / self.equity[:-1] - 1.0

    @property
    def costs_paid(self) -> float:
        """Total costs."""
        return float(self.trades["cost"].sum())


@dataclass(slots=True)
class _Account:
    market: Market
    rules: Rules
    costs: Costs
    cash: float
    shares: np.ndarray
    bought: np.ndarray
    fills: list[tuple[int, int, str, float, float, float, float]] = field(default_factory=list)
    n_lapsed: int = 0

    def value(self, at: int, *, at_open: bool = False) -> float:
        """Cash and holdings at the close of a bar, or at its open."""
        return self.cash + float((self.shares * self._marks(at, at_open=at_open)).sum())

    def _marks(self, at: int, *, at_open: bool) -> np.ndarray:
        """(I,) prices of the holdings; the last close where there is no open."""
        if not at_open:
            return np.nan_to_num(self.market.closes[at])
        before = np.nan_to_num(self.market.closes[at - 1])
        return np.where(self.market.has_bar[at], np.nan_to_num(self.market.opens[at]), before)

    def rebalance(self, at: int, scores: np.ndarray) -> None:
        """Fill the orders of a decision made at the close of the bar before."""
        held = self.shares > 0.0
        sell, buy = choose(scores, held, self.rules)
        for i in sell:
            if at - self.bought[i] >= self.rules.hold:
                self._sell(at, i, self.shares[i])
        held = self.shares > 0.0
        # No more than there is room for: a sale may have lapsed.
        slots = min(self.rules.top_k, int((held | np.isfinite(scores)).sum()))
        n_free = slots - int(held.sum())
        buy = buy[: max(n_free, 0)]
        if self.rules.reweigh:
            self._reweigh(at, [*np.flatnonzero(held), *buy], slots)
        else:
            share = self.cash / n_free if n_free > 0 else 0.0
            for i in buy:
                self._buy(at, i, share)

    def _reweigh(self, at: int, members: list[int], slots: int) -> None:
        """Trade all members towards one value, as far as they can be traded."""
        marks = self._marks(at, at_open=True)
        target = self.value(at, at_open=True) / max(slots, 1)
        missing = {i: target - self.shares[i] * marks[i] for i in members}
        for i in members:
            if missing[i] < 0.0:
                self._sell(at, i, -missing[i] / marks[i])
        orders = {
            i: value * (1.0 + self.costs.buy)
            for i, value in missing.items()
            if value > 0.0 and self.market.can_buy[at, i]
        }
        self.n_lapsed += len([i for i, value in missing.items() if value > 0.0 and i not in orders])
        scale = min(1.0, self.cash / sum(orders.values())) if orders else 0.0
        for i, value in orders.items():
            self._buy(at, i, value * scale)

    def _sell(self, at: int, i: int, shares: float) -> None:
        if not self.market.can_sell[at, i]:
            self.n_lapsed += 1
            return
        price = self.market.opens[at, i]
        value = shares * price
        if value <= _DUST * self.value(at, at_open=True):
            return
        cost = value * self.costs.sell
        self.shares[i] = 0.0 if shares == self.shares[i] else self.shares[i] - shares
        self.cash += value - cost
        self.fills.append((at, i, "sell", shares, price, value, cost))

    def _buy(self, at: int, i: int, budget: float) -> None:
        """Spend a budget, the cost included."""
        budget = min(budget, self.cash)
        if not self.market.can_buy[at, i]:
            self.n_lapsed += 1
            return
        if budget <= _DUST * self.value(at, at_open=True):
            return
        value = budget / (1.0 + self.costs.buy)
        price = self.market.opens[at, i]
        if self.shares[i] == 0.0:
            self.bought[i] = at
        self.shares[i] += value / price
        self.cash -= budget
        self.fills.append((at, i, "buy", value / price, price, value, budget - value))


def simulate(
    market: Market,
    dates: np.ndarray,
    scores: np.ndarray,
    rules: Rules,
    costs: Costs,
    *,
    capital: float = 1.0,
) -> Book:
    """Trade by scores through a market.

    Args:
        market: The bars.
        dates: (R,) positions of the decisions in the market's calendar, increasing, all before its
            last bar, which no open follows.
        scores: (R, I) of every decision, the higher the better; NaN where there is none.
        rules: How holdings follow the scores.
        costs: Trading costs.
        capital: Cash at the first decision.
    """
    n_instruments = len(market.names)
    account = _Account(
        market, rules, costs, capital, np.zeros(n_instruments), np.zeros(n_instruments, int)
    )
    first, n_bars = int(dates[0]), len(market.index) - int(dates[0])
    decisions = {int(at): row for at, row in zip(dates, scores, strict=True)}
    equity, cash = np.full(n_bars, capital), np.full(n_bars, capital)
    shares = np.zeros((n_bars, n_instruments))
    for b in range(1, n_bars):
        at = first + b
        if at - 1 in decisions:
            account.rebalance(at, decisions[at - 1])
        equity[b], cash[b], shares[b] = account.value(at), account.cash, account.shares
    return Book(
        market.index[first:], equity, cash, shares, _table(market, account), account.n_lapsed
    )


def _table(market: Market, account: _Account) -> pd.DataFrame:
    names = ["bar", "instrument", "side", "shares", "price", "value", "cost"]
    table = pd.DataFrame(account.fills, columns=names)
    bars = table.pop("bar").to_numpy(int)
    table["instrument"] = [market.names[i] for i in table["instrument"]]
    table.insert(0, "time", market.index[bars])
    table.insert(1, "decided", market.index[bars - 1])
    return table
