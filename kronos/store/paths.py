"""The paths of a prediction as bytes with their own digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from kronos.errors import InvalidRequest, StoreDamaged
from kronos.forecast import COLUMNS, Forecast

__all__ = ["KeptPaths", "paths_row", "read_paths"]

KeptPaths = Literal["close", "all", "none"]
"""Which columns of the paths are stored beside the quantiles."""


def paths_row(prediction_id: str, forecast: Forecast, keep: KeptPaths) -> dict[str, Any] | None:
    """The row of `prediction_paths` for a forecast; None where no paths are kept.

    Raises:
        InvalidRequest: `keep` is not one of the choices.
    """
    if keep not in ("close", "all", "none"):
        raise InvalidRequest(f'Paths to keep are "close", "all" or "none", found {keep!r}.')
    if keep == "none":
        return None
    columns = ["close"] if keep == "close" else list(COLUMNS)
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
    """Every kept column of the paths in a row of `prediction_paths`: each (N, H).

    Raises:
        StoreDamaged: The bytes are not those that were stored.
    """
    data, shape = row["data"], (row["n_paths"], horizon, len(row["columns"]))
    if hashlib.sha256(data).hexdigest() != row["sha256"] or len(data) != 8 * np.prod(shape):
        raise StoreDamaged(
            f"The stored paths of prediction {row['prediction_id']} do not have the digest they "
            "were stored with: the database is damaged. Restore it from a backup."
        )
    values = np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(shape)
    return {name: values[:, :, i] for i, name in enumerate(row["columns"])}
