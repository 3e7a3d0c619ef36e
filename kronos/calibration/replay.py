"""Resolved outcomes through the trackers of their streams, in the order in which they resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from kronos.calibration.streams import Stream, bucket_size
from kronos.calibration.tracker import ETA, LOCATION, WARM, WARM_DAYS, QuantileTracker

__all__ = ["Outcomes", "Trackers", "offsets_at_issue", "replay"]

Trackers = dict[Stream, QuantileTracker]
_WIDENINGS = 3
_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of forecasts, a row for each prediction and step.

    Attributes:
        streams: The columns of `Stream`, one row each.
        issued: (n,) moments at which the forecasts could be made, in nanoseconds.
        resolved: (n,) moments at which the outcomes were known, in nanoseconds.
        scores: (n, L) (y - q) / (sigma * sqrt(h)) of the raw quantiles.
        forecasts: (n,) numbers of the forecasts: steps of one share theirs.
        levels: (L,) levels, ascending.
    """

    streams: pd.DataFrame
    issued: np.ndarray
    resolved: np.ndarray
    scores: np.ndarray
    forecasts: np.ndarray
    levels: np.ndarray

    def __len__(self) -> int:
        return len(self.issued)


def replay(
    outcomes: Outcomes,
    *,
    eta: float = ETA,
    location: float = LOCATION,
    warm: int = WARM,
    warm_days: int = WARM_DAYS,
    start: Mapping[Stream, tuple[np.ndarray, int, int]] | None = None,
) -> Trackers:
    """Trackers of every stream, narrow and wide, after all outcomes.

    Streams know nothing of each other, so that their order does not matter.

    Args:
        outcomes: What happened, in any order.
        eta: Correction by one forecast. Its steps in a bucket are almost one outcome, so that each
            of them corrects by its share of it.
        location: Pace at which fans are moved, as a share of that at which they are widened.
        warm: Fewest forecasts of a burn-in.
        warm_days: Fewest days on which these were made.
        start: Where streams go on from, as for `QuantileTracker`; their outcomes up to that moment
            have been learned from already, or are as old, and are left out.
    """
    start = start or {}
    trackers: Trackers = {
        stream: QuantileTracker(
            outcomes.levels, eta=_step(stream, eta), location=location, start=begun
        )
        for stream, begun in start.items()
    }
    for stream, rows in _members(outcomes):
        if stream not in trackers:
            trackers[stream] = QuantileTracker(
                outcomes.levels,
                eta=_step(stream, eta),
                location=location,
                warm=warm,
                warm_days=warm_days,
            )
        _enter(trackers[stream], outcomes, rows)
    return trackers


def offsets_at_issue(trackers: Trackers, outcomes: Outcomes) -> np.ndarray:
    """(n, L) offsets in force when every forecast was made, NaN where there were none.

    A stream in its burn-in takes those of the next wider one that has some.
    """
    found = np.full(outcomes.scores.shape, np.nan)
    for stream, rows in _members(outcomes):
        open_rows = rows[np.isnan(found[rows, 0])]
        if stream in trackers and len(open_rows):
            found[open_rows] = trackers[stream].offsets_at(outcomes.issued[open_rows])
    return found


def _step(stream: Stream, eta: float) -> float:
    return eta / bucket_size(stream.bucket)


def _members(outcomes: Outcomes) -> Iterator[tuple[Stream, np.ndarray]]:
    """Rows of every stream, the narrow streams first."""
    columns = list(Stream._fields)
    groups = outcomes.streams[columns].reset_index(drop=True).groupby(columns, sort=True).indices
    narrow = {Stream(*cast(tuple[Any, ...], key)): np.asarray(rows) for key, rows in groups.items()}
    for width in range(_WIDENINGS):
        joined: dict[Stream, list[np.ndarray]] = {}
        for stream, rows in narrow.items():
            joined.setdefault(stream.widening()[width], []).append(rows)
        for stream, parts in joined.items():
            yield stream, np.concatenate(parts)


def _enter(tracker: QuantileTracker, outcomes: Outcomes, rows: np.ndarray) -> None:
    """Enters the outcomes of one stream, moment by moment."""
    rows = rows[outcomes.resolved[rows] > tracker.latest]
    rows = rows[np.argsort(outcomes.resolved[rows], kind="stable")]
    moments, firsts = np.unique(outcomes.resolved[rows], return_index=True)
    for moment, some in zip(moments, np.split(rows, firsts[1:]), strict=True):
        issued = outcomes.issued[some]
        tracker.resolve(
            int(moment), issued, outcomes.scores[some], outcomes.forecasts[some], issued // _DAY
        )
