"""Candles as series in logarithms, and the quantiles of these as candles.

Axes: T context bars, H horizon, Q levels, V series: open, high, low, close and, where there is
any, volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.forecasters.inputs import AMOUNT, CLOSE, PRICES, VOLUME, Context

__all__ = ["Scale", "covariates"]

FARTHEST = float(np.log(1000.0))
"""Largest log-return from the last close that a candle may reach, up or down."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What candles are measured by.

    Attributes:
        last_close: Prices are logarithms of their ratio to it.
        volume: Volume v is log(1 + v / this); 0 where there is no volume.
        turnover: Amount over volume and mean price; 0 where there is no amount.
    """

    last_close: float
    volume: float
    turnover: float

    @classmethod
    def of(cls, context: Context) -> Scale:
        """The scale of a context whose prices are above 0."""
        values = context.values
        traded = values[:, VOLUME] > 0
        volume = float(np.median(values[traded, VOLUME])) if traded.any() else 0.0
        worth = values[:, VOLUME] * values[:, PRICES].mean(axis=1)
        has_both = (values[:, AMOUNT] > 0) & (worth > 0)
        ratio = values[has_both, AMOUNT] / worth[has_both]
        return cls(float(values[-1, CLOSE]), volume, float(np.median(ratio)) if len(ratio) else 0.0)

    @property
    def n_series(self) -> int:
        return 5 if self.volume else 4

    def series(self, values: np.ndarray) -> np.ndarray:
        """Candles (..., 6) as series (..., V)."""
        logs = np.log(values[..., PRICES] / self.last_close)
        if not self.volume:
            return np.asarray(logs)
        volume = np.log1p(np.maximum(values[..., VOLUME], 0.0) / self.volume)
        return np.concatenate([logs, volume[..., None]], axis=-1)

    def candles(self, series: np.ndarray) -> np.ndarray:
        """Series (..., V) as candles (..., 6), not made valid yet."""
        candles = np.zeros((*series.shape[:-1], 6))
        logs = np.clip(series[..., :4], -FARTHEST, FARTHEST)
        candles[..., PRICES] = self.last_close * np.exp(logs)
        if self.volume:
            volume = self.volume * np.expm1(np.clip(series[..., 4], 0.0, FARTHEST))
            candles[..., VOLUME] = volume
            candles[..., AMOUNT] = self.turnover * volume * candles[..., PRICES].mean(axis=-1)
        return candles


def covariates(rows: np.ndarray, n_read: int) -> dict[str, dict[str, np.ndarray]]:
    """Event channels (T + H, 20) as covariates known for context and horizon.

    Channels that never change say nothing and are left out.
    """
    varying = np.flatnonzero(np.ptp(rows, axis=0) > 0)
    if not len(varying):
        return {}
    return {
        "past_covariates": {f"event {i}": rows[:n_read, i] for i in varying},
        "future_covariates": {f"event {i}": rows[n_read:, i] for i in varying},
    }
