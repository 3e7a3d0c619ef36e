"""Doing a walk: windows go to the engine in batches, and into the store with their scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import pandas as pd

from kronos.errors import ForecastCancelled, InvalidRequest, KronosError
from kronos.forecast import Forecast, Progress
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.requests import BatchRequest
from kronos.serving.service import ForecastService
from kronos.store.prediction import StoredPaths
from kronos.store.scoring import KnownBars, ScoredForecast, save_scored
from kronos.store.store import Store
from kronos.walk_forward.plan import Series, WalkPlan, choose_origins
from kronos.walk_forward.stored import WindowKey, stored_windows, window_key
from kronos.walk_forward.windows import Window

__all__ = ["WalkReport", "walk_forward"]

CHUNK = 16
"""Windows per request and transaction: few enough that a walk that is stopped loses little."""
_AHEAD = 2
"""Requests under way at once, so that the engine works on while a chunk is scored."""


@dataclass(slots=True)
class WalkReport:
    """What a walk did.

    Attributes:
        n_windows: Windows of the plan, each model counted.
        n_stored: Stored now.
        n_known: In the store before.
        n_series: Series with at least one origin.
        problems: What was wrong with windows that could not be forecast, and how often.
        seconds_storing: Time that scores and the store took, while the engine went on.
    """

    n_windows: int = 0
    n_stored: int = 0
    n_known: int = 0
    n_series: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    seconds_storing: float = 0.0


_Chunk = tuple[ModelFacts, list[Window]]


def walk_forward(
    service: ForecastService,
    store: Store,
    series: Sequence[Series],
    plan: WalkPlan,
    *,
    progress: Progress | None = None,
    paths: StoredPaths = "none",
) -> WalkReport:
    """Forecasts every origin with every model, and stores forecasts and scores.

    What is in the store already is not computed again: a walk that was stopped, or ended by
    force, goes on when it is started again. Each model sees the bars up to the origin alone.

    Args:
        service: Makes the forecasts, behind every person who waits.
        store: Where forecasts and scores go, a chunk in one transaction.
        series: Bars to walk through.
        plan: What to do.
        progress: Called with windows done and in all, once before the first; raising, like an
            interrupt, ends the walk, and what is stored stays.
        paths: Which paths to keep beside the quantiles, as for `kronos.store.save`.

    Raises:
        InvalidRequest: No series has enough bars, or there is no such model.
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
            f"{plan.horizon} behind it. Give longer series, an earlier --since, or a shorter "
            "horizon."
        )
    # By lot, so that a walk that is stopped leaves a sample of the whole.
    windows = [windows[i] for i in np.random.default_rng(0).permutation(len(windows))]
    known = stored_windows(store, [(model.name, model.revision) for model in models])
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
    for (model, some), answers in _answered(service, chunks, plan):
        started = time.perf_counter()
        report.n_stored += _save(store, model, some, answers, bars, report.problems, paths)
        report.seconds_storing += time.perf_counter() - started
        done += len(some)
        if progress:
            progress(done, report.n_windows)
    return report


def _answered(
    service: ForecastService, chunks: Sequence[_Chunk], plan: WalkPlan
) -> Iterator[tuple[_Chunk, list[Forecast | KronosError]]]:
    """Every chunk with its forecasts, in the order in which they are done."""
    stopped = Event()

    def watch(_: JobStatus) -> None:
        if stopped.is_set():
            raise ForecastCancelled("The walk was stopped; what is stored stays.")

    def forecast(chunk: _Chunk) -> list[Forecast | KronosError]:
        facts, windows = chunk
        requests: list[ForecastRequest | KronosError] = []
        for window in windows:
            try:
                requests.append(window.request(facts, plan))
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
    """The bars of each series as scoring reads them, kept for the series that come next."""

    def __init__(self, as_of: pd.Timestamp) -> None:
        self._as_of = as_of
        self._kept: dict[int, KnownBars] = {}

    def of(self, series: Series) -> KnownBars:
        if id(series) not in self._kept:
            self._kept[id(series)] = KnownBars.of(
                series.candles, source=series.source, as_of=self._as_of
            )
        return self._kept[id(series)]


def _save(
    store: Store,
    model: ModelFacts,
    windows: Sequence[Window],
    answers: Sequence[Forecast | KronosError],
    bars: _Bars,
    problems: Counter[str],
    paths: StoredPaths,
) -> int:
    kept = []
    for window, answer in zip(windows, answers, strict=True):
        if isinstance(answer, KronosError):
            problems[f"{window.series.candles.symbol}, {model.name}: {answer}"] += 1
        else:
            known = window.recent
            kept.append(ScoredForecast(answer, known, window.series.source, bars.of(window.series)))
    return save_scored(store, kept, paths=paths)


def _key(window: Window, model: ModelFacts, plan: WalkPlan) -> WindowKey:
    candles = window.series.candles
    return window_key(
        candles.symbol,
        window.series.source,
        candles.interval,
        pd.Timestamp(candles.frame.index[window.position]),
        float(candles.frame["close"].iloc[window.position]),
        plan.horizon,
        (model.name, model.revision),
        model.context_length(window.position + 1, plan.horizon, plan.lookback),
        plan.sampling,
    )
