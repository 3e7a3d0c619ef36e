"""Forecasts as files: every path and every fact, so that nothing is lost between two processes.

A file is in the safetensors format: the paths as they are, and the facts as text beside them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, SamplingParameters

__all__ = ["load_forecast", "save_forecast"]


def save_forecast(forecast: Forecast, path: str | Path) -> None:
    """Writes a forecast; a reader finds the whole file or none.

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
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        paths = np.ascontiguousarray(forecast.paths)
        save_file({"paths": paths}, partial, metadata={"facts": json.dumps(facts)})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_forecast(path: str | Path) -> Forecast:
    """Reads what `save_forecast` wrote.

    Raises:
        InvalidRequest: The file cannot be read, or is no forecast.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            paths, facts = stored.get_tensor("paths"), json.loads(stored.metadata()["facts"])
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
            calibration_hash=facts.get("calibration_sha256"),
            weights=_weights(facts.get("weights")),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InvalidRequest(f"{path} is no forecast that can be read: {error}.") from error


def _weights(found: dict[str, list[float]] | None) -> dict[str, tuple[float, ...]] | None:
    return None if found is None else {name: tuple(each) for name, each in found.items()}


def _moment(text: str, zone: str | None) -> pd.Timestamp:
    stamp = pd.Timestamp(text)
    return stamp if zone is None else stamp.tz_convert(zone)
