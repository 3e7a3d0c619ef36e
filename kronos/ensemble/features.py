"""What the weights may depend on: facts known when the forecast is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd

from kronos.calendars import ASSET_CLASSES
from kronos.calendars.intervals import interval_width
from kronos.ensemble.table import MemberTable

__all__ = ["RECENT", "feature_names", "features", "recent_losses", "trailing_losses"]

RECENT = 200
"""Resolved outcomes over which a member's recent loss is averaged."""
_SMALLEST = 1e-6
_OF_STREAM = ["asset_class", "interval", "bucket"]

Recent = Mapping[tuple[str, str, int], Sequence[float]]
"""Stream -> recent mean loss of every member."""


def feature_names(members: Sequence[str]) -> list[str]:
    """Names of the columns of `features`."""
    common = ["step", "width", "volatility", "class", "weekday", "hour", "event", "disagreement"]
    each = [f"{what} of {name}" for what in ("spread", "median", "recent") for name in members]
    return common + each


def features(
    facts: pd.DataFrame, quantiles: np.ndarray, levels: np.ndarray, recent: np.ndarray
) -> np.ndarray:
    """(n, F) columns `feature_names`, NaN for what is not known.

    The spread of a member is the width of its 80% band, its recent value the logarithm of its
    resolved losses over those of all members. Trend and the ratio of slow to fast volatility are
    in them: as the median of the random walk with drift, and as its spread.

    Args:
        facts: asset_class, interval, step, scale (sigma * sqrt(step)), origin (with a zone), zone
            and event_day: whether a release is scheduled for the day of the outcome.
        quantiles: (n, M, L) over sigma * sqrt(h).
        levels: (L,) levels, ascending.
        recent: (n, M) recent losses, NaN where there are none.
    """
    low, middle, high = (int(np.argmin(np.abs(levels - level))) for level in (0.1, 0.5, 0.9))
    spreads = np.log(np.maximum(quantiles[..., high] - quantiles[..., low], _SMALLEST))
    medians = quantiles[..., middle]
    local = _local(facts)
    classes = list(ASSET_CLASSES)
    width = facts["interval"].map(lambda name: interval_width(name).total_seconds())
    step = facts["step"].to_numpy(dtype=float)
    common = (
        np.log(step),
        np.log(width.to_numpy(dtype=float)),
        np.log(facts["scale"].to_numpy(dtype=float) / np.sqrt(step)),
        facts["asset_class"].map(classes.index).to_numpy(dtype=float),
        local.dt.day_of_week.to_numpy(dtype=float),
        local.dt.hour.to_numpy(dtype=float),
        facts["event_day"].astype("Float64").to_numpy(dtype=float, na_value=np.nan),
        medians.std(axis=1),
    )
    relative = np.log(recent / recent.mean(axis=1, keepdims=True))
    return np.column_stack([*common, spreads, medians, relative])


def trailing_losses(table: MemberTable) -> np.ndarray:
    """(n, M) recent losses of every member as of each forecast's own moment, NaN without any.

    Only what had resolved by then counts.
    """
    losses = table.losses()
    found = np.full(losses.shape, np.nan)
    resolved = table.facts["resolved_at"].to_numpy(dtype="datetime64[ns]").astype("int64")
    issued = table.facts["issued"].to_numpy()
    for _, rows in table.facts.groupby(_OF_STREAM).indices.items():
        order = rows[np.argsort(resolved[rows], kind="stable")]
        sums = np.concatenate([np.zeros((1, losses.shape[1])), np.cumsum(losses[order], axis=0)])
        ends = np.searchsorted(resolved[order], issued[rows], side="right")
        begins = np.maximum(ends - RECENT, 0)
        known = ends > 0
        counts = (ends - begins)[known, None]
        found[rows[known]] = (sums[ends[known]] - sums[begins[known]]) / counts
    return found


def recent_losses(table: MemberTable) -> dict[tuple[str, str, int], list[float]]:
    """Recent losses of every member as they stand after all outcomes, by stream."""
    losses = table.losses()
    ordered = table.facts.reset_index(drop=True).sort_values("resolved_at", kind="stable")
    groups = cast(Iterable[tuple[tuple[str, str, int], pd.DataFrame]], ordered.groupby(_OF_STREAM))
    return {
        (name, interval, int(bucket)): losses[rows.index[-RECENT:]].mean(axis=0).tolist()
        for (name, interval, bucket), rows in groups
    }


def _local(facts: pd.DataFrame) -> pd.Series:
    """Origins on each market's own clock, as naive times."""
    out = pd.Series(pd.NaT, index=facts.index, dtype="datetime64[ns]")
    for zone, rows in facts.groupby("zone")["origin"]:
        out[rows.index] = rows.dt.tz_convert(str(zone)).dt.tz_localize(None).dt.as_unit("ns")
    return out
