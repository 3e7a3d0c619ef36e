"""A walk: windows go to a forecast service in batches, and into the store with their scores."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from threading import Event

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.errors import ForecastCancelled, InvalidRequest, KronosError
from kronos.events import EventInputs, Leaders, event_inputs, load_events
from kronos.forecast import Forecast, Progress, SamplingParameters
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.requests import BatchRequest
from kronos.serving.service import ForecastService
from kronos.store.prediction import StoredPaths
from kronos.store.schema import predictions
from kronos.store.scoring import KnownBars, ScoredForecast, save_scored
from kronos.store.store import Store
from kronos.walk_forward.plan import Series, WalkPlan, Window, choose_origins

__all__ = ["WalkReport", "walk_forward"]

CHUNK = 16
"""Windows per request and transaction: few, so that a walk that is stopped loses little."""
_AHEAD = 2
"""Requests in flight, so that the engine computes while a chunk is scored."""


@dataclass(slots=True)
class WalkReport:
    """The outcome of a walk.

    Attributes:
        n_windows: Windows of the plan, counted once for each model.
        n_stored: Windows stored by this walk.
        n_known: Windows stored before.
        n_series: Series with at least one origin.
        problems: Errors of windows that could not be forecast, with their counts.
        seconds_storing: Time of scoring and storing, while the engine computed.
    """

    n_windows: int = 0
    n_stored: int = 0
    n_known: int = 0
    n_series: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    seconds_storing: float = 0.0


_Chunk = tuple[ModelFacts, list[Window]]
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
        some = windows[start : start + CHUNK]
        for model in models:
            fresh = [w for w in some if _key(w, model, plan) not in known]
            report.n_known += len(some) - len(fresh)
            if fresh:
                chunks.append((model, fresh))
    done = report.n_known
    if progress:
        progress(done, report.n_windows)
    bars = _Bars(store.clock())
    for (model, some), answers in _forecasts(service, chunks, plan, leaders):
        started = time.perf_counter()
        report.n_stored += _save(store, model, some, answers, bars, report.problems, paths)
        report.seconds_storing += time.perf_counter() - started
        done += len(some)
        if progress:
            progress(done, report.n_windows)
    return report


def _forecasts(
    service: ForecastService, chunks: Sequence[_Chunk], plan: WalkPlan, leaders: Leaders | None
) -> Iterator[tuple[_Chunk, list[Forecast | KronosError]]]:
    """Every chunk with its forecasts, in the order of completion."""
    stopped = Event()
    tables = load_events() if any(facts.reads_events for facts, _ in chunks) else ()

    @cache
    def inputs(series: Series) -> EventInputs:
        return event_inputs(tables, series.candles, leaders=leaders)

    def watch(_: JobStatus) -> None:
        if stopped.is_set():
            raise ForecastCancelled("The walk was stopped; stored windows stay.")

    def forecast(chunk: _Chunk) -> list[Forecast | KronosError]:
        facts, windows = chunk
        requests: list[ForecastRequest | KronosError] = []
        for window in windows:
            try:
                events = inputs(window.series) if facts.reads_events else None
                requests.append(window.request(facts, plan, events))
            except KronosError as error:
                requests.append(error)
        usable = tuple(each for each in requests if isinstance(each, ForecastRequest))
        batch = BatchRequest(facts.model, facts.revision, usable)
        answers = iter(service.run(batch, priority=Priority.BATCH, watch=watch) if usable else ())
        return [next(answers) if isinstance(each, ForecastRequest) else each for each in requests]

    waiting = iter(chunks)
    with ThreadPoolExecutor(_AHEAD, "walk-forward") as pool:
        running: dict[Future[list[Forecast | KronosError]], _Chunk] = {}
        try:
            while True:
                while len(running) < _AHEAD and (chunk := next(waiting, None)) is not None:
                    running[pool.submit(forecast, chunk)] = chunk
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            stopped.set()


class _Bars:
    """The bars of each series as scoring reads them, computed once."""

    def __init__(self, as_of: pd.Timestamp) -> None:
        self._as_of = as_of
        self._known: dict[int, KnownBars] = {}

    def of(self, series: Series) -> KnownBars:
        if id(series) not in self._known:
            self._known[id(series)] = KnownBars.of(
                series.candles, source=series.source, as_of=self._as_of
            )
        return self._known[id(series)]


def _save(
    store: Store,
    model: ModelFacts,
    windows: Sequence[Window],
    answers: Sequence[Forecast | KronosError],
    bars: _Bars,
    problems: Counter[str],
    paths: StoredPaths,
) -> int:
    scored = []
    for window, answer in zip(windows, answers, strict=True):
        if isinstance(answer, KronosError):
            problems[f"{window.series.candles.symbol}, {model.name}: {answer}"] += 1
        else:
            source, known = window.series.source, bars.of(window.series)
            scored.append(ScoredForecast(answer, window.recent, source, known))
    return save_scored(store, scored, paths=paths)


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
