"""Forecasts as files.

quantiles_csv, paths_csv, risk_csv, candles_csv    tables for a spreadsheet
forecast_json                                      quantiles, and everything that made them
save_forecast, load_forecast                       every path and fact, exactly, as safetensors
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import DEFAULT_LEVELS, Forecast, SamplingParameters
from kronos.risk import RiskRow
from kronos.system import atomic_write, open_regular, parse_json

__all__ = [
    "candles_csv",
    "cell_text",
    "forecast_json",
    "load_forecast",
    "paths_csv",
    "quantiles_csv",
    "quantiles_table",
    "risk_csv",
    "save_forecast",
]

_FORMULA_STARTS = ("=", "+", "-", "@")


def quantiles_csv(
    candles: Candles,
    forecast: Forecast,
    levels: Sequence[float] = DEFAULT_LEVELS,
    *,
    corridor: float | None = None,
    implied: float | None = None,
) -> str:
    """The table of `quantiles_table` as CSV, times in ISO 8601 with their offset.

    Raises:
        InvalidRequest: A level, the share or the volatility is out of range.
    """
    table = quantiles_table(candles, forecast, levels, corridor=corridor, implied=implied)
    for name in ("symbol", "model"):
        table[name] = table[name].map(cell_text)
    return _csv(table)


def quantiles_table(
    candles: Candles,
    forecast: Forecast,
    levels: Sequence[float] = DEFAULT_LEVELS,
    *,
    corridor: float | None = None,
    implied: float | None = None,
) -> pd.DataFrame:
    """Quantiles of the close at these levels, one row a bar.

    Column `actual` is present when some of the forecast bars are known, and empty for the others;
    column `fan` is present for a calibrated fan.

    Args:
        candles: The bars.
        forecast: The fan.
        levels: Levels of the quantiles, between 0 and 1.
        corridor: Share of whole paths inside a corridor; its edges are two more columns.
        implied: Annual volatility; p10, p50 and p90 of its cone are three more columns.

    Raises:
        InvalidRequest: A level, the share or the volatility is out of range.
    """
    table = forecast.to_frame(levels)
    table["probability_up"] = forecast.probability_up()
    for name, row in _bands(candles, forecast, corridor, implied).items():
        table[name] = row
    actual = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    if np.isfinite(actual).any():
        table["actual"] = actual
    table.insert(0, "symbol", candles.symbol)
    table.insert(1, "model", forecast.model_name)
    if forecast.calibration_hash is not None:
        table.insert(2, "fan", "calibrated")
    return table.reset_index()


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


def risk_csv(rows: Sequence[RiskRow]) -> str:
    """Risk figures, one row each: measure, side, value, standard error."""
    table = pd.DataFrame(
        [(row.measure, row.side, row.estimate.value, row.estimate.error) for row in rows],
        columns=["measure", "side", "value", "standard_error"],
    )
    return str(table.to_csv(index=False, lineterminator="\n"))


def forecast_json(
    candles: Candles,
    forecast: Forecast,
    levels: Sequence[float] = DEFAULT_LEVELS,
    risk: Sequence[RiskRow] = (),
    *,
    corridor: float | None = None,
    implied: float | None = None,
) -> str:
    """Quantiles, every setting, seed, model revision and digest of the context.

    `actual_close` is present when some of the forecast bars are known, with null for the others;
    `risk` where its rows are given, `bands` with a corridor or an implied volatility: see
    `quantiles_csv`.
    """
    facts = {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "zone": candles.zone,
        "calendar": candles.calendar,
        "source": candles.source,
        **forecast.to_json(levels),
        "close_mean": forecast.mean()["close"].tolist(),
        "probability_up": forecast.probability_up().tolist(),
    }
    actual = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    if np.isfinite(actual).any():
        facts["actual_close"] = [float(v) if np.isfinite(v) else None for v in actual]
    if bands := _bands(candles, forecast, corridor, implied):
        facts["bands"] = {name: row.tolist() for name, row in bands.items()}
    if risk:
        facts["risk"] = [
            {
                "measure": row.measure,
                "side": row.side,
                "value": _known(row.estimate.value),
                "standard_error": _known(row.estimate.error),
            }
            for row in risk
        ]
    return json.dumps(facts, indent=2, allow_nan=False) + "\n"


def _bands(
    candles: Candles, forecast: Forecast, corridor: float | None, implied: float | None
) -> dict[str, np.ndarray]:
    """Name -> (H,) prices of the edges of a corridor and of an implied cone."""
    found: dict[str, np.ndarray] = {}
    if corridor is not None:
        name = f"corridor{100 * corridor:g}"
        low, high = forecast.corridor(corridor)
        found |= {f"{name}_low": low, f"{name}_high": high}
    if implied is not None:
        rows = forecast.implied_cone(implied, candles.bar_years)
        found |= dict(zip(("implied_p10", "implied_p50", "implied_p90"), rows, strict=True))
    return found


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def cell_text(text: str) -> str:
    """External text on one line that no spreadsheet reads as a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def save_forecast(forecast: Forecast, path: str | Path) -> None:
    """Write a forecast; a reader finds the whole file or none.

    Raises:
        OSError: The file cannot be written.
    """
    path = Path(path)
    times = forecast.timestamps
    facts = forecast.metadata() | {
        "seconds": forecast.seconds,
        "timestamps": [stamp.isoformat() for stamp in times],
        "zone": None if times.tz is None else str(times.tz),
        "origin_zone": None if forecast.origin.tz is None else str(forecast.origin.tz),
    }
    with atomic_write(path) as partial:
        paths = np.ascontiguousarray(forecast.paths)
        save_file({"paths": paths}, partial, metadata={"facts": json.dumps(facts)})


def load_forecast(path: str | Path) -> Forecast:
    """Read a file of `save_forecast`.

    Raises:
        InvalidRequest: The file cannot be read, or is no forecast.
    """
    try:
        with open_regular(path), safe_open(path, framework="numpy") as stored:
            paths, facts = stored.get_tensor("paths"), parse_json(stored.metadata()["facts"])
        times = [_moment(text, facts["zone"]) for text in facts["timestamps"]]
        return Forecast(
            paths=paths,
            timestamps=pd.DatetimeIndex(times),
            origin=_moment(facts["origin"], facts["origin_zone"]),
            last_close=facts["last_close"],
            parameters=SamplingParameters(**facts["parameters"]),
            model_name=facts["model"],
            model_revision=facts["model_revision"],
            context_hash=facts["context_sha256"],
            n_context=facts["n_context"],
            anchor_factor=facts["anchor_factor"],
            seconds=facts["seconds"],
            events_hash=facts.get("events_sha256"),
            leaders=facts.get("leaders"),
            calibration_hash=facts.get("calibration_sha256"),
            weights=_weights(facts.get("weights")),
            drift_shares=_shares(facts.get("drift_shares")),
        )
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError),
        SafetensorError,
    ) as error:
        raise InvalidRequest(f"{path} is no forecast that can be read: {error}.") from error


def _csv(table: pd.DataFrame) -> str:
    table["timestamp"] = [stamp.isoformat() for stamp in table["timestamp"]]
    return table.to_csv(index=False, lineterminator="\n")


def _weights(found: dict[str, list[float]] | None) -> dict[str, tuple[float, ...]] | None:
    return None if found is None else {name: tuple(each) for name, each in found.items()}


def _shares(found: list[float] | None) -> tuple[float, ...] | None:
    return None if found is None else tuple(float(share) for share in found)


def _moment(text: str, zone: str | None) -> pd.Timestamp:
    stamp = pd.Timestamp(text)
    return stamp if zone is None else stamp.tz_convert(zone)
