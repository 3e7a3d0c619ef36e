"""Confidence intervals of figures that are means, or ratios of means, over blocks of time.

Markets move together and errors persist for days, so windows are not independent: whole blocks,
such as calendar weeks, are drawn with replacement, each with all its windows. All arms and figures
are computed on the same draws.
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
    figures: dict[str, Callable[[pd.DataFrame], pd.Series]],
    *,
    block: str = "block",
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Figure]:
    """Figures with their percentile intervals.

    Args:
        table: A row for every observation: the block, and columns of numbers, which are summed;
            0 where a column does not apply.
        figures: From sums of all columns, a row for every draw, to a number for every draw.
        block: Name of the column of blocks.
        draws: Resamples.
        seed: Seed of the resamples.
    """
    sums = table.groupby(block).sum(numeric_only=True)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(sums), (draws, len(sums)))
    drawn = sums.to_numpy()[chosen].sum(axis=1)
    # The first row is no draw: every block once, which gives the figure itself.
    sampled = np.concatenate([sums.to_numpy().sum(axis=0, keepdims=True), drawn])
    both = pd.DataFrame(sampled, columns=sums.columns)
    found = {}
    for name, figure in figures.items():
        values = figure(both).to_numpy()
        low, high = np.nanquantile(values[1:], (0.025, 0.975))
        found[name] = Figure(float(values[0]), float(low), float(high))
    return found
