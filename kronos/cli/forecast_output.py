"""How `kronos forecast` writes a forecast: quantiles as CSV or JSON, paths as CSV."""

from __future__ import annotations

import json

import pandas as pd

from kronos.cli.forecast_input import Request
from kronos.cli.terminal import csv_text
from kronos.forecast import COLUMNS, Forecast

__all__ = ["as_csv", "as_json", "paths_csv"]


def as_csv(forecast: Forecast, request: Request) -> str:
    """One row a future bar: quantiles and mean of the close, and what really followed."""
    table = forecast.to_frame()
    if len(request.actual):
        table["actual"] = request.actual.reindex(forecast.timestamps)
    rows = (
        (request.candles.symbol, stamp.isoformat(), *("" if pd.isna(v) else float(v) for v in row))
        for stamp, row in zip(forecast.timestamps, table.to_numpy(), strict=True)
    )
    return csv_text(["symbol", "timestamp", *map(str, table.columns)], rows)


def as_json(forecast: Forecast, request: Request) -> str:
    """The same as one object, with all that is needed to repeat the forecast."""
    candles = request.candles
    result = {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "zone": candles.zone,
        "calendar": candles.calendar,
        **forecast.to_json(),
        "close_mean": forecast.mean()["close"].tolist(),
        "probability_up": forecast.probability_up().tolist(),
    }
    if len(request.actual):
        actual = request.actual.reindex(forecast.timestamps)
        result["actual_close"] = [None if pd.isna(v) else float(v) for v in actual]
    return json.dumps(result, indent=2, allow_nan=False) + "\n"


def paths_csv(forecast: Forecast) -> str:
    """Every candle of every path: path, timestamp, open .. amount."""
    stamps = [stamp.isoformat() for stamp in forecast.timestamps]
    rows = (
        (path, stamps[step], *map(float, forecast.paths[path, step]))
        for path in range(forecast.n_paths)
        for step in range(forecast.horizon)
    )
    return csv_text(["path", "timestamp", *COLUMNS], rows)
