"""An outlook for every instrument and rebalance date, by way of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from kronos.candles import Candles
from kronos.decoding.drawing import Drawing
from kronos.ensemble.market import market_for, market_of
from kronos.errors import InvalidCandles
from kronos.forecast import Forecast, SamplingParameters
from kronos.portfolio.market import Market
from kronos.portfolio.outlooks import Outlook, OutlookCache
from kronos.serving.engine import Engine, Request
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.service import model_facts

if TYPE_CHECKING:
    from kronos.forecasters.kronos import KronosPredictor

__all__ = ["Keep", "Survey", "Window", "survey"]

AT_ONCE = 16
"""Windows in one request. A batch takes what fits of them; a run is stopped between two."""

Keep = Callable[[Forecast, Candles], object]
"""Gets every new forecast and the bars up to its origin."""


@dataclass(frozen=True)
class Window:
    """One forecast to make.

    Attributes:
        row: Which rebalance.
        instrument: Which instrument.
        known: Bars up to the decision, as many as the model reads.
        horizon: Bars to forecast.
    """

    row: int
    instrument: int
    known: Candles
    horizon: int

    @cached_property
    def key(self) -> str:
        """Digest of all that the model is told, and of how the bars go on."""
        frame, digest = self.known.frame, hashlib.sha256()
        digest.update(np.ascontiguousarray(frame.to_numpy(), dtype="<f8").tobytes())
        digest.update(np.asarray(self.known.local_index.asi8, dtype="<i8").tobytes())
        digest.update(repr((market_of(self.known), self.horizon)).encode())
        return digest.hexdigest()

    def begin(self, predictor: KronosPredictor, sampling: SamplingParameters) -> Drawing:
        """The forecast, begun in the engine's thread."""
        future = self.known.future(self.horizon)
        return predictor.begin(
            self.known.frame,
            x_timestamp=self.known.local_index,
            y_timestamp=future.tz_convert(self.known.zone),
            sampling=sampling,
            **market_for(predictor, market_of(self.known)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """How far the forecasts of a run are.

    Attributes:
        rows: Of every rebalance that is complete I outlooks; None where an instrument has no bar,
            too few, or bars that the model cannot use.
        n_done: Windows done.
        n_windows: Windows in all.
    """

    rows: list[list[Outlook | None]]
    n_done: int
    n_windows: int


def survey(
    engine: Engine,
    model: str,
    market: Market,
    dates: np.ndarray,
    *,
    horizon: int,
    sampling: SamplingParameters,
    warm_up: int,
    cache_folder: Path | None = None,
    keep: Keep | None = None,
    watch: Callable[[JobStatus], None] | None = None,
) -> Iterator[Survey]:
    """What a model says of every instrument at every rebalance, rebalance after rebalance.

    Args:
        engine: Draws the forecasts, behind everybody who waits for one.
        model: Name or folder of the model, or name of a baseline.
        market: The bars.
        dates: (R,) positions of the decisions in the market's calendar.
        horizon: Bars to forecast.
        sampling: How futures are drawn.
        warm_up: Bars an instrument needs before it is forecast.
        cache_folder: Where outlooks are kept; None keeps none.
        keep: Gets new forecasts.
        watch: Called with the state of the request under way; raising leaves it.

    Yields:
        How far it is: before the first request, and after each.
    """
    facts = model_facts(engine, model, horizon)
    windows = list(_windows(market, dates, horizon, warm_up, facts.n_read))
    settings = {"model": facts.name, "revision": facts.revision, **asdict(sampling)}
    cache = None if cache_folder is None else OutlookCache(cache_folder, settings)
    found: dict[str, Outlook | None] = {}
    if cache is not None:
        found = {window.key: cache[window.key] for window in windows if window.key in cache}
    left = [window for window in windows if window.key not in found]
    table: list[list[Outlook | None]] = [[None] * len(market.names) for _ in dates]
    for window in windows:
        table[window.row][window.instrument] = found.get(window.key)
    for start in range(0, len(left) + AT_ONCE, AT_ONCE):
        batch = left[start : start + AT_ONCE]
        n_complete = batch[0].row if batch else len(dates)
        yield Survey(table[:n_complete], len(windows) - len(left[start:]), len(windows))
        new = _ask(engine, model, batch, sampling, keep, watch) if batch else {}
        for window in batch:
            table[window.row][window.instrument] = new[window.key]
        if cache is not None and new:
            cache.add(new)


def _windows(
    market: Market, dates: np.ndarray, horizon: int, warm_up: int, n_read: int
) -> Iterator[Window]:
    series = list(market.candles.values())
    for row, at in enumerate(dates):
        for i, candles in enumerate(series):
            last = int(market.positions[at, i])
            if last + 1 >= warm_up:
                known = candles.slice(max(last + 1 - n_read, 0), last + 1)
                yield Window(row, i, known, horizon)


def _ask(
    engine: Engine,
    model: str,
    batch: Sequence[Window],
    sampling: SamplingParameters,
    keep: Keep | None,
    watch: Callable[[JobStatus], None] | None,
) -> Mapping[str, Outlook | None]:
    def begin(predictor: KronosPredictor) -> Drawing:
        drawings = [_begun(window, predictor, sampling) for window in batch]

        def finish() -> list[Forecast | None]:
            return [None if drawing is None else drawing.finish() for drawing in drawings]

        return Drawing([s for drawing in drawings if drawing for s in drawing.series], finish)

    answers: list[Forecast | None] = engine.run(
        uuid4().hex,
        Request(model, begin),
        owner=f"backtest {uuid4().hex}",
        priority=Priority.BATCH,
        watch=watch,
    )
    for window, forecast in zip(batch, answers, strict=True):
        if keep is not None and forecast is not None:
            keep(forecast, window.known)
    return {
        window.key: None if forecast is None else Outlook.of(forecast)
        for window, forecast in zip(batch, answers, strict=True)
    }


def _begun(
    window: Window, predictor: KronosPredictor, sampling: SamplingParameters
) -> Drawing | None:
    """None where the model cannot use these bars: the others are forecast all the same."""
    try:
        return window.begin(predictor, sampling)
    except InvalidCandles:
        return None
