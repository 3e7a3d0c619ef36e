"""The figures of a forecast that a follower compares with those of the forecast before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from kronos.forecast import Forecast
from kronos.risk import Estimate, quantile_of, share_of

__all__ = ["BAND", "Change", "FanFigures"]

BAND = (0.10, 0.90)
"""Levels of the band whose width is compared."""


@dataclass(frozen=True, slots=True)
class FanFigures:
    """What is kept of a forecast, without its paths.

    Attributes:
        origin: Time of the last known bar.
        until: Time of the last forecast bar.
        next_bar: Time of the first forecast bar.
        last_close: Close of the last known bar.
        low: p10 of the last close forecast.
        median: p50 of it.
        high: p90 of it.
        p_up: Share of paths that end above the last known close.
        next_low: p10 of the close of the first forecast bar.
        next_high: p90 of it.
    """

    origin: pd.Timestamp
    until: pd.Timestamp
    next_bar: pd.Timestamp
    last_close: float
    low: float
    median: float
    high: float
    p_up: Estimate
    next_low: Estimate
    next_high: Estimate

    @classmethod
    def of(cls, forecast: Forecast) -> FanFigures:
        """The figures of a forecast."""
        closes = forecast.column("close")
        low, median, high = forecast.quantile((BAND[0], 0.5, BAND[1]))[:, -1].tolist()
        return cls(
            origin=forecast.origin,
            until=forecast.timestamps[-1],
            next_bar=forecast.timestamps[0],
            last_close=forecast.last_close,
            low=low,
            median=median,
            high=high,
            p_up=share_of(closes[:, -1] > forecast.last_close),
            next_low=quantile_of(closes[:, 0], BAND[0]),
            next_high=quantile_of(closes[:, 0], BAND[1]),
        )

    @property
    def width(self) -> float:
        """From p10 to p90, as a share of the last known close."""
        return (self.high - self.low) / self.last_close


@dataclass(frozen=True, slots=True)
class Change:
    """What a forecast changed against the one before; each at its own last bar.

    Attributes:
        since: Origin of the forecast before.
        median: Relative change of the median: 0.01 is 1% higher.
        width: Relative change of the band's width as a share of the last close.
        p_up: Change of P(up) and its standard error, as if the paths of both were independent.
    """

    since: pd.Timestamp
    median: float
    width: float
    p_up: Estimate

    @classmethod
    def between(cls, before: FanFigures, after: FanFigures) -> Change:
        """The change from one forecast to the next."""
        width = after.width / before.width - 1.0 if before.width else math.nan
        error = math.hypot(before.p_up.error, after.p_up.error)
        return cls(
            since=before.origin,
            median=after.median / before.median - 1.0,
            width=width,
            p_up=Estimate(after.p_up.value - before.p_up.value, error),
        )
