"""Offsets and drift learned from outcomes: an online tracker for every stream.

The quantile of a level is moved to q + theta * sigma * sqrt(h), sigma being the EWMA volatility at
the origin. When an outcome y resolves,

    theta += eta * (level - 1[y <= q + theta_issued * sigma * sqrt(h)])

with the theta in force when the forecast was made: the correction is of the fan that was shown. The
sum of these errors is (theta - theta at the start) / eta, so that as long as theta stays bounded
the share of outcomes below the shown quantile tends to the level, for any sequence of outcomes
(Gibbs and Candes 2021; Angelopoulos, Candes and Tibshirani 2023).

A correction has two parts: the part that a level and its mirror image, such as p10 and p90, share
moves the fan, the rest widens or narrows it. The right width of a fan outlasts the weeks of its
record; the direction of markets in those weeks hardly does. So the first part takes a quarter of
the pace, which leaves the argument above as it is, with another eta for it.

Before its offsets, a fan loses a part of its drift (`kronos.calibration.drift`): the quantiles q
above are those of the fan that keeps the share in force when the forecast was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from kronos.calibration.drift import RIDGE, DriftTracker
from kronos.calibration.state import (
    DECIMALS,
    ETA,
    CalibrationState,
    Stream,
    StreamState,
    bucket_size,
)
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import level_weights

__all__ = [
    "LOCATION",
    "WARM",
    "WARM_DAYS",
    "Outcomes",
    "QuantileTracker",
    "Trackers",
    "learned_state",
    "replay",
    "shifts_at_issue",
]

LOCATION = 0.25
"""Pace at which a fan moves, as a share of the pace at which it widens."""
WARM = 200
"""Fewest forecasts of the burn-in, which give the first offsets."""
WARM_DAYS = 20
"""Fewest days on which they were made: however many instruments, one day is one day's evidence."""
_DAYS_OF_DOUBT = 50


class QuantileTracker:
    """Offsets of one stream over time. Pure: the same outcomes give the same offsets.

    Outcomes that resolve at the same moment enter together by the mean of their errors. They share
    the market's move of that moment and are seldom independent; one by one, fifty instruments that
    fall together would move theta fifty times for one fall.

    The outcomes of the first forecasts are the burn-in: there are no offsets until it ends, and the
    first ones are the split-conformal quantiles of its scores (y - q) / (sigma * sqrt(h)), drawn
    towards 0 as far as its few days leave room to chance: by n / (n + 50) after n days. A quantile
    of n independent scores has a variance of level * (1 - level) / (density^2 n), about 3 / n at
    p10 of a normal; offsets of models in use have one of about .06, and 3 / .06 is 50. The part of
    the first offsets that moves the fan counts a quarter as well.

    Attributes:
        levels: (L,) levels, ascending, each with its mirror image.
        n_outcomes: Number of outcomes so far.
        drift: How much of their drift the fans keep.
    """

    def __init__(
        self,
        levels: np.ndarray,
        *,
        eta: float = ETA,
        location: float = LOCATION,
        warm: int = WARM,
        warm_days: int = WARM_DAYS,
        ridge: float = RIDGE,
        start: StreamState | None = None,
    ) -> None:
        """Args:
        levels: (L,) levels in (0, 1), ascending; with each l there is 1 - l.
        eta: Step of a correction.
        location: Pace at which the fan moves, as a share of the pace at which it widens.
        warm: Fewest forecasts of the burn-in.
        warm_days: Fewest days of these forecasts.
        ridge: That of the slope of the drift.
        start: What an earlier record taught; there is no burn-in then.

        Raises:
            InvalidRequest: A level has no mirror image.
        """
        self.levels = np.asarray(levels, dtype=float)
        if not np.allclose(self.levels + self.levels[::-1], 1.0):
            raise InvalidRequest(
                "Levels must lie the same way below and above the median, such as 0.1, 0.5 and "
                f"0.9; found {', '.join(map(str, self.levels))}."
            )
        self.n_outcomes = 0 if start is None else start.n_outcomes
        self.drift = DriftTracker(ridge=ridge, start=None if start is None else start.drift)
        self._weights = level_weights(self.levels)
        self._eta, self._location = eta, location
        self._warm, self._warm_days = warm, warm_days
        self._burn_in: list[np.ndarray] = []
        self._burnt: set[int] = set()
        self._burnt_on: set[int] = set()
        self._latest = -(2**63) if start is None else start.latest.value
        self._moments: list[int] = [] if start is None else [self._latest]
        self._offsets: list[np.ndarray] = [] if start is None else [start.offsets]

    @property
    def is_warm(self) -> bool:
        """Whether there are offsets."""
        return bool(self._offsets)

    @property
    def latest(self) -> int:
        """The last moment at which outcomes entered."""
        return self._latest

    @property
    def offsets(self) -> np.ndarray:
        """(L,) present offsets; NaN before the end of the burn-in."""
        return self._offsets[-1] if self._offsets else np.full(len(self.levels), np.nan)

    def resolve(
        self,
        moment: int,
        issued: np.ndarray,
        scores: np.ndarray,
        means: np.ndarray,
        forecasts: np.ndarray,
        days: np.ndarray,
    ) -> None:
        """Enters the outcomes that resolve at one moment.

        Args:
            moment: When, as a number that grows with time, such as nanoseconds.
            issued: (K,) when their forecasts were made, before `moment`.
            scores: (K, L) (y - q) / (sigma * sqrt(h)) of the raw quantiles.
            means: (K,) means of the raw fans, in the same units.
            forecasts: (K,) numbers of the forecasts: steps of one share theirs.
            days: (K,) numbers of the days of these forecasts.

        Raises:
            InvalidRequest: The moment is not after the one before, or a forecast is not before it.
        """
        if moment <= self._latest:
            raise InvalidRequest("Outcomes enter in the order in which they resolve.")
        if (np.asarray(issued) >= moment).any():
            raise InvalidRequest("A forecast is made before its outcome resolves.")
        self._latest = moment
        self.n_outcomes += len(scores)
        dropped = (1.0 - self.drift.slopes_at(issued)) * means
        self.drift.resolve(moment, issued, means, means + scores @ self._weights)
        scores = scores + dropped[:, None]
        if not self.is_warm:
            self._burn_in.append(scores)
            self._burnt.update(np.asarray(forecasts).tolist())
            self._burnt_on.update(np.asarray(days).tolist())
            if len(self._burnt) >= self._warm and len(self._burnt_on) >= self._warm_days:
                found = _conformal(np.concatenate(self._burn_in), self.levels)
                self._append(moment, _trust(len(self._burnt_on)) * self._tempered(found))
                self._burn_in.clear()
            return
        # A fan from before the end of the burn-in had no offsets; the first ones stand for them.
        places = np.searchsorted(self._moments, issued, side="right") - 1
        in_force = np.stack([self._offsets[place] for place in np.maximum(places, 0)])
        errors = self.levels - (scores <= in_force)
        self._append(moment, self.offsets + self._eta * self._tempered(errors.mean(axis=0)))

    def offsets_at(self, moments: np.ndarray) -> np.ndarray:
        """(M, L) offsets in force at some moments; NaN where there are none yet."""
        places = np.searchsorted(self._moments, moments, side="right") - 1
        found = np.full((len(places), len(self.levels)), np.nan)
        for i in np.flatnonzero(places >= 0):
            found[i] = self._offsets[places[i]]
        return found

    def _tempered(self, change: np.ndarray) -> np.ndarray:
        """A change of offsets (L,) with less weight on the part that moves the whole fan."""
        mirrored = change[::-1]
        return np.asarray((change - mirrored) / 2 + self._location * (change + mirrored) / 2)

    def _append(self, moment: int, offsets: np.ndarray) -> None:
        self._moments.append(moment)
        self._offsets.append(offsets)


def _trust(n_days: int) -> float:
    """Weight of the scores of some days, from 0 to 1."""
    return n_days / (n_days + _DAYS_OF_DOUBT)


def _conformal(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(L,) the k-th smallest of n scores (n, L) of every level, k = level * (n + 1)."""
    each = zip(scores.T, levels, strict=True)
    return np.array([np.quantile(column, level, method="weibull") for column, level in each])


Trackers = dict[Stream, QuantileTracker]
_WIDENINGS = 3
_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes of forecasts, a row for each prediction and step.

    Attributes:
        streams: The columns of `Stream`, one row each.
        issued: (n,) earliest moments of the forecasts, in nanoseconds.
        resolved: (n,) moments from which the outcomes were known, in nanoseconds.
        scores: (n, L) (y - q) / (sigma * sqrt(h)) of the raw quantiles.
        means: (n,) means of the raw fans, in the same units.
        forecasts: (n,) numbers of the forecasts: steps of one share theirs.
        levels: (L,) levels, ascending.
    """

    streams: pd.DataFrame
    issued: np.ndarray
    resolved: np.ndarray
    scores: np.ndarray
    means: np.ndarray
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
    ridge: float = RIDGE,
    start: Mapping[Stream, StreamState] | None = None,
) -> Trackers:
    """Trackers of every stream, narrow and wide, after all outcomes.

    Streams do not depend on each other, so that their order does not matter.

    Args:
        outcomes: In any order.
        eta: Correction by one forecast. Its steps in a bucket are almost one outcome: each
            corrects by its share.
        location: Pace at which fans move, as a share of the pace at which they widen.
        warm: Fewest forecasts of a burn-in.
        warm_days: Fewest days of these forecasts.
        ridge: That of the slopes of drifts.
        start: What an earlier record taught of some streams; their outcomes up to its last moment
            are left out.
    """
    start = start or {}
    trackers: Trackers = {
        stream: QuantileTracker(
            outcomes.levels, eta=_step(stream, eta), location=location, ridge=ridge, start=begun
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
                ridge=ridge,
            )
        _enter(trackers[stream], outcomes, rows)
    return trackers


def learned_state(
    trackers: Trackers, levels: np.ndarray, *, eta: float = ETA, learned_from: str = ""
) -> CalibrationState:
    """What trackers have learned after a replay, as a state that can be stored.

    Args:
        trackers: From `replay`; those in their burn-in are left out.
        levels: (L,) their levels.
        eta: Step of their corrections.
        learned_from: Origin of the outcomes, in words.
    """
    streams = {
        # Rounded as in the file, so that a fan is the same before and after.
        stream: StreamState(
            tracker.offsets.round(DECIMALS),
            tracker.n_outcomes,
            pd.Timestamp(tracker.latest, tz="UTC"),
            tracker.drift.state,
        )
        for stream, tracker in sorted(trackers.items())
        if tracker.is_warm
    }
    return CalibrationState(np.asarray(levels, dtype=float), streams, eta, learned_from)


def shifts_at_issue(trackers: Trackers, outcomes: Outcomes) -> np.ndarray:
    """(n, L) shifts of the raw quantiles in force when every forecast was made, drift and offsets.

    In units of sigma * sqrt(h). NaN where there were none; a stream in its burn-in takes those of
    the next wider one that has some.
    """
    found = np.full(outcomes.scores.shape, np.nan)
    for stream, rows in _members(outcomes):
        open_rows = rows[np.isnan(found[rows, 0])]
        if stream in trackers and len(open_rows):
            tracker, issued = trackers[stream], outcomes.issued[open_rows]
            dropped = (1.0 - tracker.drift.slopes_at(issued)) * outcomes.means[open_rows]
            found[open_rows] = tracker.offsets_at(issued) - dropped[:, None]
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
    """Enters the outcomes of one stream in the order of their moments."""
    rows = rows[outcomes.resolved[rows] > tracker.latest]
    if not len(rows):
        return
    rows = rows[np.argsort(outcomes.resolved[rows], kind="stable")]
    moments, firsts = np.unique(outcomes.resolved[rows], return_index=True)
    for moment, some in zip(moments, np.split(rows, firsts[1:]), strict=True):
        issued = outcomes.issued[some]
        tracker.resolve(
            int(moment),
            issued,
            outcomes.scores[some],
            outcomes.means[some],
            outcomes.forecasts[some],
            issued // _DAY,
        )
