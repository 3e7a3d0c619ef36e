"""Which instruments are held: the best k, with few changes at a time.

The selection is that of Qlib's TopkDropoutStrategy: the held ones and the best of the others are
ranked together, and of the held ones those go that are among the last `n_drop`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.errors import InvalidRequest
from kronos.forecast import whole_number

__all__ = ["Costs", "Rules", "choose"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs, as shares of the traded value.

    Attributes:
        buy: Of what is bought.
        sell: Of what is sold.

    Raises:
        InvalidRequest: A cost is below 0 or 50% and more.
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
        top_k: Instruments held at most.
        n_drop: Most that are sold at one rebalance because others are better.
        hold: Bars that a purchase is kept at least.
        reweigh: Whether all holdings are brought back to equal value at every rebalance; otherwise
            they drift, and only what is free is spent.

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
    """What to sell and what to buy, best last and best first.

    Instruments without a score are neither bought nor sold. Of equal scores the earlier
    instrument is the better one.

    Args:
        scores: (I,) the higher the better; NaN where there is none.
        held: (I,) whether an instrument is in the book.
        rules: Of `rules` only top_k and n_drop count here.

    Returns:
        Instruments to sell, the worst first, and candidates to buy, the best first: as many as
        there will be room for if all sales succeed.
    """
    ranked = [int(i) for i in np.argsort(-scores, kind="stable") if np.isfinite(scores[i])]
    room = rules.top_k - int(held.sum())
    others = [i for i in ranked if not held[i]][: max(rules.n_drop + room, 0)]
    together = [i for i in ranked if held[i] or i in others]
    last = together[len(together) - rules.n_drop :] if rules.n_drop else []
    sell = [i for i in reversed(last) if held[i]]
    return sell, others[: max(len(sell) + room, 0)]
