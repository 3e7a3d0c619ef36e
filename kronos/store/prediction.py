"""A forecast as rows of the store: the prediction, its id, and its paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest, StoreDamaged
from kronos.evaluation.cone import origin_volatility
from kronos.evaluation.scores import LEVELS
from kronos.forecast import COLUMNS, Forecast

__all__ = ["Prediction", "StoredPaths", "earlier_id", "paths_row", "prediction_row", "read_paths"]

StoredPaths = Literal["close", "all", "none"]
"""Columns of the paths that are stored beside the quantiles."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A stored forecast.

    Attributes:
        id: SHA-256 of the request, the same in every store.
        instrument: Symbol of the candles.
        source: Source of the candles.
        interval: Width of a bar.
        zone: The exchange's own clock.
        calendar: Calendar of the candles.
        origin: Open time of the last bar that the model read, UTC.
        timestamps: (H,) open times of the forecast bars, UTC.
        last_close: Close of the bar at the origin.
        volatility: EWMA standard deviation of one bar's log-return at the origin; None with too
            few bars.
        model_name: Name of the model.
        model_version: Revision of the weights.
        parameters: T, top_p, top_k, sample_count, n_context and anchored.
        seed: Seed of the draws.
        event_context: Facts about the event rows; None where the model read none. `events_sha256`
            is the digest of the event rows.
        context_hash: SHA-256 of the context bytes.
        levels: (L,) levels of the quantiles, ascending.
        quantiles: (H, L) of the close, in the units of the data.
        probability_up: (H,) share of paths above the last close.
        software_version: Version of this program.
        created_at: When it was stored, UTC.
    """

    id: str
    instrument: str
    source: str
    interval: str
    zone: str
    calendar: str
    origin: pd.Timestamp
    timestamps: pd.DatetimeIndex
    last_close: float
    volatility: float | None
    model_name: str
    model_version: str
    parameters: dict[str, Any]
    seed: int
    event_context: dict[str, Any] | None
    context_hash: str
    levels: np.ndarray
    quantiles: np.ndarray
    probability_up: np.ndarray
    software_version: str
    created_at: pd.Timestamp

    @property
    def horizon(self) -> int:
        return len(self.timestamps)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Prediction:
        """The prediction of a row of `ml_predictions`.

        Raises:
            ValueError: A value is damaged, among them prices that are not above zero; operations
                of a store make it `StoreDamaged`.
        """
        facts = {name: row[name] for name in cls.__slots__}
        if not (0 < row["last_close"] < np.inf and (np.array(row["quantiles"]) > 0).all()):
            raise ValueError(f"prices of the forecast {row['id']} are not above zero")
        return cls(
            **facts
            | {
                "origin": pd.Timestamp(row["origin"]).as_unit("ns"),
                "timestamps": pd.DatetimeIndex(
                    [pd.Timestamp(text) for text in row["timestamps"]], name="timestamp"
                ).as_unit("ns"),
                "levels": np.array(row["levels"]),
                "quantiles": np.array(row["quantiles"]),
                "probability_up": np.array(row["probability_up"]),
                "created_at": pd.Timestamp(row["created_at"]),
            }
        )


def prediction_row(
    forecast: Forecast,
    candles: Candles,
    *,
    source: str | None,
    event_context: Mapping[str, Any] | None,
    now: pd.Timestamp,
) -> dict[str, Any]:
    """The row of `ml_predictions` for a forecast of candles; see `kronos.store.save`.

    Raises:
        InvalidRequest: The forecast is not of these candles, or cannot be scored.
    """
    if forecast.calibration_hash is not None:
        raise InvalidRequest(
            "A calibrated fan is not stored: a calibration learned from the store would correct it "
            "twice. Store the raw forecast."
        )
    _check_prices(forecast)
    origin = _utc(pd.DatetimeIndex([forecast.origin]), candles)[0]
    _check_origin(forecast, candles, origin)
    sampling = forecast.parameters
    request = {
        "instrument": _text(candles.symbol),
        "source": _text(candles.source if source is None else source),
        "interval": candles.interval,
        "origin": origin.isoformat(),
        "timestamps": [stamp.isoformat() for stamp in _utc(forecast.timestamps, candles)],
        "model_name": _text(forecast.model_name),
        "model_version": forecast.model_revision,
        "parameters": {
            "T": float(sampling.T),
            "top_p": float(sampling.top_p),
            "top_k": sampling.top_k,
            "sample_count": sampling.sample_count,
            "n_context": forecast.n_context,
            "anchored": forecast.anchored,
        },
        "seed": sampling.seed,
        "event_context": _event_context(forecast, event_context),
        "context_hash": forecast.context_hash,
    }
    return request | {
        "id": _prediction_id(forecast.request_hash, request),
        "origin": origin.to_pydatetime(),
        "zone": candles.zone,
        "calendar": candles.calendar,
        "horizon": forecast.horizon,
        "last_close": float(forecast.last_close),
        "volatility": origin_volatility(candles, origin),
        "levels": list(LEVELS),
        "quantiles": forecast.quantile(LEVELS).T.tolist(),
        "probability_up": forecast.probability_up().tolist(),
        "software_version": _software_version(),
        "created_at": now.to_pydatetime(),
    }


def earlier_id(row: Mapping[str, Any]) -> str:
    """The id of a row in stores that were written before forecasts knew their request."""
    names = (
        *("instrument", "source", "interval", "timestamps", "model_name", "model_version"),
        *("parameters", "seed", "event_context", "context_hash"),
    )
    facts = {name: row[name] for name in names}
    return _digest(1, facts | {"origin": pd.Timestamp(row["origin"]).isoformat()})


def _prediction_id(request_hash: str | None, facts: Mapping[str, Any]) -> str:
    """The key of a forecast: its request, and what it is stored under.

    A forecast that knows no request, as from an earlier file, is known by its facts.
    """
    if request_hash is None:
        return _digest(1, facts)
    names = ("instrument", "source", "interval", "event_context")
    return _digest(2, {"request": request_hash} | {name: facts[name] for name in names})


def paths_row(prediction_id: str, forecast: Forecast, stored: StoredPaths) -> dict[str, Any] | None:
    """The row of `prediction_paths` for a forecast; None where no paths are stored.

    Raises:
        InvalidRequest: `stored` is not one of `StoredPaths`.
    """
    if stored not in ("close", "all", "none"):
        raise InvalidRequest(f'Paths to store are "close", "all" or "none", found {stored!r}.')
    if stored == "none":
        return None
    columns = ["close"] if stored == "close" else list(COLUMNS)
    values = np.stack([forecast.column(name) for name in columns], axis=-1)
    data = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return {
        "prediction_id": prediction_id,
        "columns": columns,
        "n_paths": forecast.n_paths,
        "sha256": hashlib.sha256(data).hexdigest(),
        "data": data,
    }


def read_paths(row: Mapping[str, Any], horizon: int) -> dict[str, np.ndarray]:
    """The stored columns of the paths in a row of `prediction_paths`: each (N, H).

    Raises:
        StoreDamaged: The bytes do not have their digest.
    """
    data, shape = row["data"], (row["n_paths"], horizon, len(row["columns"]))
    if hashlib.sha256(data).hexdigest() != row["sha256"] or len(data) != 8 * np.prod(shape):
        raise StoreDamaged(
            f"The stored paths of prediction {row['prediction_id']} do not have the digest they "
            "were stored with: the database is damaged. Restore it from a backup."
        )
    values = np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(shape)
    return {name: values[:, :, i] for i, name in enumerate(row["columns"])}


def _event_context(forecast: Forecast, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The caller's facts and the digest of the event rows; None without either."""
    if forecast.events_hash is None:
        return None if given is None else dict(given)
    return dict(given or {}) | {"events_sha256": forecast.events_hash}


def _digest(version: int, request: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The event context cannot be stored as JSON: {error}.") from error
    return hashlib.sha256(f"kronos prediction {version}\n{text}".encode()).hexdigest()


@cache
def _software_version() -> str:
    try:
        return version("kronos-fan")
    except PackageNotFoundError:
        return "not installed"


def _text(value: str) -> str:
    """Text that every database accepts: no NUL, no half of a surrogate pair."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _utc(stamps: pd.DatetimeIndex, candles: Candles) -> pd.DatetimeIndex:
    if stamps.tz is None:
        stamps = stamps.tz_localize(candles.zone, ambiguous=False, nonexistent="shift_forward")
    return stamps.tz_convert("UTC")


def _check_prices(forecast: Forecast) -> None:
    if not (forecast.column("close") > 0).all() or not 0 < forecast.last_close < np.inf:
        raise InvalidRequest(
            "The forecast holds closes of 0 or below, from which no return can be measured."
        )


def _check_origin(forecast: Forecast, candles: Candles, origin: pd.Timestamp) -> None:
    closes = candles.frame["close"]
    close = closes.get(origin)
    if close is None or not np.isclose(close, forecast.last_close, rtol=1e-9, atol=0.0):
        found = "none" if close is None else f"one that closes at {close:g}"
        raise InvalidRequest(
            f"The forecast starts at {forecast.origin} from a close of {forecast.last_close:g}; "
            f"the candles of {candles.symbol} have {found} there. Give the candles of the forecast."
        )
