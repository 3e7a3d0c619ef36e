"""Candles and forecasts made of numbers, the same for the same seed in every process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kronos.candles import COLUMNS, Candles
from kronos.forecast import Forecast, SamplingParameters

VOLATILITY = 0.004


def make_candles(
    n_bars: int = 120,
    *,
    symbol: str = "BTCUSD",
    interval: str = "1h",
    begin: str = "2026-03-01",
    zone: str = "UTC",
    calendar: str = "24/7",
    seed: int = 1,
) -> Candles:
    """Bars of a random walk, around the clock."""
    rng = np.random.default_rng(seed)
    closes = 9500 * np.exp(np.cumsum(rng.normal(0, VOLATILITY, n_bars)))
    step = {"1h": "h", "1d": "D"}[interval]
    index = pd.date_range(begin, periods=n_bars, freq=step, tz=zone).tz_convert("UTC")
    table = dict.fromkeys(COLUMNS[:4], closes) | {"volume": 1.0, "amount": closes}
    frame = pd.DataFrame(table, index=index.rename("timestamp"), columns=list(COLUMNS))
    return Candles(frame, interval, zone, calendar, symbol, "made")


def make_forecast(
    candles: Candles,
    position: int = 60,
    *,
    horizon: int = 6,
    n_paths: int = 20,
    seed: int = 0,
    model: str = "walk",
    revision: str = "0123456789abcdef",
) -> Forecast:
    """Paths of a random walk from a bar, as a model would give them."""
    history = candles.slice(None, position + 1)
    last = float(history.frame["close"].iloc[-1])
    rng = np.random.default_rng(seed)
    closes = last * np.exp(np.cumsum(rng.normal(0, VOLATILITY, (n_paths, horizon)), axis=1))
    paths = np.stack([closes] * 4 + [np.ones_like(closes), closes], axis=-1)
    return Forecast(
        paths=paths,
        timestamps=history.future(horizon).tz_convert(candles.zone),
        origin=history.local_index[-1],
        last_close=last,
        parameters=SamplingParameters(sample_count=n_paths, seed=seed),
        model_name=model,
        model_revision=revision,
        context_hash="ab" * 32,
        n_context=position + 1,
    )


def with_closes(candles: Candles, closes: dict[int, float]) -> Candles:
    """The candles with other closes at some positions."""
    frame = candles.frame.copy()
    for position, close in closes.items():
        frame.iloc[position, :4] = close
    return replace(candles, frame=frame)


def without(candles: Candles, *positions: int) -> Candles:
    """The candles without some bars."""
    return replace(candles, frame=candles.frame.drop(candles.frame.index[list(positions)]))
