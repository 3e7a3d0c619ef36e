"""The forecast that a first visitor sees, computed before the first visit and cached on disk.

`python -m pages.ui.jobs.opening` computes and caches it, which `make setup` does once.
"""

from __future__ import annotations

import time
from contextlib import closing

from data_sources.samples import SAMPLES, load_sample
from kronos import models
from kronos.candles import Candles
from kronos.events import load_events
from kronos.forecast import SamplingParameters
from kronos.serving.engine import Engine
from kronos.serving.jobs import Priority
from kronos.serving.service import ask_model, engine, new_engine
from pages.ui.inputs.event_readers import reads_events
from pages.ui.inputs.request import DEFAULT_HORIZON, DEFAULT_PATHS, ForecastRequest, data_id
from pages.ui.inputs.told import told_by
from pages.ui.jobs.startup_cache import offer_cached, put
from pages.ui.jobs.work import forecast_work

WARM_UP_AFTER = 20.0
"""Seconds after which a server that had nothing to compute loads the model. Until then the
processor is left to the first visitor and their browser."""


def opening_request() -> tuple[Candles, ForecastRequest]:
    """The candles and the request of a page on which nothing has been touched."""
    candles = load_sample(next(iter(SAMPLES)))
    model = models.available()[0]
    request = ForecastRequest(
        data_id=data_id(candles),
        model=model.name,
        revision=model.revision,
        horizon=DEFAULT_HORIZON,
        sampling=SamplingParameters(sample_count=DEFAULT_PATHS),
        origin=candles.frame.index[-1],
        events=told_by(load_events(), candles) if reads_events(model) else None,
    )
    return candles, request


def prepare_opening(engine: Engine) -> bool:
    """Make the opening forecast available: the cached one, or a new one, which is then cached.

    A visitor who arrives meanwhile joins the computation.

    Returns:
        Whether it had to be computed.
    """
    candles, request = opening_request()
    offer_cached(engine.queue)
    if engine.queue.status(request.key) is not None:
        return False
    engine.run(
        request.key, forecast_work(candles, request), owner="opening", priority=Priority.BATCH
    )
    put(request.key, engine.queue)
    return True


def warm_up(engine: Engine) -> None:
    """Load the model of the opening forecast, so that the first press of Run need not."""
    model = models.available()[0]
    ask_model(
        engine,
        model.name,
        lambda _: None,
        revision=model.revision,
        priority=Priority.BATCH,
    )


def serve_opening() -> None:
    """Prepare the engine of this process for the first visitor."""
    if not prepare_opening(engine()):
        time.sleep(WARM_UP_AFTER)
        warm_up(engine())


if __name__ == "__main__":
    with closing(new_engine()) as own:
        prepare_opening(own)
