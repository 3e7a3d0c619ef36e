"""The change between two fans from the same random numbers. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.forecast import Forecast
from pages.ui.frame.text import number_text

N_RESAMPLES = 400
"""Draws of the bootstrap: the standard error is then accurate to about 4%."""
CLEAR = 2.0
"""Number of standard errors above which a change counts as significant."""
_LEVELS = (0.10, 0.50, 0.90)


@dataclass(frozen=True, slots=True)
class Change:
    """Differences at one bar, in percent of the last close.

    Attributes:
        bar: From 1.
        median: Change of the median.
        median_error: Its standard error.
        width: Change of p90 - p10.
        width_error: Its standard error.
    """

    bar: int
    median: float
    median_error: float
    width: float
    width_error: float

    @property
    def verdict(self) -> str:
        """The significant changes: median, width, both or neither."""
        clear = [
            name
            for name, value, error in (
                ("median", self.median, self.median_error),
                ("width", self.width, self.width_error),
            )
            if abs(value) > CLEAR * error and value != 0.0
        ]
        return " and ".join(clear) or "neither"


def changes(before: Forecast, after: Forecast, bars: Sequence[int]) -> list[Change]:
    """Changes of median and width at some bars.

    Both fans draw path i from the same random numbers, so the bootstrap resamples paths in pairs:
    common noise does not count as error. Its draws are the same at every call.

    Args:
        before: The fan as scheduled.
        after: The fan with the edits, with as many paths.
        bars: Bars of the horizon, from 1.
    """
    columns = np.array(bars) - 1
    pair = np.stack([fan.column("close")[:, columns] for fan in (before, after)])  # (2, N, K)
    pair = 100.0 * pair / before.last_close
    found = _differences(pair[:, None])[:, 0]  # (2, K)
    rng = np.random.default_rng(0)
    n = pair.shape[1]
    chosen = rng.integers(n, size=(N_RESAMPLES, n))
    errors = _differences(pair[:, chosen]).std(axis=1, ddof=1)
    return [
        Change(bar, *(float(x) for x in (found[0, k], errors[0, k], found[1, k], errors[1, k])))
        for k, bar in enumerate(bars)
    ]


def n_changed_paths(before: Forecast, after: Forecast) -> int:
    """Paths that close differently at any bar."""
    return int((before.column("close") != after.column("close")).any(axis=1).sum())


def change_table(before: Forecast, after: Forecast, bars: Sequence[int]) -> pd.DataFrame:
    """One row per bar: medians and widths of both fans, their changes and standard errors.

    Medians are prices, all other numbers are in percent of the last close.
    """
    rows = []
    for change in changes(before, after, bars):
        quantiles = [fan.quantile(_LEVELS)[:, change.bar - 1] for fan in (before, after)]
        widths = [100.0 * (high - low) / before.last_close for low, _, high in quantiles]
        rows.append(
            {
                "bar": change.bar,
                "median A": quantiles[0][1],
                "median B": quantiles[1][1],
                "change of median": change.median,
                "± median": change.median_error,
                "width A": widths[0],
                "width B": widths[1],
                "change of width": change.width,
                "± width": change.width_error,
                "significant": change.verdict,
            }
        )
    return pd.DataFrame(rows)


def change_text(before: Forecast, after: Forecast) -> str:
    """The change at the end of the horizon, in a few sentences."""
    n, horizon = before.n_paths, before.horizon
    n_changed = n_changed_paths(before, after)
    if not n_changed:
        return (
            f"All {n} paths are equal in both fans: the model reads the change, and its forecast "
            "stays the same."
        )
    (last,) = changes(before, after, [horizon])
    direction = "wider" if last.width > 0 else "narrower"
    verdict = {
        "neither": "Neither change is significant.",
        "median": "The change of the median is significant.",
        "width": "The change of the width is significant.",
    }.get(last.verdict, "Both changes are significant.")
    median = round(last.median, 2) + 0.0  # without the sign of a rounded zero
    moved = number_text("{:+.2f}%", median)
    return (
        f"At bar {horizon} the median moves by {moved} ± {last.median_error:.2f} of "
        f"the last close, and the 80% band is {abs(last.width):.2f} ± {last.width_error:.2f} "
        f"points {direction}. {n_changed} of {n} paths differ. {verdict}"
    )


def _differences(pair: np.ndarray) -> np.ndarray:
    """(2, ..., N, K) closes of both fans -> (2, ..., K) changes of median and width."""
    low, median, high = np.quantile(pair, _LEVELS, axis=-2)  # each (2, ..., K)
    width = high - low
    return np.stack([median[1] - median[0], width[1] - width[0]])
