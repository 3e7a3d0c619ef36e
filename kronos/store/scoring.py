"""Bars compared with the predictions in the store, and the scores of every step.

A bar counts once it has ended. A missing bar, with later ones present, is recorded as missing; a
new revision of the step records its late arrival, or a correction of a scored bar by its source.
Returns are measured from the close of the bars themselves at the origin, so that prices rescaled
since the forecast, for splits and dividends, do not count as moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.calendars.intervals import interval_width, is_intraday
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import StepScores, energy_score, qlike, score_steps
from kronos.forecast import Forecast
from kronos.store.integrity import checked
from kronos.store.prediction import Prediction, StoredPaths, paths_row, prediction_row
from kronos.store.schema import path_evaluations, prediction_paths, predictions, signal_evaluations
from kronos.store.store import Store, add_rows, stored_earlier

__all__ = [
    "CORRECTION",
    "Evaluated",
    "KnownBars",
    "NewOutcomes",
    "ScoreReport",
    "ScoredForecast",
    "ScoredRows",
    "evaluate",
    "new_outcomes",
    "save_scored",
    "score_candles",
    "scored_rows",
]

_CHUNK = 100
"""Predictions per transaction."""
CORRECTION = 1e-5
"""Smallest change of a return that counts as a correction: a tenth of a basis point. Less is the
rounding of rescaled prices."""
OBSERVED, MISSING, LATE, CORRECTED = "observed", "missing", "late", "corrected"
_PENDING, _DISPUTED, _KNOWN = "pending", "disputed", "known"
Row = Mapping[str, Any]
"""A row of `signal_evaluations`, or its columns without the scores."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownBars:
    """Bars that had ended at some moment.

    Attributes:
        closes: (T,) closes, indexed by open time in UTC.
        interval: Width of a bar.
        zone: The exchange's own clock.
        source: Source of the bars.
        as_of: The moment, UTC.
    """

    closes: pd.Series
    interval: str
    zone: str
    source: str
    as_of: pd.Timestamp

    @classmethod
    def of(cls, candles: Candles, *, source: str, as_of: pd.Timestamp) -> KnownBars:
        """The bars of candles that had ended by `as_of`; later ones are not read."""
        closes = candles.frame["close"]
        ends = bar_ends(pd.DatetimeIndex(closes.index), candles.interval, candles.zone)
        return cls(closes[ends <= as_of], candles.interval, candles.zone, source, as_of)

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> KnownBars:
        """The bars of a span, and the next one, which shows that a bar of the span is missing.

        Args:
            first: Open time of the first bar, UTC.
            last: That of the last one, on any clock; without a zone, on the exchange's.
        """
        if last.tzinfo is None:
            last = last.tz_localize(self.zone, ambiguous=False, nonexistent="shift_forward")
        start = int(self.closes.index.searchsorted(first))
        stop = int(self.closes.index.searchsorted(last, side="right")) + 1
        return replace(self, closes=self.closes.iloc[start:stop])


@dataclass(frozen=True, slots=True, eq=False)
class ScoredForecast:
    """A forecast from an origin in the past, with the bars that score it.

    Attributes:
        forecast: The raw forecast.
        known: The bars up to the origin; 500 of them are enough.
        source: Name of the source of the bars.
        bars: All bars, also those after the origin.
    """

    forecast: Forecast
    known: Candles
    source: str
    bars: KnownBars


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """What the store receives of a scored forecast, without the moment at which it does.

    Attributes:
        prediction: Row of `ml_predictions`.
        paths: Row of `prediction_paths`; None where no paths are stored.
        steps: Rows of `signal_evaluations`.
        whole: Rows of `path_evaluations`.
    """

    prediction: dict[str, Any]
    paths: dict[str, Any] | None
    steps: list[dict[str, Any]]
    whole: list[dict[str, Any]]


@dataclass(slots=True)
class ScoreReport:
    """Counts of a scoring run.

    Attributes:
        n_predictions: Predictions compared with the bars.
        recorded: Steps recorded now, by outcome: observed, missing, late, corrected.
        n_pending: Steps whose bar is not available yet.
        n_disputed: Steps left unchanged, because another source's bar scored them.
        n_without_origin: Predictions left out, because the bars do not reach back to their origin.
    """

    n_predictions: int = 0
    recorded: Counter[str] = field(default_factory=Counter)
    n_pending: int = 0
    n_disputed: int = 0
    n_without_origin: int = 0

    def add(self, other: ScoreReport) -> None:
        """Adds the counts of another run."""
        self.n_predictions += other.n_predictions
        self.recorded.update(other.recorded)
        self.n_pending += other.n_pending
        self.n_disputed += other.n_disputed
        self.n_without_origin += other.n_without_origin


@checked
def score_candles(
    store: Store,
    candles: Candles,
    *,
    of_source: str | None = None,
    bars_source: str | None = None,
    as_of: pd.Timestamp | None = None,
) -> ScoreReport:
    """Scores the predictions of an instrument and interval against its bars.

    A second run on the same bars records nothing new.

    Args:
        store: Holds the predictions.
        candles: Bars from the origins of the predictions on.
        of_source: Only predictions of this source's bars; None for all.
        bars_source: Source to record for these bars; default `candles.source`.
        as_of: Only bars that had ended by then count; default now.

    Raises:
        InvalidRequest: `as_of` lies in the future, or has no zone.
        StoreError: The store cannot be used.
    """
    now = store.clock()
    moment = now if as_of is None else as_of
    if moment.tzinfo is None or moment > now:
        raise InvalidRequest(f"Scores can be given as of now or earlier, found {moment}.")
    source = candles.source if bars_source is None else bars_source
    bars = KnownBars.of(candles, source=source, as_of=moment.tz_convert("UTC"))
    report = ScoreReport()
    waiting = store.predictions(
        instrument=candles.symbol, interval=candles.interval, source=of_source
    )
    for chunk in _chunks(waiting):
        _score_chunk(store, chunk, bars, report)
    return report


def scored_rows(scored: ScoredForecast, *, paths: StoredPaths = "none") -> ScoredRows:
    """The quantiles and scores of a forecast, which any process can compute.

    Args:
        scored: The forecast; its paths are scored even if they are not stored.
        paths: As for `kronos.store.save`.

    Raises:
        InvalidRequest: As for `kronos.store.save`.
    """
    # Every bar that counts had ended at this moment: at a later one the scores are the same.
    now = scored.bars.as_of
    row = prediction_row(
        scored.forecast, scored.known, source=scored.source, event_context=None, now=now
    )
    prediction = Prediction.of_row(row)
    found = Evaluated([], [])
    new = new_outcomes(prediction, scored.bars, {})
    if new is not None and new.rows:
        found = evaluate(prediction, new, scored.forecast.log_returns(), {}, None)
    return ScoredRows(row, paths_row(row["id"], scored.forecast, paths), found.steps, found.paths)


@checked
def save_scored(store: Store, forecasts: Sequence[ScoredRows]) -> int:
    """Stores forecasts with the scores of their steps in one transaction.

    Rows of earlier runs stay unchanged.

    Args:
        store: Where to store them.
        forecasts: The forecasts, as from `scored_rows`.

    Returns:
        Number of forecasts that the store did not hold before.

    Raises:
        StoreError: The store cannot be used.
    """
    now = store.clock().to_pydatetime()
    rows = [each.prediction | {"created_at": now} for each in forecasts]
    path_rows = {row["id"]: each.paths for row, each in zip(rows, forecasts, strict=True)}
    steps = [step | {"recorded_at": now} for each in forecasts for step in each.steps]
    whole = [path | {"recorded_at": now} for each in forecasts for path in each.whole]

    def work(connection: sa.Connection) -> int:
        known = stored_earlier(connection, rows)
        fresh_rows = [row for row, earlier in zip(rows, known, strict=True) if earlier is None]
        added = {key for (key,) in add_rows(connection, predictions, fresh_rows)}
        fresh_paths = [row for key, row in path_rows.items() if key in added and row is not None]
        add_rows(connection, prediction_paths, fresh_paths)
        for table, fresh in ((signal_evaluations, steps), (path_evaluations, whole)):
            # Scores of earlier forecasts may have been corrected since: they stay unchanged.
            add_rows(connection, table, [r for r in fresh if r["prediction_id"] in added])
        return len(added)

    return store.database.write(work)


@dataclass(frozen=True, slots=True, eq=False)
class NewOutcomes:
    """Outcomes of one prediction that the store does not hold yet.

    Attributes:
        rows: One for every step to record: columns of `signal_evaluations` without the scores.
        returns: (H,) log-returns from the origin, recorded or new; NaN elsewhere.
        n_pending: Steps whose bar is not available yet.
        n_disputed: Steps that were scored with another source's bar, which had another return.
    """

    rows: list[dict[str, Any]]
    returns: np.ndarray
    n_pending: int
    n_disputed: int


def new_outcomes(
    prediction: Prediction, bars: KnownBars, recorded: Mapping[int, Row]
) -> NewOutcomes | None:
    """Compares a prediction with the bars.

    Args:
        prediction: The prediction.
        bars: The known bars.
        recorded: The newest row of `signal_evaluations` of every step that has one.

    Returns:
        The new outcomes; None without a bar at the origin, from which returns are measured.
    """
    at_origin = bars.closes.get(prediction.origin)
    if at_origin is None:
        return None
    origin_close = float(at_origin)
    places = bars.closes.index.get_indexer(prediction.timestamps)
    closes = np.where(places >= 0, bars.closes.to_numpy()[places], np.nan)
    ends = bar_ends(prediction.timestamps, bars.interval, bars.zone)
    is_passed = prediction.timestamps < bars.closes.index[-1]
    is_ahead = prediction.created_at < ends
    # Times as one array: to take them from the index one by one takes longer than the rest.
    stamps, known_ends = prediction.timestamps.to_pydatetime(), ends.to_pydatetime()
    rows: list[dict[str, Any]] = []
    returns = np.full(prediction.horizon, np.nan)
    n_of = {_PENDING: 0, _DISPUTED: 0}
    for i, close in enumerate(closes):
        before = recorded.get(i + 1)
        moved = float(np.log(close / origin_close))
        outcome = _outcome(moved, before, bars.source, is_passed=bool(is_passed[i]))
        if outcome in n_of:
            n_of[outcome] += 1
        if outcome in (OBSERVED, LATE, CORRECTED):
            returns[i] = moved
        elif before is not None and before["outcome"] != MISSING:
            returns[i] = before["actual_return"]
        if outcome in (OBSERVED, MISSING, LATE, CORRECTED):
            is_known = outcome != MISSING
            # The first value of a bar was known when it ended; that it is missing, late or
            # corrected is known from this moment on.
            known_at = known_ends[i] if outcome == OBSERVED else bars.as_of.to_pydatetime()
            rows.append(
                {
                    "prediction_id": prediction.id,
                    "step": i + 1,
                    "revision": 0 if before is None else int(before["revision"]) + 1,
                    "timestamp": stamps[i],
                    "outcome": outcome,
                    "actual": float(close) if is_known else None,
                    "origin_close": origin_close if is_known else None,
                    "actual_return": moved if is_known else None,
                    "ahead": bool(is_ahead[i]),
                    "source": bars.source,
                    "resolved_at": known_at,
                }
            )
    return NewOutcomes(rows, returns, n_of[_PENDING], n_of[_DISPUTED])


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Rows to store, without `recorded_at`.

    Attributes:
        steps: Of `signal_evaluations`.
        paths: Of `path_evaluations`: one, or none while steps are pending.
    """

    steps: list[dict[str, Any]]
    paths: list[dict[str, Any]]


def evaluate(
    prediction: Prediction,
    new: NewOutcomes,
    returns: np.ndarray | None,
    before: Mapping[int, Mapping[str, Any]],
    scored: Mapping[Any, Any] | None,
) -> Evaluated:
    """Scores the new outcomes of a prediction.

    Args:
        prediction: The prediction.
        new: Its new outcomes.
        returns: (N, H) log-returns of its paths; None where none are stored.
        before: The newest evaluation of every step that has one.
        scored: The newest row of `path_evaluations`; None without one.
    """
    whole = None if returns is None else _whole_path(prediction, new, returns, before, scored)
    return Evaluated(list(_scored(prediction, new, returns)), [] if whole is None else [whole])


def bar_ends(stamps: pd.DatetimeIndex, interval: str, zone: str) -> pd.DatetimeIndex:
    """Ends of bars: an interval after they open; days and weeks by the local clock."""
    width = interval_width(interval)
    if is_intraday(interval):
        return pd.DatetimeIndex(stamps + width)
    wall = stamps.tz_convert(zone).tz_localize(None) + width
    local = wall.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    return local.tz_convert("UTC")


def _chunks(predictions: Iterable[Prediction]) -> Iterator[list[Prediction]]:
    each = iter(predictions)
    while chunk := list(islice(each, _CHUNK)):
        yield chunk


def _score_chunk(
    store: Store, chunk: list[Prediction], bars: KnownBars, report: ScoreReport
) -> None:
    ids = [prediction.id for prediction in chunk]
    recorded: dict[str, dict[int, dict[str, Any]]] = {}
    for row in store.evaluations(ids).to_dict("records"):
        recorded.setdefault(row["prediction_id"], {})[row["step"]] = {
            str(name): value for name, value in row.items()
        }
    whole = {row["prediction_id"]: row for row in store.path_evaluations(ids).to_dict("records")}
    steps: list[dict[str, Any]] = []
    paths: list[dict[str, Any]] = []
    now = store.clock().to_pydatetime()
    for prediction in chunk:
        report.n_predictions += 1
        before = recorded.get(prediction.id, {})
        new = new_outcomes(prediction, bars, before)
        if new is None:
            report.n_without_origin += 1
            continue
        report.n_pending += new.n_pending
        report.n_disputed += new.n_disputed
        if not new.rows:
            continue
        found = evaluate(
            prediction, new, _path_returns(store, prediction), before, whole.get(prediction.id)
        )
        steps += [row | {"recorded_at": now} for row in found.steps]
        paths += [row | {"recorded_at": now} for row in found.paths]

    def work(connection: sa.Connection) -> set[tuple[Any, ...]]:
        add_rows(connection, path_evaluations, paths)
        return set(add_rows(connection, signal_evaluations, steps))

    if steps:
        added = store.database.write(work)
        keys = ("prediction_id", "step", "revision")
        report.recorded.update(
            row["outcome"] for row in steps if tuple(row[key] for key in keys) in added
        )


def _path_returns(store: Store, prediction: Prediction) -> np.ndarray | None:
    """(N, H) log-returns of the stored paths; None without them."""
    close = store.paths(prediction).get("close")
    return None if close is None else np.log(close / prediction.last_close)


def _scored(
    prediction: Prediction, new: NewOutcomes, paths: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """The rows with their scores, which are None for a missing bar."""
    steps = [row["step"] - 1 for row in new.rows if row["actual"] is not None]
    scores: StepScores | None = None
    if steps:
        scores = score_steps(
            new.returns[steps],
            np.log(prediction.quantiles[steps] / prediction.last_close),
            prediction.levels,
            None if paths is None else paths[:, steps],
        )
    places = {step + 1: place for place, step in enumerate(steps)}
    for row in new.rows:
        sigma, step = prediction.volatility, row["step"]
        scale = None if sigma is None else sigma * float(np.sqrt(step))
        yield row | {"scale": scale} | _columns(scores, places.get(step))


def _columns(scores: StepScores | None, i: int | None) -> dict[str, Any]:
    """The columns of the scores at place i; all None without a place."""
    numbers = ("crps", "pinball", "interval_score", "width", "pit", "absolute_error")
    flags = {"inside_band": "inside", "direction": "direction"}
    if scores is None or i is None:
        return dict.fromkeys((*numbers, *flags, "crps_estimator", "log_score"))
    found: dict[str, Any] = {name: float(getattr(scores, name)[i]) for name in numbers}
    for column, name in flags.items():
        value = getattr(scores, name)[i]
        found[column] = None if np.isnan(value) else bool(value)
    return found | {
        "crps_estimator": scores.crps_estimator,
        "log_score": _finite(float(scores.log_score[i])),
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _whole_path(
    prediction: Prediction,
    new: NewOutcomes,
    paths: np.ndarray,
    before: Mapping[int, Mapping[str, Any]],
    scored: Mapping[Any, Any] | None,
) -> dict[str, Any] | None:
    """The row of `path_evaluations` once every step is known; a new one after a correction."""
    if not np.isfinite(new.returns).all():
        return None
    known_at = [row["resolved_at"] for row in (*before.values(), *new.rows)]
    return {
        "prediction_id": prediction.id,
        "revision": 0 if scored is None else int(scored["revision"]) + 1,
        "energy_score": energy_score(new.returns, paths),
        "qlike": _finite(qlike(new.returns, paths)),
        "resolved_at": max(known_at),
    }


def _outcome(moved: float, before: Row | None, source: str, *, is_passed: bool) -> str:
    """Outcome of a step whose bar has the return `moved`, NaN without a bar."""
    if np.isnan(moved):
        if before is not None:
            return _KNOWN  # a source that forgets old bars takes nothing back
        return MISSING if is_passed else _PENDING
    if before is None:
        return OBSERVED
    if before["outcome"] == MISSING:
        return LATE
    if abs(moved - before["actual_return"]) <= CORRECTION:
        return _KNOWN
    # Two sources seldom agree to the last digit: only a bar's own source can correct it.
    return CORRECTED if before["source"] == source else _DISPUTED
