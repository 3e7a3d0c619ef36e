"""What the workers do for a page: sample a forecast; fetch, check, test or delete a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kronos import models
from kronos.candles import Candles
from kronos.ensemble.market import market_for, market_of
from kronos.serving.engine import Engine, Request
from kronos.serving.jobs import JobControl, Work
from pages.ui.inputs.request import ForecastRequest, context_of
from pages.ui.inputs.told import told_channels

if TYPE_CHECKING:
    from kronos.decoding.drawing import Drawing
    from kronos.forecasters.kronos import KronosPredictor
    from kronos.self_test import SelfTest


def work_key(action: str, model: str) -> str:
    """What work on a model is known by, to whichever page asks for it, so that pages share it."""
    return f"{action} {model}"


def forecast_work(candles: Candles, request: ForecastRequest) -> Request:
    """What the engine is asked, to answer a request."""

    def begin(predictor: KronosPredictor) -> Drawing:
        # In the engine's thread: a calendar that is built for the first time takes a while.
        known = context_of(candles, request.origin)
        future = known.future(request.horizon)
        channels = None
        if request.events is not None and predictor.reads_events:
            # Channels of bars that are not read would be worked out for nothing.
            n_read = predictor.context_length(len(known), request.horizon, request.lookback)
            known = known.slice(-n_read)
            channels = told_channels(known, future, request.events)
        return predictor.begin(
            known.frame,
            x_timestamp=known.local_index,
            y_timestamp=future.tz_convert(candles.zone),
            sampling=request.sampling,
            lookback=request.lookback,
            events=channels,
            **market_for(predictor, market_of(known)),
        )

    return Request(request.model, begin, request.revision)


def download_work(model: str) -> Work:
    """The work that brings a published model onto this machine."""

    def work(control: JobControl) -> None:
        control.stage("Downloading")
        models.download(model, progress=control.progress)

    return work


def verify_work(model: str) -> Work:
    """The work that hashes every file of a model."""

    def work(control: JobControl) -> None:
        control.stage("Hashing every file")
        models.verify(model)

    return work


def delete_work(model: str) -> Work:
    """The work that deletes a downloaded model; returns the bytes freed."""

    def work(control: JobControl) -> int:
        control.stage("Deleting")
        return models.delete(model)

    return work


def self_test_work(model: str, engine: Callable[[], Engine]) -> Work:
    """The work that tests a model by way of the engine, which is started only then."""

    def work(control: JobControl) -> SelfTest:
        from kronos.self_test import TITLES, run_self_test

        control.stage("Testing")
        return run_self_test(
            engine(), model, watch=lambda n_done: control.progress(n_done, len(TITLES))
        )

    return work
