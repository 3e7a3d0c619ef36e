"""How many closes of an outcome lie inside a band, against what the fan itself leads to expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PLAUSIBLE", "InsideCount", "count_inside"]

PLAUSIBLE = 0.95
"""Share of the fan's own paths whose count is called plausible."""


@dataclass(frozen=True, slots=True)
class InsideCount:
    """Closes of an outcome inside a band.

    Attributes:
        n_known: Closes of the horizon that are known.
        n_inside: Those inside the band.
        expected: Mean number over the fan's own paths.
        low: Smallest plausible number: `PLAUSIBLE` of the paths have from `low` to `high`.
        high: Largest plausible number.
    """

    n_known: int
    n_inside: int
    expected: float
    low: int
    high: int

    @property
    def can_judge(self) -> bool:
        """Whether any number would speak against the fan."""
        return self.low > 0 or self.high < self.n_known

    @property
    def is_plausible(self) -> bool:
        return self.low <= self.n_inside <= self.high


def count_inside(
    paths: np.ndarray, actual: np.ndarray, levels: tuple[float, float] = (0.10, 0.90)
) -> InsideCount | None:
    """Count the closes inside a band, and those of every path inside the band of all others.

    Closes of neighbouring bars move together, so that the count varies far more than that of
    independent trials. The paths have exactly the dependence that the model believes in: if it is
    right, the outcome is one more of them.

    Args:
        paths: (N, H) closes of the paths.
        actual: (H,) closes, NaN where not known.
        levels: Lower and upper quantile of the band.

    Returns:
        None where no close is known, or the fan has fewer than 3 paths.
    """
    known = np.isfinite(actual)
    n = len(paths)
    if not known.any() or n < 3:
        return None
    paths, actual = paths[:, known], actual[known]
    low, high = np.quantile(paths, levels, axis=0)
    ordered = np.sort(paths, axis=0)
    rank = np.argsort(np.argsort(paths, axis=0, kind="stable"), axis=0)
    lower, upper = (_quantile_of_others(ordered, rank, level) for level in levels)
    counts = ((paths >= lower) & (paths <= upper)).sum(axis=1)
    tail = (1.0 - PLAUSIBLE) / 2
    smallest, largest = np.quantile(counts, (tail, 1.0 - tail), method="closest_observation")
    return InsideCount(
        n_known=int(known.sum()),
        n_inside=int(((actual >= low) & (actual <= high)).sum()),
        expected=float(counts.mean()),
        low=int(smallest),
        high=int(largest),
    )


def _quantile_of_others(ordered: np.ndarray, rank: np.ndarray, level: float) -> np.ndarray:
    """(N, H) quantile at each step of the paths but the one at that place, linear as NumPy's.

    Args:
        ordered: (N, H) closes, ascending at every step.
        rank: (N, H) place of every path in them.
        level: Level of the quantile.
    """
    n = len(ordered)
    position = level * (n - 2)
    below = int(position)
    above = min(below + 1, n - 2)
    # Without the path of rank r, the k-th lowest is the (k + 1)-th of all where k >= r.
    first, second = (
        np.where(rank <= k, ordered[min(k + 1, n - 1)], ordered[k]) for k in (below, above)
    )
    return np.asarray(first + (position - below) * (second - first))
