"""The process-wide engine, and how forecasts of candles are asked of it.

Pages and commands go through here, so that one thread owns the models whoever asks.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kronos import models
from kronos.decoding.drawing import Drawing
from kronos.ensemble.market import market_for
from kronos.forecast import Progress, SamplingParameters
from kronos.forecasters import baselines
from kronos.serving.engine import Engine, Request
from kronos.serving.jobs import Priority
from kronos.serving.torch_setup import prepare_torch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from kronos.ensemble import Market
    from kronos.forecasters.inputs import Context
    from kronos.forecasters.kronos import KronosPredictor

__all__ = [
    "ModelFacts",
    "ask_model",
    "engine",
    "engine_sample",
    "forecast_request",
    "longest_context",
    "model_facts",
    "new_engine",
    "running_engine",
]

_lock = threading.Lock()
_engine: Engine | None = None


def new_engine(device: str | None = None) -> Engine:
    """An engine that loads models, baselines and the ensemble by name.

    Args:
        device: Where to compute, such as "cpu" or "cuda"; None takes a GPU when there is one.
    """

    def load(name: str, progress: Progress) -> Any:
        if baselines.find(name) is not None:
            return baselines.baseline(name)  # which needs no torch
        prepare_torch()
        if name == models.ENSEMBLE:
            from kronos.ensemble import load_ensemble

            return load_ensemble(device=device, progress=progress)
        return models.load(name, device=device, dtype="fastest", progress=progress)

    return Engine(load)


def engine() -> Engine:
    """The engine of this process, started when first asked for."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = new_engine()
            atexit.register(_engine.close)
        return _engine


def running_engine() -> Engine | None:
    """The engine of this process if there is one yet; starts none."""
    with _lock:
        return _engine


def forecast_request(
    model: str,
    bars: pd.DataFrame,
    future: pd.DatetimeIndex,
    sampling: SamplingParameters,
    *,
    times: pd.DatetimeIndex | None = None,
    lookback: int | None = None,
    events: np.ndarray | None = None,
    revision: str = "",
    market: Market | None = None,
) -> Request:
    """A request for a `Forecast`.

    Args:
        model: Name or folder, as for `kronos.models.load`, or the name of a baseline.
        bars: What is known; the last bar is the origin.
        future: (H,) times of the bars to forecast, on the exchange's clock.
        sampling: How futures are drawn.
        times: Times of the bars, on the exchange's clock; the frame's index when None.
        lookback: Bars read; None for what suits the model.
        events: (len(bars) + H, 20) event channels of the bars and of those to forecast, for models
            that read them; see `KronosPredictor.forecast`.
        revision: Revision of the weights, where the name alone does not say it.
        market: What the bars are of, which the weights of an ensemble depend on.
    """

    def begin(predictor: KronosPredictor) -> Drawing:
        return predictor.begin(
            bars,
            x_timestamp=times,
            y_timestamp=future,
            sampling=sampling,
            lookback=lookback,
            events=events,
            **market_for(predictor, market),
        )

    return Request(model, begin, revision)


def ask_model(
    engine: Engine,
    model: str,
    question: Callable[[KronosPredictor], Any],
    *,
    revision: str = "",
    priority: Priority = Priority.PERSON,
) -> Any:
    """What a loaded model answers to a question that needs no sampling; loads it if need be."""

    def begin(predictor: KronosPredictor) -> Drawing:
        return Drawing([], lambda: question(predictor))

    request = Request(model, begin, revision)
    return engine.run(uuid4().hex, request, owner="question", priority=priority)


def longest_context(engine: Engine, model: str, horizon: int) -> int:
    """Bars that a model reads before a horizon, of a series long enough."""
    return model_facts(engine, model, horizon).n_read


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a loaded model is.

    Attributes:
        name: Name shown with its forecasts.
        revision: Revision of its weights, or of a baseline's source.
        n_read: Bars it reads before a horizon, of a series long enough.
    """

    name: str
    revision: str
    n_read: int


def model_facts(engine: Engine, model: str, horizon: int) -> ModelFacts:
    """What a model is; loads it if need be."""

    def read(predictor: KronosPredictor) -> ModelFacts:
        n_read = predictor.context_length(sys.maxsize, horizon)
        return ModelFacts(predictor.name, predictor.revision, n_read)

    facts: ModelFacts = ask_model(engine, model, read)
    return facts


def engine_sample(engine: Engine, model: str) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """`KronosPredictor.sample` by way of the engine, behind everybody who waits."""

    def sample(
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        def begin(predictor: KronosPredictor) -> Drawing:
            return predictor.begin_samples(contexts, futures, sampling, events=events)

        request = Request(model, begin)
        return engine.run(uuid4().hex, request, owner="evaluation", priority=Priority.BATCH)

    return sample
