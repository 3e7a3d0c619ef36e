"""Rank correlation of forecast and outcome: of the price over a window, of the return across them.

The forecast is the mean of the paths. RankIC of price is Spearman's correlation of forecast and
actual closes over the steps of a window; windows without any movement have none. RankIC of return
is that of the log-return to the last step across the instruments of one date. Both are means over
dates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from kronos.context import CLOSE
from kronos.tasks.windows import Estimate, Window, by_date, estimate
from kronos.training.corpus import Corpus

__all__ = ["FEWEST", "momentum", "rank_correlation", "rank_ic"]

FEWEST = 5
"""Instruments of a date below which their ranks say nothing."""


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation of x and y (n,); NaN where one of them is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def momentum(corpus: Corpus, windows: Sequence[Window], horizon: int) -> np.ndarray:
    """(n, H) closes that go on with the mean log-return of the last H bars."""
    found = []
    for window in windows:
        closes = window.closes(corpus, horizon + 1)
        slope = np.log(closes[-1] / closes[0]) / max(len(closes) - 1, 1)
        found.append(closes[-1] * np.exp(slope * np.arange(1, horizon + 1)))
    return np.array(found)


def rank_ic(
    corpus: Corpus, windows: Sequence[Window], forecasts: np.ndarray, overlap: int
) -> dict[str, Estimate]:
    """RankIC of price and of return.

    Args:
        corpus: The bars.
        windows: Windows at shared dates.
        forecasts: (n, H) closes.
        overlap: Dates within a horizon.

    Returns:
        "price" and "return".
    """
    horizon = forecasts.shape[1]
    price, moved, expected = [], [], []
    for window, forecast in zip(windows, forecasts, strict=True):
        rows = slice(window.origin, window.origin + horizon)
        actual = corpus.values[rows, CLOSE].astype(np.float64)
        last = float(corpus.values[window.origin - 1, CLOSE])
        price.append(rank_correlation(forecast, actual))
        moved.append(np.log(actual[-1] / last))
        expected.append(np.log(forecast[-1] / last))
    dates = np.array([window.date for window in windows])
    across = []
    for date in np.unique(dates):
        of_date = dates == date
        if of_date.sum() >= FEWEST:
            across.append(rank_correlation(np.array(expected)[of_date], np.array(moved)[of_date]))
    return {
        "price": estimate(by_date(np.array(price), windows), overlap),
        "return": estimate(np.array(across), overlap),
    }
