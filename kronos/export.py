"""Forecasts as files: quantiles and paths as CSV, everything that made them as JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.forecast import Forecast

__all__ = ["candles_csv", "cell_text", "forecast_json", "paths_csv", "quantiles_csv"]

_FORMULA_STARTS = ("=", "+", "-", "@")


def quantiles_csv(candles: Candles, forecast: Forecast) -> str:
    """Quantiles of the close, one row a bar, times in ISO 8601 with their offset.

    The column `actual` is there when some of the bars have come, and empty where they have not;
    `fan` is there for a calibrated fan.
    """
    table = forecast.to_frame()
    table["probability_up"] = forecast.probability_up()
    actual = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    if np.isfinite(actual).any():
        table["actual"] = actual
    table.insert(0, "symbol", cell_text(candles.symbol))
    table.insert(1, "model", cell_text(forecast.model_name))
    if forecast.calibration_hash is not None:
        table.insert(2, "fan", "calibrated")
    return _csv(table.reset_index())


def paths_csv(candles: Candles, forecast: Forecast) -> str:
    """Every simulated candle, one row a path and bar."""
    table = forecast.paths_frame().reset_index()
    table.insert(0, "symbol", cell_text(candles.symbol))
    return _csv(table)


def candles_csv(candles: Candles) -> str:
    """The bars, one row each; times with their offset, days and weeks as dates."""
    local = candles.local_index
    are_dates = bool((local == local.normalize()).all()) and candles.width.days
    table = candles.frame.reset_index(drop=True)
    table.insert(0, "symbol", cell_text(candles.symbol))
    table.insert(
        1, "timestamp", [f"{at:%Y-%m-%d}" if are_dates else at.isoformat() for at in local]
    )
    return str(table.to_csv(index=False, lineterminator="\n"))


def forecast_json(candles: Candles, forecast: Forecast) -> str:
    """Quantiles, every setting, seed, model revision and digest of the context.

    `actual_close` is there when some of the bars have come, with null where they have not.
    """
    facts = {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "zone": candles.zone,
        "calendar": candles.calendar,
        "source": candles.source,
        **forecast.to_json(),
        "close_mean": forecast.mean()["close"].tolist(),
        "probability_up": forecast.probability_up().tolist(),
    }
    actual = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    if np.isfinite(actual).any():
        facts["actual_close"] = [float(v) if np.isfinite(v) else None for v in actual]
    return json.dumps(facts, indent=2, allow_nan=False) + "\n"


def cell_text(text: str) -> str:
    """Text from outside on one line, which no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv(table: pd.DataFrame) -> str:
    table["timestamp"] = [stamp.isoformat() for stamp in table["timestamp"]]
    return table.to_csv(index=False, lineterminator="\n")
