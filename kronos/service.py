"""The process-wide engine, and how forecasts of candles are asked of it.

Pages and commands go through here, so that one thread owns the models whoever asks.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Any

from kronos import zoo
from kronos.forecast import Progress, SamplingParameters
from kronos.inference.engine import Engine, Request
from kronos.torch_setup import prepare_torch

if TYPE_CHECKING:
    import pandas as pd

    from kronos.inference.generate import Drawing
    from kronos.predictor import KronosPredictor

__all__ = ["engine", "forecast_request", "new_engine", "warm_up_request"]

_lock = threading.Lock()
_engine: Engine | None = None


def new_engine(device: str | None = None) -> Engine:
    """An engine that loads models by the names of the zoo.

    Args:
        device: Where to compute, such as "cpu" or "cuda"; None takes a GPU when there is one.
    """

    def load(name: str, progress: Progress) -> Any:
        prepare_torch()
        return zoo.load(name, device=device, dtype="fastest", progress=progress)

    return Engine(load)


def engine() -> Engine:
    """The engine of this process, started when first asked for."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = new_engine()
            atexit.register(_engine.close)
        return _engine


def forecast_request(
    model: str,
    bars: pd.DataFrame,
    future: pd.DatetimeIndex,
    sampling: SamplingParameters,
    *,
    times: pd.DatetimeIndex | None = None,
    lookback: int | None = None,
    revision: str = "",
) -> Request:
    """A request for a `Forecast`.

    Args:
        model: Name or folder, as for `kronos.zoo.load`.
        bars: What is known; the last bar is the origin.
        future: (H,) times of the bars to forecast, on the exchange's clock.
        sampling: How futures are drawn.
        times: Times of the bars, on the exchange's clock; the frame's index when None.
        lookback: Bars read; None for what suits the model.
        revision: Revision of the weights, where the name alone does not say it.
    """

    def begin(predictor: KronosPredictor) -> Drawing:
        prepared = predictor.prepare(
            bars, x_timestamp=times, y_timestamp=future, sampling=sampling, lookback=lookback
        )
        return predictor.begin(prepared)

    return Request(model, begin, revision)


def warm_up_request(model: str, revision: str = "") -> Request:
    """A request that has a model loaded, and its first slow calls made."""
    return Request(model, lambda predictor: predictor.begin_warm_up(), revision)
