"""How much of a fan's drift to keep, learned from outcomes and shrunk to 0.

The drift of a fan is its mean log-return from the origin. Where the drift of a model says nothing
of the outcomes, a fan that has none is better; where it is true, the outcomes follow it with a
slope of 1. So each stream has a slope b of the outcomes y on the drift m of the raw fans, both in
units of sigma * sqrt(h):

    b = sum(m y) / (sum(m m) + RIDGE * mean(y y)), cut to 0 and 1

and a calibrated fan is the raw one moved by (b - 1) m, which leaves its width and skew alone.
Without outcomes b is 0.
"""

from __future__ import annotations

import numpy as np

from kronos.calibration.state import DECIMALS, DriftState
from kronos.evaluation.scores import level_weights

__all__ = ["RIDGE", "DriftTracker", "fan_means"]

RIDGE = 4.0
"""One over the variance of the slope before any outcome, 0.25: a slope of 1 is two standard
deviations from 0. The variance of an outcome, mean(y y), is learned: it is above 1 in
these units where bars follow that volatility at the origin does not know of, as across a night."""
_DAY = 86_400 * 10**9


def fan_means(quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Means of fans that are known by their quantiles.

    The same for a stored forecast and for one that is to be calibrated.

    Args:
        quantiles: (..., L).
        levels: (L,) their levels, ascending.

    Returns:
        (...,) in the units of the quantiles.
    """
    return np.asarray(quantiles @ level_weights(levels))


class DriftTracker:
    """The slope of one stream over time. Pure: the same outcomes give the same slopes.

    The steps of a forecast, forecasts that overlap, and the instruments of one day share the
    direction of the market: that is one piece of evidence. So the outcomes form groups, each
    counted once, by its means of m y and m m. A group takes outcomes until one comes whose forecast
    was made when the first outcome of the group was known, and at least a day after its forecast.
    """

    def __init__(self, *, ridge: float = RIDGE, start: DriftState | None = None) -> None:
        """Args:
        ridge: Added to the sum of squares, times the mean square of the outcomes; infinite keeps no
            drift.
        start: Slope and sums of an earlier record.
        """
        self._ridge = ridge
        start = start or DriftState()
        # Of m y, m m and y y, and the number of groups.
        self._sums = np.array([start.products, start.squares, start.outcomes, start.groups])
        self._group = np.zeros(4)  # sums of the open group, the last one the number of outcomes
        self._ends = -(2**63)
        self._moments: list[int] = []
        self._slopes: list[float] = []
        self._first = start.slope

    @property
    def state(self) -> DriftState:
        """The present slope and the sums behind it, rounded as in a file."""
        sums = (round(float(value), DECIMALS) for value in self._totals())
        return DriftState(round(self.slope, DECIMALS), *sums)

    @property
    def slope(self) -> float:
        """The present slope."""
        return self._slopes[-1] if self._slopes else self._first

    def resolve(
        self, moment: int, issued: np.ndarray, means: np.ndarray, outcomes: np.ndarray
    ) -> None:
        """Enters the outcomes that resolve at one moment, later than those before.

        Args:
            moment: When, in nanoseconds.
            issued: (K,) when their forecasts were made, in nanoseconds.
            means: (K,) means of the raw fans, over sigma * sqrt(h).
            outcomes: (K,) in the same units.
        """
        ones = np.ones(len(means))
        values = np.stack([means * outcomes, means * means, outcomes * outcomes, ones], axis=1)
        is_next = issued >= self._ends
        self._group = self._group + values[~is_next].sum(axis=0)
        if is_next.any():
            self._sums = self._totals()
            self._ends = max(moment, int(issued[is_next].min()) + _DAY)
            self._group = values[is_next].sum(axis=0)
        products, squares, actual, groups = self._totals()
        self._moments.append(moment)
        least = squares + self._ridge * actual / groups
        self._slopes.append(float(np.clip(products / least, 0.0, 1.0)) if least > 0 else 0.0)

    def slopes_at(self, moments: np.ndarray) -> np.ndarray:
        """(M,) slopes in force at some moments."""
        places = np.searchsorted(self._moments, moments, side="right")
        return np.array([self._first, *self._slopes])[places]

    def _totals(self) -> np.ndarray:
        """Sums over all groups of their means, the open one included, and the number of groups."""
        return self._sums + self._group / max(self._group[-1], 1.0)
