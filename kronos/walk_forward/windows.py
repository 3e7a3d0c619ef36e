"""What the engine is asked: many windows of one model in one request."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from kronos.candles import Candles
from kronos.decoding.drawing import Drawing
from kronos.errors import KronosError
from kronos.events import event_channels, load_events, regions_of
from kronos.forecast import Forecast
from kronos.serving.engine import Engine, Request
from kronos.serving.jobs import Priority
from kronos.serving.service import ask_model
from kronos.walk_forward.plan import Series, WalkPlan

if TYPE_CHECKING:
    import numpy as np

    from kronos.forecasters.kronos import KronosPredictor

__all__ = ["AskedModel", "Window", "ask_about", "window_request"]

_VOLATILITY_BARS = 501
"""Bars behind an origin that the store reads for its volatility."""


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model of a walk.

    Attributes:
        asked: What it was asked by.
        name: Name its forecasts bear.
        version: Revision of its weights.
        longest: Most bars it reads before the horizon.
    """

    asked: str
    name: str
    version: str
    longest: int


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One origin in one series.

    Attributes:
        series: The series.
        position: Of the last bar that is known.
    """

    series: Series
    position: int

    def known(self, n_bars: int) -> Candles:
        """The last bars up to the origin: all that a forecast may see."""
        stop = self.position + 1
        return self.series.candles.slice(max(0, stop - max(n_bars, _VOLATILITY_BARS)), stop)


def ask_about(engine: Engine, model: str, plan: WalkPlan) -> AskedModel:
    """Loads a model to learn its name, its revision and what it reads.

    Raises:
        KronosError: It cannot be loaded, or cannot read so many bars.
    """

    def question(predictor: KronosPredictor) -> AskedModel:
        longest = predictor.context_length(sys.maxsize, plan.horizon, plan.lookback)
        return AskedModel(model, predictor.name, predictor.revision, longest)

    answer: AskedModel = ask_model(engine, model, question, priority=Priority.BATCH)
    return answer


def window_request(model: AskedModel, windows: Sequence[Window], plan: WalkPlan) -> Request:
    """A request for a list of `Forecast`, or of what is wrong with a window, in their order."""

    def begin(predictor: KronosPredictor) -> Drawing:
        drawings = [_begun(predictor, window, model, plan) for window in windows]
        series = [c for d in drawings if isinstance(d, Drawing) for c in d.series]

        def finish() -> list[Forecast | KronosError]:
            return [_finished(drawing) for drawing in drawings]

        return Drawing(series, finish)

    return Request(model.asked, begin)


def _begun(
    predictor: KronosPredictor, window: Window, model: AskedModel, plan: WalkPlan
) -> Drawing | KronosError:
    try:
        known = window.known(model.longest)
        future = known.future(plan.horizon)
        channels = None
        if predictor.reads_events:
            known = known.slice(-min(len(known), model.longest))
            channels = _channels(known, future)
        return predictor.begin(
            known.frame,
            x_timestamp=known.local_index,
            y_timestamp=future.tz_convert(known.zone),
            sampling=plan.sampling,
            lookback=plan.lookback,
            events=channels,
        )
    except KronosError as error:
        return error


def _finished(drawing: Drawing | KronosError) -> Forecast | KronosError:
    if isinstance(drawing, KronosError):
        return drawing
    try:
        forecast: Forecast = drawing.finish()
    except KronosError as error:
        return error
    return forecast


def _channels(known: Candles, future: pd.DatetimeIndex) -> np.ndarray:
    """(T + H, 20) event channels, of what was public at the origin."""
    return event_channels(
        pd.DatetimeIndex(known.frame.index.append(future.tz_convert("UTC"))),
        interval=known.interval,
        calendar=known.calendar,
        zone=known.zone,
        n_context=len(known),
        events=load_events(),
        symbol=known.symbol,
        regions=regions_of(known.calendar, known.symbol),
    )
