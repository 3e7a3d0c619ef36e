"""Signals: one number an instrument and date, the higher the better.

With c(h) the median over all paths of the log-return from the last close to the close of bar h of
H, the forecast's signals are

    last      c(H)
    mean      the mean of c(1) ... c(H)
    max       the largest of them
    min       the smallest of them
    p_up      the share of paths whose close of bar H is above the last close
    return_over_width   c(H) over the distance from p10 to p90 of the log-return at bar H

The median and not the mean of the paths, because a single wild path must not decide a rank.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kronos.portfolio.market import Market
from kronos.portfolio.outlooks import Outlook

__all__ = ["MOMENTUM", "SIGNALS", "momentum", "signal_of"]

MOMENTUM = "momentum"


def _return_over_width(outlook: Outlook) -> float:
    width = outlook.high - outlook.low
    return float(outlook.medians[-1]) / width if width > 0.0 else float("nan")


SIGNALS: dict[str, Callable[[Outlook], float]] = {
    "last": lambda outlook: float(outlook.medians[-1]),
    "mean": lambda outlook: float(outlook.medians.mean()),
    "max": lambda outlook: float(outlook.medians.max()),
    "min": lambda outlook: float(outlook.medians.min()),
    "p_up": lambda outlook: outlook.probability_up,
    "return_over_width": _return_over_width,
}
"""Every signal of a forecast, by name."""


def signal_of(name: str, outlook: Outlook | None) -> float:
    """A signal; NaN where there is no forecast, or one without width to divide by."""
    return float("nan") if outlook is None else SIGNALS[name](outlook)


def momentum(market: Market, dates: np.ndarray, n_bars: int) -> np.ndarray:
    """Log-return over an instrument's last bars, at every rebalance: (R, I).

    Args:
        market: The bars.
        dates: (R,) positions in the market's calendar.
        n_bars: Own bars the return reaches back.

    Returns:
        NaN where an instrument has no bar at that date, or not so many before it.
    """
    scores = np.full((len(dates), len(market.names)), np.nan)
    for i, candles in enumerate(market.candles.values()):
        closes = np.log(candles.frame["close"].to_numpy())
        at = market.positions[dates, i]
        known = at >= n_bars
        scores[known, i] = closes[at[known]] - closes[at[known] - n_bars]
    return scores
