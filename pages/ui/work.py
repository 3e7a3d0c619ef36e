"""What the worker thread does for a page: fetch a model, load it, sample a forecast.

torch is imported here only when a model is loaded, which happens in the worker.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from kronos import zoo
from kronos.candles import Candles
from kronos.forecast import Forecast
from kronos.inference.jobs import JobControl, Work
from pages.ui.request import ForecastRequest, context_of

if TYPE_CHECKING:
    from kronos.predictor import KronosPredictor

logger = logging.getLogger(__name__)


class ModelShelf:
    """The models last used, kept loaded. Used by the worker thread alone."""

    def __init__(self, n_kept: int = 2) -> None:
        self._n_kept = n_kept
        self._loaded: OrderedDict[tuple[str, str], KronosPredictor] = OrderedDict()

    def get(self, request: ForecastRequest, control: JobControl) -> KronosPredictor:
        """The request's model, loaded if it is not."""
        key = (request.model, request.revision)
        if key not in self._loaded:
            control.stage("Loading the model")
            _leave_room_for_the_server()
            predictor = zoo.load(request.model, progress=control.progress)
            self._loaded[key] = predictor
            while len(self._loaded) > self._n_kept:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]


def _leave_room_for_the_server() -> None:
    """Let torch use half of the processors.

    Its threads wait for each other by spinning. With as many threads as processors, a page being
    served at the same time made a step of milliseconds take seconds; with half, small models
    are even faster on an idle machine.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def forecast_work(candles: Candles, request: ForecastRequest, shelf: ModelShelf) -> Work:
    """The work that answers a request."""

    def work(control: JobControl) -> Forecast:
        context = context_of(candles, request.origin)
        future = context.future(request.horizon).tz_convert(candles.zone)
        predictor = shelf.get(request, control)
        control.stage("Sampling")
        sampling = request.sampling
        forecast = predictor.forecast(
            context.frame,
            x_timestamp=context.local_index,
            y_timestamp=future,
            T=sampling.T,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            sample_count=sampling.sample_count,
            seed=sampling.seed,
            lookback=request.lookback,
            progress=control.progress,
        )
        logger.info("Forecast %s took %.2f s.", request.key[:16], forecast.seconds)
        return forecast

    return work


def download_work(model: str) -> Work:
    """The work that brings a published model onto this machine."""

    def work(control: JobControl) -> None:
        control.stage("Downloading")
        zoo.download(model, progress=control.progress)

    return work
