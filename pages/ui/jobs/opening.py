"""The forecast that a first visitor sees, computed before the first visit and cached on disk.

`python -m pages.ui.jobs.opening` computes and caches it, which `make setup` does once.
"""

from __future__ import annotations

import time
from contextlib import closing

from data_sources.samples import SAMPLES, load_sample
from kronos import models
from kronos.candles import Candles
from kronos.events import event_inputs, load_events
from kronos.forecast import SamplingParameters
from kronos.models.facts import reads_events
from kronos.serving.jobs import Priority
from kronos.serving.requests import WarmUpRequest
from kronos.serving.service import ForecastService, open_service, service
from pages.ui.jobs.settings import DEFAULT_HORIZON, ForecastSettings, data_id, default_paths
from pages.ui.jobs.startup_cache import offer_cached, put

WARM_UP_AFTER = 20.0
"""Seconds after which a server that had nothing to compute loads the model. Until then the
processor is left to the first visitor and their browser."""


def opening_settings() -> tuple[Candles, ForecastSettings]:
    """The candles and the settings of a page on which nothing has been touched."""
    candles = load_sample(next(iter(SAMPLES)))
    model = models.available()[0]
    settings = ForecastSettings(
        data_id=data_id(candles),
        model=model.name,
        horizon=DEFAULT_HORIZON,
        sampling=SamplingParameters(sample_count=default_paths(model)),
        origin=candles.frame.index[-1],
        events=event_inputs(load_events(), candles) if reads_events(model) else None,
    )
    return candles, settings


def prepare_opening(service: ForecastService) -> bool:
    """Make the opening forecast available: the cached one, or a new one, which is then cached.

    A visitor who arrives meanwhile joins the computation.

    Returns:
        Whether it had to be computed.
    """
    candles, settings = opening_settings()
    request = settings.request(candles, service.facts(settings.model))
    offer_cached(service)
    if service.status(request.digest) is not None:
        return False
    service.run(request, priority=Priority.BATCH, keep=True)
    put(request.digest, service)
    return True


def warm_up(service: ForecastService) -> None:
    """Load the model of the opening forecast, so that the first press of Run need not."""
    facts = service.facts(models.available()[0].name)
    service.run(WarmUpRequest(facts.model, facts.revision), priority=Priority.BATCH)


def serve_opening() -> None:
    """Prepare the service of this process for the first visitor."""
    if not prepare_opening(service()):
        time.sleep(WARM_UP_AFTER)
        warm_up(service())


if __name__ == "__main__":
    with closing(open_service()) as own:
        prepare_opening(own)
