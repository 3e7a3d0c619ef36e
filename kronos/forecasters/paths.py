"""Sampled candles: anchored to the last close, and made valid."""

from __future__ import annotations

import numpy as np

from kronos.forecasters.inputs import CLOSE, PRICES, VOLUME, Context

PRICE_FLOOR = 1e-3
"""Lowest price a forecast may show, as a share of the last close."""


def anchor_factor(last_close: float, decoded: float) -> float:
    """What prices are multiplied by so that the decoded last close becomes the true one."""
    # A decoded close far off says that the tokenizer failed on this bar; moving the whole fan
    # by that error would only spread it.
    factor = last_close / decoded if decoded > 0 else 1.0
    return factor if 0.5 < factor < 2.0 else 1.0


def make_valid(paths: np.ndarray, context: Context) -> np.ndarray:
    """Repairs candles in place where needed: (N, H, 6); see `KronosPredictor.forecast`."""
    valid_prices(paths, context.values[-1, CLOSE])
    traded = context.values[:, VOLUME:].any(axis=0)
    paths[..., VOLUME:] = np.where(traded, np.maximum(paths[..., VOLUME:], 0.0), 0.0)
    return paths


def valid_prices(paths: np.ndarray, last_close: float) -> np.ndarray:
    """Repairs the prices of candles (N, H, 6) in place: none too low, high and low around all."""
    prices: np.ndarray = paths[..., PRICES]
    np.maximum(prices, PRICE_FLOOR * last_close, out=prices)
    paths[..., 1], paths[..., 2] = prices.max(axis=-1), prices.min(axis=-1)
    return paths
