"""Outcomes to learn from, read from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.calibration.drift import fan_means
from kronos.calibration.state import Stream, bucket_of
from kronos.calibration.tracker import Outcomes
from kronos.evaluation.scores import LEVELS
from kronos.store.record import CutOff, read_quantiles, read_record

if TYPE_CHECKING:
    from kronos.store.store import Store

__all__ = ["issue_moments", "outcomes_of", "read_outcomes", "usable", "usable_record"]


def read_outcomes(store: Store, cut_off: CutOff) -> Outcomes:
    """Every outcome of the store that a calibration may learn from.

    Args:
        store: What to read.
        cut_off: As for `kronos.store.record.read_record`.

    Raises:
        StoreError: The store cannot be used.
    """
    record = usable_record(store, cut_off)
    return outcomes_of(record, read_quantiles(store, record))


def usable_record(store: Store, cut_off: CutOff) -> pd.DataFrame:
    """The usable rows of the store's record; arguments as for `read_outcomes`.

    Raises:
        StoreError: The store cannot be used.
    """
    record = read_record(store, cut_off)
    return record[usable(record)].reset_index(drop=True)


def usable(record: pd.DataFrame) -> np.ndarray:
    """(n,) whether each row of a record can be learned from.

    Not usable are rows of bars that the model may have learned from, of fans narrowed by
    temperature or filters, and without a volatility at the origin.

    Args:
        record: A table of `kronos.store.record.read_record`.
    """
    honest = record["out_of_sample"].fillna(record["ahead"]).to_numpy(dtype=bool)
    scaled = record["scale"].to_numpy(dtype=float) > 0
    plain = (record["T"] == 1) & (record["top_p"] == 1) & (record["top_k"] == 0)
    return np.asarray(honest & scaled & plain.to_numpy())


def outcomes_of(record: pd.DataFrame, quantiles: np.ndarray) -> Outcomes:
    """Rows of a record with their quantiles (n, L), in log-returns, as outcomes."""
    streams = pd.DataFrame(
        {
            "model": record["model"].to_numpy(),
            "revision": record["version"].to_numpy(),
            "asset_class": record["asset_class"].to_numpy(),
            "interval": record["interval"].to_numpy(),
            "bucket": bucket_of(record["step"].to_numpy()),
        },
        columns=list(Stream._fields),
    )
    resolved = record["resolved_at"].to_numpy(dtype="datetime64[ns]").astype("int64")
    levels = np.array(LEVELS)
    outcome = record["actual_return"].to_numpy()[:, None]
    scale = record["scale"].to_numpy()
    return Outcomes(
        streams=streams,
        issued=issue_moments(record),
        resolved=resolved,
        scores=(outcome - quantiles) / scale[:, None],
        means=fan_means(quantiles, levels) / scale,
        forecasts=pd.factorize(record["prediction_id"])[0],
        levels=levels,
    )


def issue_moments(record: pd.DataFrame) -> np.ndarray:
    """(n,) earliest moments of the forecasts of a record, in nanoseconds: the end of their bar."""
    width = record["interval"].map(lambda name: interval_width(name).value).to_numpy(dtype="int64")
    issued = record["origin"].to_numpy(dtype="datetime64[ns]").astype("int64") + width
    resolved = record["resolved_at"].to_numpy(dtype="datetime64[ns]").astype("int64")
    # A day of 23 hours ends before it has lasted a day.
    return np.asarray(np.minimum(issued, resolved - 1))
