"""Scoring what has come true: bars against the predictions in the store.

What a score may know is decided by `kronos.store.outcomes`. A bar counts once it has ended. A bar
that is not there although later ones are is recorded as missing; when it comes after all, a new
revision of the step says so, and so does one when a source changes a bar that was scored. Returns
are measured from the close that the bars themselves have at the origin, so that prices rescaled
since then, for splits and dividends, do not count as moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.outcomes import StepScores, energy_score, score_steps
from kronos.store.outcomes import KnownBars, News, find_news
from kronos.store.prediction import Prediction
from kronos.store.schema import path_evaluations, signal_evaluations
from kronos.store.store import Store, add_rows

__all__ = ["Evaluated", "ScoreReport", "evaluate", "score_candles"]

_CHUNK = 100
"""Predictions per transaction."""


@dataclass(slots=True)
class ScoreReport:
    """What a run of scoring did.

    Attributes:
        n_predictions: Predictions looked at.
        recorded: Steps recorded now, by outcome: observed, missing, late, corrected.
        n_pending: Steps whose bar has not come yet.
        n_disputed: Steps left as they are, because another source's bar scored them.
        n_without_origin: Predictions left out, because the bars do not reach back to their origin.
    """

    n_predictions: int = 0
    recorded: Counter[str] = field(default_factory=Counter)
    n_pending: int = 0
    n_disputed: int = 0
    n_without_origin: int = 0

    def add(self, other: ScoreReport) -> None:
        """Adds what another run did."""
        self.n_predictions += other.n_predictions
        self.recorded.update(other.recorded)
        self.n_pending += other.n_pending
        self.n_disputed += other.n_disputed
        self.n_without_origin += other.n_without_origin


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Rows to be stored, without the moment at which they are.

    Attributes:
        steps: Of `signal_evaluations`.
        paths: Of `path_evaluations`: one, or none while steps are to come.
    """

    steps: list[dict[str, Any]]
    paths: list[dict[str, Any]]


def score_candles(
    store: Store,
    candles: Candles,
    *,
    of_source: str | None = None,
    bars_source: str | None = None,
    as_of: pd.Timestamp | None = None,
) -> ScoreReport:
    """Scores every prediction of an instrument and interval that these bars say something of.

    Doing it twice records nothing twice.

    Args:
        store: Where the predictions are.
        candles: Bars from the origins of the predictions on.
        of_source: Only predictions made of this source's bars; None for those of any.
        bars_source: What to record as the source of these bars; default `candles.source`.
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
    asked = store.predictions(
        instrument=candles.symbol, interval=candles.interval, source=of_source
    )
    for chunk in _chunks(asked):
        _score_chunk(store, chunk, bars, report)
    return report


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
        news = find_news(prediction, bars, before)
        if news is None:
            report.n_without_origin += 1
            continue
        report.n_pending += news.n_pending
        report.n_disputed += news.n_disputed
        if not news.rows:
            continue
        found = evaluate(
            prediction, news, _path_returns(store, prediction), before, whole.get(prediction.id)
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


def evaluate(
    prediction: Prediction,
    news: News,
    returns: np.ndarray | None,
    before: Mapping[int, Mapping[str, Any]],
    scored: Mapping[Any, Any] | None,
) -> Evaluated:
    """Scores what is new of a prediction.

    Args:
        prediction: What was predicted.
        news: What happened.
        returns: (N, H) log-returns of its paths; None where none are known.
        before: The newest evaluation of every step that has one.
        scored: The newest row of `path_evaluations`; None where there is none.
    """
    whole = None if returns is None else _whole_path(prediction, news, returns, before, scored)
    return Evaluated(list(_scored(prediction, news, returns)), [] if whole is None else [whole])


def _path_returns(store: Store, prediction: Prediction) -> np.ndarray | None:
    """(N, H) log-returns of the kept paths."""
    close = store.paths(prediction).get("close")
    return None if close is None else np.log(close / prediction.last_close)


def _scored(
    prediction: Prediction, news: News, paths: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """The rows with their scores, which are None for a bar that is missing."""
    came = [row["step"] - 1 for row in news.rows if row["actual"] is not None]
    scores: StepScores | None = None
    if came:
        scores = score_steps(
            news.returns[came],
            np.log(prediction.quantiles[came] / prediction.last_close),
            prediction.levels,
            None if paths is None else paths[:, came],
        )
    for row in news.rows:
        sigma, step = prediction.volatility, row["step"]
        scale = None if sigma is None else sigma * float(np.sqrt(step))
        place = came.index(step - 1) if scores is not None and step - 1 in came else None
        yield row | {"scale": scale} | _columns(scores, place)


def _columns(scores: StepScores | None, i: int | None) -> dict[str, Any]:
    """The columns of scores at place i; all None without one."""
    numbers = ("crps", "pinball", "interval_score", "width", "pit", "absolute_error")
    flags = {"inside_band": "inside", "direction": "direction"}
    if scores is None or i is None:
        return dict.fromkeys((*numbers, *flags, "crps_estimator"))
    found: dict[str, Any] = {name: float(getattr(scores, name)[i]) for name in numbers}
    for column, name in flags.items():
        value = getattr(scores, name)[i]
        found[column] = None if np.isnan(value) else bool(value)
    return found | {"crps_estimator": scores.crps_estimator}


def _whole_path(
    prediction: Prediction,
    news: News,
    paths: np.ndarray,
    before: Mapping[int, Mapping[str, Any]],
    scored: Mapping[Any, Any] | None,
) -> dict[str, Any] | None:
    """The row of `path_evaluations` once every step has come; a new one after a correction."""
    if not np.isfinite(news.returns).all():
        return None
    known_at = [row["resolved_at"] for row in (*before.values(), *news.rows)]
    return {
        "prediction_id": prediction.id,
        "revision": 0 if scored is None else int(scored["revision"]) + 1,
        "energy_score": energy_score(news.returns, paths),
        "resolved_at": max(known_at),
    }
