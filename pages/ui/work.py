"""What the workers do for a page: sample a forecast, fetch a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronos import zoo
from kronos.candles import Candles
from kronos.inference.engine import Request
from kronos.inference.jobs import JobControl, Work
from pages.ui.request import ForecastRequest, context_of

if TYPE_CHECKING:
    from kronos.inference.drawing import Drawing
    from kronos.predictor import KronosPredictor


def forecast_work(candles: Candles, request: ForecastRequest) -> Request:
    """What the engine is asked, to answer a request."""

    def begin(predictor: KronosPredictor) -> Drawing:
        # In the engine's thread: a calendar that is built for the first time takes a while.
        context = context_of(candles, request.origin)
        return predictor.begin(
            context.frame,
            x_timestamp=context.local_index,
            y_timestamp=context.future(request.horizon).tz_convert(candles.zone),
            sampling=request.sampling,
            lookback=request.lookback,
        )

    return Request(request.model, begin, request.revision)


def download_work(model: str) -> Work:
    """The work that brings a published model onto this machine."""

    def work(control: JobControl) -> None:
        control.stage("Downloading")
        zoo.download(model, progress=control.progress)

    return work
