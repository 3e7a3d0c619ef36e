"""Candles and forecasts made of numbers: what a page draws, without a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kronos.candles import Candles
from kronos.forecast import COLUMNS, Forecast, SamplingParameters

Simulate = Callable[..., tuple[Candles, Forecast]]


def _bars(closes: np.ndarray, rng: np.random.Generator, volatility: float) -> np.ndarray:
    """(..., T, 6) valid candles around closes (..., T)."""
    opens = np.concatenate([closes[..., :1], closes[..., :-1]], axis=-1)
    spread = np.abs(rng.normal(0, volatility / 2, (2, *closes.shape)))
    high = np.maximum(opens, closes) * np.exp(spread[0])
    low = np.minimum(opens, closes) * np.exp(-spread[1])
    volume = rng.lognormal(4, 0.5, closes.shape)
    return np.stack([opens, high, low, closes, volume, volume * closes], axis=-1)


@pytest.fixture
def simulate() -> Simulate:
    """A function giving candles and a forecast whose horizon the last `n_known` bars cover."""

    def make(
        *,
        n_bars: int = 300,
        horizon: int = 24,
        n_paths: int = 60,
        n_known: int = 0,
        start: float = 9500.0,
        volatility: float = 0.004,
        freq: str = "30min",
        interval: str = "30m",
        zone: str = "UTC",
        begin: str = "2019-07-30 12:30",
        symbol: str = "BTCUSD",
        has_volume: bool = True,
        model: str = "bundled",
        parameters: SamplingParameters | None = None,
        seed: int = 3,
    ) -> tuple[Candles, Forecast]:
        rng = np.random.default_rng(seed)
        index = pd.date_range(begin, periods=n_bars + horizon, freq=freq, tz="UTC")
        closes = start * np.exp(np.cumsum(rng.normal(0, volatility, n_bars + horizon)))
        table = _bars(closes, rng, volatility)
        if not has_volume:
            table[:, 4:] = 0.0
        frame = pd.DataFrame(table, index=index.rename("timestamp"), columns=list(COLUMNS))
        candles = Candles(
            frame.iloc[: n_bars + n_known], interval, zone, "24/7", symbol, "simulated"
        )
        last = float(closes[n_bars - 1])
        steps = rng.standard_t(4, (n_paths, horizon)) / np.sqrt(2) * volatility
        forecast = Forecast(
            paths=_bars(last * np.exp(np.cumsum(steps, axis=1)), rng, volatility),
            timestamps=index[n_bars:].tz_convert(zone),
            origin=index[n_bars - 1],
            last_close=last,
            parameters=parameters or SamplingParameters(sample_count=n_paths),
            model_name=model,
            model_revision="0123456789abcdef",
            context_hash="ab" * 32,
            n_context=256,
            seconds=1.25,
        )
        return candles, forecast

    return make
