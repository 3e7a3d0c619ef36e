"""Bars of many instruments on one calendar, and when each of them can be traded.

Axes: D bars of the calendar, I instruments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Candles, shared_times
from kronos.errors import InvalidRequest

__all__ = ["MAX_INSTRUMENTS", "Market"]

MAX_INSTRUMENTS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """A universe of instruments; arrays are (D, I).

    Attributes:
        candles: The bars of every instrument, by its name; I of them.
        index: (D,) open times of all bars in UTC; bars of a day or more are placed by their date.
        positions: Position of the bar in the instrument's series; -1 where it has none.
        opens: Open; NaN where there is no bar.
        closes: The last known close; NaN before the first bar.
        can_buy: Whether an order to buy at the open is filled.
        can_sell: Whether an order to sell at the open is filled.
    """

    candles: Mapping[str, Candles]
    index: pd.DatetimeIndex
    positions: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    can_buy: np.ndarray
    can_sell: np.ndarray

    @classmethod
    def of(cls, candles: Mapping[str, Candles], *, limit: float | None = None) -> Market:
        """The market of some series.

        An instrument cannot be traded at a missing bar, or at one without volume unless all its
        bars are without. With a limit it cannot be bought at an open that far above the close
        before, nor sold at one that far below.

        Args:
            candles: Series of one interval, by the names to show.
            limit: Daily price limit as a share, such as 0.1; None for no limit.

        Raises:
            InvalidRequest: There are no series or too many, or their intervals differ.
        """
        if not 1 <= len(candles) <= MAX_INSTRUMENTS:
            raise InvalidRequest(
                f"A universe has 1 to {MAX_INSTRUMENTS:,} instruments, found {len(candles)}."
            )
        intervals = sorted({each.interval for each in candles.values()})
        if len(intervals) > 1:
            raise InvalidRequest(
                f"The instruments of a universe must have bars of one interval, found "
                f"{', '.join(intervals)}. Choose those of one."
            )
        if limit is not None and not 0.0 < limit < 1.0:
            raise InvalidRequest(f"The price limit must be between 0 and 1, found {limit:g}.")
        labels = {
            name: shared_times(each.local_index, each.interval) for name, each in candles.items()
        }
        index = pd.DatetimeIndex(np.unique(np.concatenate([x.asi8 for x in labels.values()])))
        index = index.tz_localize("UTC")
        shape = (len(index), len(candles))
        positions = np.full(shape, -1)
        opens, closes, volumes = (np.full(shape, np.nan) for _ in range(3))
        for i, (name, each) in enumerate(candles.items()):
            rows = np.searchsorted(index.asi8, labels[name].asi8)
            positions[rows, i] = np.arange(len(each))
            opens[rows, i] = each.frame["open"]
            closes[rows, i] = each.frame["close"]
            volumes[rows, i] = each.frame["volume"] if each.has_volume else 1.0
        closes = pd.DataFrame(closes).ffill().to_numpy()
        trades = np.nan_to_num(volumes) > 0.0
        gap = np.zeros(shape)
        with np.errstate(invalid="ignore"):
            gap[1:] = np.nan_to_num(opens[1:] / closes[:-1] - 1.0)
        bound = np.inf if limit is None else limit - 1e-9
        return cls(
            candles,
            index,
            positions,
            opens,
            closes,
            trades & (gap < bound),
            trades & (gap > -bound),
        )

    @property
    def names(self) -> list[str]:
        """(I,) names of the instruments."""
        return list(self.candles)

    @property
    def has_bar(self) -> np.ndarray:
        """(D, I) whether the instrument has a bar."""
        return self.positions >= 0

    @property
    def n_known(self) -> np.ndarray:
        """(D, I) number of the instrument's bars up to and including this one."""
        return np.maximum.accumulate(self.positions, axis=0) + 1
