"""Confidence intervals of figures that are means, or ratios of means, over blocks of time.

Markets move together and errors last for days, so windows are no independent draws: whole blocks,
such as calendar weeks, are drawn with replacement, each with all its windows. Every arm and every
figure is computed on the same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Figure", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """As a table shows it."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def bootstrap(
    table: pd.DataFrame,
    figures: dict[str, Callable[[pd.Series], float]],
    *,
    block: str = "block",
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Figure]:
    """Figures with their percentile intervals.

    Args:
        table: A row for every observation: the block, and columns of numbers, which are summed.
            A column that does not concern a row holds 0 there.
        figures: From the sums of all columns to a number.
        block: Name of the column of blocks.
        draws: Resamples.
        seed: Seed of the resamples.
    """
    sums = table.groupby(block).sum(numeric_only=True)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(sums), (draws, len(sums)))
    drawn = pd.DataFrame(sums.to_numpy()[chosen].sum(axis=1), columns=sums.columns)
    found = {}
    for name, figure in figures.items():
        values = np.array([figure(row) for _, row in drawn.iterrows()])
        low, high = np.nanquantile(values, (0.025, 0.975))
        found[name] = Figure(float(figure(sums.sum())), float(low), float(high))
    return found
