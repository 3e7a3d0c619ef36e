"""Signals: one number for each instrument and date, the higher the better.

With c(h) the median over all paths of the log-return from the last close to the close of bar h of
H, the signals of a forecast are

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
from dataclasses import dataclass

import numpy as np

from kronos.forecast import Forecast
from kronos.portfolio.market import Market

__all__ = ["MOMENTUM", "SIGNALS", "Outlook", "momentum", "signal_of"]

MOMENTUM = "momentum"


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The part of a forecast that signals read: log-returns of the close from the last close.

    Attributes:
        medians: (H,) median over the paths.
        low: p10 at the last bar.
        high: p90 at the last bar.
        probability_up: Share of paths that end above the last close.
    """

    medians: np.ndarray
    low: float
    high: float
    probability_up: float

    @classmethod
    def of(cls, forecast: Forecast) -> Outlook:
        """The outlook of a forecast."""
        returns = forecast.log_returns()
        low, high = np.quantile(returns[:, -1], (0.10, 0.90)).tolist()
        return cls(np.median(returns, axis=0), low, high, float(forecast.probability_up()[-1]))


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
"""The signals of a forecast, by name."""


def signal_of(name: str, outlook: Outlook | None) -> float:
    """The value of a signal; NaN without a forecast, or for a fan of no width."""
    return float("nan") if outlook is None else SIGNALS[name](outlook)


def momentum(market: Market, dates: np.ndarray, n_bars: int) -> np.ndarray:
    """Log-return over an instrument's last bars, at every rebalance: (R, I).

    Args:
        market: The bars.
        dates: (R,) positions in the market's calendar.
        n_bars: Length of the return in the instrument's own bars.

    Returns:
        NaN where an instrument has no bar at that date, or fewer bars before it.
    """
    scores = np.full((len(dates), len(market.names)), np.nan)
    for i, candles in enumerate(market.candles.values()):
        closes = np.log(candles.frame["close"].to_numpy())
        at = market.positions[dates, i]
        known = at >= n_bars
        scores[known, i] = closes[at[known]] - closes[at[known] - n_bars]
    return scores
