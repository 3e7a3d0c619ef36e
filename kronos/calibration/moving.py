"""Paths moved so that their quantiles become the corrected ones, every path keeping its rank."""

from __future__ import annotations

import numpy as np

from kronos.errors import InvalidRequest
from kronos.forecast import COLUMNS
from kronos.forecasters.paths import valid_prices

__all__ = ["move_paths", "moved_values"]

_CLOSE = COLUMNS.index("close")


def move_paths(
    paths: np.ndarray, last_close: float, levels: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Candles whose closes have corrected quantiles.

    Open, high, low and close of a bar are moved by the same factor, which keeps its shape; then
    prices are made valid. Volume and amount stay.

    Args:
        paths: (N, H, 6) candles.
        last_close: What log-returns are measured from.
        levels: (L,) levels, ascending.
        shifts: (H, L) what every quantile of the log-return is moved by.

    Returns:
        (N, H, 6) candles, equal to `paths` where all shifts are 0.

    Raises:
        InvalidRequest: The shifts do not fit.
    """
    if shifts.shape != (paths.shape[1], len(levels)):
        raise InvalidRequest(
            f"Shifts are (H, L), here {(paths.shape[1], len(levels))}; found {shifts.shape}."
        )
    returns = np.log(paths[..., _CLOSE] / last_close)
    moved = paths.copy()
    for step in np.flatnonzero(shifts.any(axis=1)):
        column = returns[:, step]
        by = moved_values(column, levels, shifts[step]) - column
        moved[:, step, :4] *= np.exp(by)[:, None]
    return valid_prices(moved, last_close)


def moved_values(values: np.ndarray, levels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Samples moved through their quantiles: straight between two levels, in parallel beyond.

    The map is monotone, so that no value overtakes another: quantiles that would cross are sorted.

    Args:
        values: (N,) samples.
        levels: (L,) levels, ascending.
        shifts: (L,) what the quantile of every level is moved by.
    """
    quantiles = np.quantile(values, levels)
    knots, place = np.unique(quantiles, return_inverse=True)
    # Where quantiles are equal they go to one place, the middle of where they would have gone.
    targets = np.bincount(place, np.sort(quantiles + shifts)) / np.bincount(place)
    inside = np.clip(values, knots[0], knots[-1])
    return np.asarray(np.interp(inside, knots, targets) + (values - inside))
