"""Bars as moves from the close before them, and moves back to candles.

Axes: T bars moved (one fewer than the context has), N paths, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.context import AMOUNT, CLOSE, PRICES, VOLUME, Context

FARTHEST = float(np.log(1000.0))
"""Largest log-return from the origin that a path may reach, up or down."""
_DECIMALS = 9


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A series as baselines read it; all (T,), prices as logarithms.

    Attributes:
        returns: Close from the close before.
        gaps: Open from the close before.
        above: High from the larger of open and close; at least 0.
        below: The smaller of open and close from low; at least 0.
        volume: In the units of the data.
        turnover: Amount over the mean of the four prices.
        last_close: Where every path starts.
    """

    returns: np.ndarray
    gaps: np.ndarray
    above: np.ndarray
    below: np.ndarray
    volume: np.ndarray
    turnover: np.ndarray
    last_close: float

    @classmethod
    def of(cls, context: Context) -> History:
        """The moves of a context whose prices are above 0."""
        prices = context.values[:, PRICES]
        before = np.log(prices[:-1, CLOSE])
        opens, high, low, close = np.log(prices[1:]).T
        return cls(
            returns=close - before,
            gaps=opens - before,
            above=np.maximum(high - np.maximum(opens, close), 0.0),
            below=np.maximum(np.minimum(opens, close) - low, 0.0),
            volume=context.values[1:, VOLUME],
            turnover=context.values[1:, AMOUNT] / prices[1:].mean(axis=1),
            last_close=float(prices[-1, CLOSE]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """The draws of a method; all (N, H).

    Attributes:
        returns: Log-return of every bar.
        bars: Position of the bar of the history whose gap, wicks, volume and turnover are used.
        scale: Factor of that bar's gap and wicks.
    """

    returns: np.ndarray
    bars: np.ndarray
    scale: np.ndarray


def similar_bars(past: np.ndarray, shocks: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """For every shock the position of a bar of the history with a similar shock.

    One in forty of the bars on either side by rank counts as similar, so that moves of one size do
    not always have the same wicks and volume.

    Args:
        past: (T,) shocks of the history.
        shocks: (N, H) shocks drawn, on the same scale.
        uniforms: (N, H) numbers in [0, 1) that choose among the neighbours.
    """
    # Bars with one move keep their order in time, whatever the unit rounds their moves to.
    past = np.round(past, _DECIMALS)
    order = np.argsort(past, kind="stable")
    reach = max(1, len(past) // 40)
    nearest = np.searchsorted(past[order], shocks)
    offset = np.floor((2.0 * uniforms - 1.0) * (reach + 0.5) + 0.5).astype(int)
    return order[np.clip(nearest + offset, 0, len(past) - 1)]


def candles_of(history: History, moves: Moves) -> np.ndarray:
    """(N, H, 6) candles along the moves, each opening at the last close plus a past gap."""
    closes = np.clip(np.cumsum(moves.returns, axis=1), -FARTHEST, FARTHEST)
    before = np.concatenate([np.zeros((len(closes), 1)), closes[:, :-1]], axis=1)
    opens = before + moves.scale * history.gaps[moves.bars]
    high = np.maximum(opens, closes) + moves.scale * history.above[moves.bars]
    low = np.minimum(opens, closes) - moves.scale * history.below[moves.bars]
    logs = np.clip(np.stack([opens, high, low, closes], axis=-1), -FARTHEST, FARTHEST)
    paths = np.empty((*closes.shape, 6))
    paths[..., PRICES] = history.last_close * np.exp(logs)
    paths[..., VOLUME] = history.volume[moves.bars]
    paths[..., AMOUNT] = history.turnover[moves.bars] * paths[..., PRICES].mean(axis=-1)
    return paths
