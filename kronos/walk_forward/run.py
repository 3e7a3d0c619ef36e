"""A walk: windows go to a forecast service in batches, and into the store with their scores."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.candles import Candles
from kronos.errors import InvalidRequest, KronosError
from kronos.events import Event, EventInputs, Leaders, event_inputs, load_events
from kronos.forecast import Forecast, Progress, SamplingParameters
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.interface import BulkRequest
from kronos.serving.requests import BatchRequest
from kronos.serving.service import ForecastService
from kronos.store.prediction import StoredPaths
from kronos.store.schema import predictions
from kronos.store.scoring import (
    KnownBars,
    ScoredForecast,
    ScoredRows,
    save_scored,
    scored_rows,
)
from kronos.store.store import Store
from kronos.walk_forward.plan import Series, WalkPlan, Window, choose_origins

__all__ = ["WalkReport", "walk_forward"]

CHUNK = 16
"""Windows per request and transaction: few, so that a walk that is stopped loses little."""


@dataclass(slots=True)
class WalkReport:
    """The outcome of a walk.

    Attributes:
        n_windows: Windows of the plan, counted once for each model.
        n_stored: Windows stored by this walk.
        n_known: Windows stored before.
        n_series: Series with at least one origin.
        problems: Errors of windows that could not be forecast, with their counts.
        seconds_storing: Time of storing, while the engine computed.
    """

    n_windows: int = 0
    n_stored: int = 0
    n_known: int = 0
    n_series: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    seconds_storing: float = 0.0


_WindowKey = tuple[str, ...]


def walk_forward(
    service: ForecastService,
    store: Store,
    series: Sequence[Series],
    plan: WalkPlan,
    *,
    leaders: Leaders | None = None,
    progress: Progress | None = None,
    paths: StoredPaths = "none",
) -> WalkReport:
    """Forecast every origin with every model, and store forecasts and scores.

    Windows in the store are not computed again: a walk that was stopped or killed continues when
    started again. Each model reads the bars up to the origin alone, and the events of this
    machine's tables if it reads events.

    Args:
        service: Makes the forecasts, at batch priority.
        store: Receives forecasts and scores, a chunk in one transaction.
        series: Bars to walk through.
        plan: The settings.
        leaders: Leading markets, for models that read events.
        progress: Called with windows done and total windows, once before the first; raising, like
            an interrupt, ends the walk, and stored windows stay.
        paths: Paths to store beside the quantiles, as for `Store.save`.

    Raises:
        InvalidRequest: No series has enough bars, or there is no model of a name.
        KronosError: A model cannot be loaded, or the store cannot be used.
    """
    models = [service.facts(model) for model in plan.models]
    windows = [
        Window(one, int(position))
        for one in series
        for position in choose_origins(one.candles, plan)
    ]
    if not windows:
        raise InvalidRequest(
            f"None of the {len(series)} series has an origin with {plan.history} bars up to it and "
            f"{plan.horizon} after it. Give longer series, an earlier --since, or a shorter "
            "horizon."
        )
    # Shuffled, so that a walk that is stopped leaves a sample of the whole.
    windows = [windows[i] for i in np.random.default_rng(0).permutation(len(windows))]
    known = _stored_windows(store, [(model.name, model.revision) for model in models])
    report = WalkReport(
        n_windows=len(windows) * len(models), n_series=len({id(w.series) for w in windows})
    )
    chunks: list[_Chunk] = []
    for start in range(0, len(windows), CHUNK):
        some = range(start, min(start + CHUNK, len(windows)))
        for model in models:
            fresh = tuple(i for i in some if _key(windows[i], model, plan) not in known)
            report.n_known += len(some) - len(fresh)
            if fresh:
                chunks.append(_Chunk(model, fresh))
    done = report.n_known
    if progress:
        progress(done, report.n_windows)
    tables = load_events() if any(chunk.model.reads_events for chunk in chunks) else ()
    prepare = _Preparation(tuple(windows), plan, tables, leaders, store.clock(), paths)
    for chunk, answers in service.run_many(chunks, prepare=prepare):
        started = time.perf_counter()
        scored = []
        for i, answer in zip(chunk.windows, answers, strict=True):
            if isinstance(answer, ScoredRows):
                scored.append(answer)
            else:
                symbol = windows[i].series.candles.symbol
                report.problems[f"{symbol}, {chunk.model.name}: {answer}"] += 1
        report.n_stored += save_scored(store, scored)
        report.seconds_storing += time.perf_counter() - started
        done += len(chunk.windows)
        if progress:
            progress(done, report.n_windows)
    return report


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What stands for one request: a model, and numbers of windows."""

    model: ModelFacts
    windows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Preparation:
    """Makes the requests of chunks, and rows of their forecasts, where they are answered."""

    windows: tuple[Window, ...]
    plan: WalkPlan
    tables: tuple[Event, ...]
    leaders: Leaders | None
    as_of: pd.Timestamp
    paths: StoredPaths
    _events: dict[Series, EventInputs] = field(default_factory=dict, init=False)
    _bars: dict[Series, KnownBars] = field(default_factory=dict, init=False)

    def __call__(self, chunk: _Chunk) -> BulkRequest:
        requests: list[ForecastRequest] = []
        outcomes: list[_Outcome | KronosError] = []
        for window in (self.windows[i] for i in chunk.windows):
            try:
                events = self._events_of(window.series) if chunk.model.reads_events else None
                request = window.request(chunk.model, self.plan, events)
                outcome = self._outcome(window, request)
            except KronosError as error:
                outcomes.append(error)
                continue
            requests.append(request)
            outcomes.append(outcome)
        batch = BatchRequest(chunk.model.model, chunk.model.revision, tuple(requests))
        return BulkRequest(batch, _Scoring(tuple(outcomes), self.paths))

    def _events_of(self, series: Series) -> EventInputs:
        if series not in self._events:
            self._events[series] = event_inputs(self.tables, series.candles, leaders=self.leaders)
        return self._events[series]

    def _outcome(self, window: Window, request: ForecastRequest) -> _Outcome:
        series = window.series
        if series not in self._bars:
            self._bars[series] = KnownBars.of(
                series.candles, source=series.source, as_of=self.as_of
            )
        origin = series.candles.frame.index[window.position]
        bars = self._bars[series].between(origin, request.future[-1])
        return _Outcome(window.recent, series.source, bars)


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What scores a window: the bars up to its origin, and those of its horizon."""

    known: Candles
    source: str
    bars: KnownBars


@dataclass(frozen=True, slots=True, eq=False)
class _Scoring:
    """Turns the forecasts of a chunk into rows of the store, where they are drawn."""

    outcomes: tuple[_Outcome | KronosError, ...]  # an error: the window is not in the request
    paths: StoredPaths

    def __call__(self, answers: Sequence[Forecast | KronosError]) -> list[ScoredRows | KronosError]:
        rest = iter(answers)
        return [
            each if isinstance(each, KronosError) else self._rows(next(rest), each)
            for each in self.outcomes
        ]

    def _rows(self, answer: Forecast | KronosError, outcome: _Outcome) -> ScoredRows | KronosError:
        if isinstance(answer, KronosError):
            return answer
        scored = ScoredForecast(answer, outcome.known, outcome.source, outcome.bars)
        try:
            return scored_rows(scored, paths=self.paths)
        except KronosError as error:
            return error


def _key(window: Window, model: ModelFacts, plan: WalkPlan) -> _WindowKey:
    candles = window.series.candles
    return _window_key(
        candles.symbol,
        window.series.source,
        candles.interval,
        pd.Timestamp(candles.frame.index[window.position]),
        float(candles.frame["close"].iloc[window.position]),
        plan.horizon,
        (model.name, model.revision),
        model.context_length(window.position + 1, plan.horizon, plan.lookback),
        plan.sampling,
        model.reads_events,
    )


def _window_key(
    symbol: str,
    source: str,
    interval: str,
    origin: pd.Timestamp,  # UTC
    last_close: float,
    horizon: int,
    model: tuple[str, str],  # name, revision
    n_context: int,
    sampling: SamplingParameters,
    read_events: bool,
) -> _WindowKey:
    """The identity of a window, known before it is forecast.

    The last close is part of it: where a source has rescaled its prices, the window is another.
    Which event rows were read is not, as tables that grow would void every walk; that some were is.
    """
    parts = (
        *(symbol, source, interval, origin.value, repr(float(last_close)), horizon, *model),
        *(n_context, sampling.seed, sampling.sample_count, float(sampling.T)),
        *(float(sampling.top_p), sampling.top_k, read_events),
    )
    return tuple(map(str, parts))


def _stored_windows(store: Store, models: Sequence[tuple[str, str]]) -> set[_WindowKey]:
    """Keys of the stored forecasts of these models, each a name and a revision."""
    names = (
        *("instrument", "source", "interval", "origin", "last_close", "horizon", "model_name"),
        *("model_version", "seed", "parameters", "event_context"),
    )
    query = sa.select(*(predictions.c[name] for name in names))
    found = set()
    with store.database.reading() as connection:
        wanted = query.where(predictions.c.model_name.in_([name for name, _ in models]))
        for row in connection.execute(wanted).mappings():
            stored = row["parameters"]
            facts = json.loads(stored) if isinstance(stored, str) else stored
            sampling = SamplingParameters(
                facts["T"], facts["top_p"], facts["top_k"], facts["sample_count"], row["seed"]
            )
            key = _window_key(
                row["instrument"],
                row["source"],
                row["interval"],
                pd.Timestamp(row["origin"]).as_unit("ns"),
                row["last_close"],
                row["horizon"],
                (row["model_name"], row["model_version"]),
                facts["n_context"],
                sampling,
                row["event_context"] is not None,
            )
            found.add(key)
    return found
