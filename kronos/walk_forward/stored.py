"""Which windows are in the store already, so that a walk that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import sqlalchemy as sa

from kronos.forecast import SamplingParameters
from kronos.store.schema import predictions
from kronos.store.store import Store

__all__ = ["WindowKey", "stored_windows", "window_key"]

WindowKey = tuple[str, ...]


def window_key(
    instrument: str,
    source: str,
    interval: str,
    origin: pd.Timestamp,
    last_close: float,
    horizon: int,
    model: tuple[str, str],
    n_context: int,
    sampling: SamplingParameters,
) -> WindowKey:
    """What a window is known by before it is forecast.

    A source that rescaled its prices since gives another last close, and so another window.

    Args:
        instrument: Symbol.
        source: Name of the source of the bars.
        interval: Width of a bar.
        origin: Open time of the last bar read, UTC.
        last_close: Its close.
        horizon: Steps forecast.
        model: Name and revision.
        n_context: Bars read.
        sampling: How futures are drawn.
    """
    parts = (
        *(instrument, source, interval, origin.value, repr(float(last_close)), horizon, *model),
        *(n_context, sampling.seed, sampling.sample_count, float(sampling.T)),
        *(float(sampling.top_p), sampling.top_k),
    )
    return tuple(map(str, parts))


def stored_windows(store: Store, models: Sequence[tuple[str, str]]) -> set[WindowKey]:
    """Keys of the forecasts of these models, each a name and a revision."""
    names = (
        *("instrument", "source", "interval", "origin", "last_close", "horizon", "model_name"),
        *("model_version", "seed", "parameters"),
    )
    query = sa.select(*(predictions.c[name] for name in names))
    found = set()
    with store.database.reading() as connection:
        wanted = query.where(predictions.c.model_name.in_([name for name, _ in models]))
        for row in connection.execute(wanted).mappings():
            given = row["parameters"]
            facts = json.loads(given) if isinstance(given, str) else given
            sampling = SamplingParameters(
                facts["T"], facts["top_p"], facts["top_k"], facts["sample_count"], row["seed"]
            )
            key = window_key(
                row["instrument"],
                row["source"],
                row["interval"],
                pd.Timestamp(row["origin"]).as_unit("ns"),
                row["last_close"],
                row["horizon"],
                (row["model_name"], row["model_version"]),
                facts["n_context"],
                sampling,
            )
            found.add(key)
    return found
