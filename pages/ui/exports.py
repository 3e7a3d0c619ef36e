"""Forecasts as files: quantiles and paths as CSV, everything that made them as JSON."""

from __future__ import annotations

import json
import re

import pandas as pd

from kronos.candles import Candles
from kronos.forecast import Forecast

_FORMULA_STARTS = ("=", "+", "-", "@")


def quantiles_csv(candles: Candles, forecast: Forecast) -> bytes:
    """Close quantiles, one row a bar, times in ISO 8601 with their offset."""
    table = forecast.to_frame()
    table["probability_up"] = forecast.probability_up()
    table.insert(0, "symbol", cell_text(candles.symbol))
    table.insert(1, "model", cell_text(forecast.model_name))
    return _csv(table.reset_index())


def paths_csv(candles: Candles, forecast: Forecast) -> bytes:
    """Every simulated candle, one row a path and bar."""
    table = forecast.paths_frame().reset_index()
    table.insert(0, "symbol", cell_text(candles.symbol))
    return _csv(table)


def forecast_json(candles: Candles, forecast: Forecast) -> bytes:
    """Quantiles, every setting, seed, model revision and digest of the context."""
    instrument = {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "zone": candles.zone,
        "calendar": candles.calendar,
        "source": candles.source,
    }
    return json.dumps({**instrument, **forecast.to_json()}, indent=2, allow_nan=False).encode()


def file_stem(candles: Candles, forecast: Forecast) -> str:
    """A file name that is harmless everywhere, without its ending."""
    symbol = re.sub(r"[^A-Za-z0-9]+", "-", candles.symbol).strip("-")[:40] or "candles"
    return f"{symbol}_{candles.interval}_{forecast.origin:%Y%m%dT%H%M}_{forecast.horizon}bars"


def cell_text(text: str) -> str:
    """Text from outside on one line, which no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv(table: pd.DataFrame) -> bytes:
    table["timestamp"] = [stamp.isoformat() for stamp in table["timestamp"]]
    return table.to_csv(index=False, lineterminator="\n").encode()
