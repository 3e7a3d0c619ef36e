"""The forecast that a first visitor sees, computed before anybody comes."""

from __future__ import annotations

from data_sources.samples import SAMPLES, load_sample
from kronos import zoo
from kronos.candles import Candles
from kronos.forecast import SamplingParameters
from kronos.inference.jobs import Priority
from kronos.service import engine
from pages.ui.request import DEFAULT_HORIZON, DEFAULT_PATHS, ForecastRequest, data_id
from pages.ui.work import forecast_work


def opening_request() -> tuple[Candles, ForecastRequest]:
    """The candles and the request of a page on which nothing has been touched."""
    candles = load_sample(next(iter(SAMPLES)))
    model = zoo.available()[0]
    request = ForecastRequest(
        data_id=data_id(candles),
        model=model.name,
        revision=model.revision,
        horizon=DEFAULT_HORIZON,
        sampling=SamplingParameters(sample_count=DEFAULT_PATHS),
        origin=candles.frame.index[-1],
    )
    return candles, request


def prepare_opening() -> None:
    """Has the opening forecast computed; a visitor who comes meanwhile joins it."""
    candles, request = opening_request()
    engine().queue.submit(
        request.key,
        forecast_work(candles, request),
        owner="opening",
        priority=Priority.BATCH,
    )
