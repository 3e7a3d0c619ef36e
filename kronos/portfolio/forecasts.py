"""An outlook for every instrument and rebalance date, by way of a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kronos.candles import Candles
from kronos.errors import InvalidCandles, KronosError
from kronos.events import event_inputs, load_events
from kronos.forecast import Forecast, SamplingParameters
from kronos.portfolio.market import Market
from kronos.portfolio.outlooks import Outlook, OutlookCache
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.jobs import JobStatus, Priority
from kronos.serving.requests import BatchRequest
from kronos.serving.service import ForecastService

__all__ = ["Keep", "Survey", "Window", "survey"]

AT_ONCE = 16
"""Windows in one request. A batch takes what fits of them; a run is stopped between two."""

Keep = Callable[[Forecast, Candles], object]
"""Gets every new forecast and the bars up to its origin."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One forecast to make.

    Attributes:
        row: Which rebalance.
        instrument: Which instrument.
        last: Position of the last bar that is known.
    """

    row: int
    instrument: int
    last: int


class _Requests:
    """The requests of windows, built when they are needed: together they would fill the memory."""

    def __init__(
        self, market: Market, facts: ModelFacts, horizon: int, sampling: SamplingParameters
    ) -> None:
        self._series = list(market.candles.values())
        self._facts, self._horizon, self._sampling = facts, horizon, sampling
        events = load_events() if facts.reads_events else ()
        self._events = [event_inputs(events, candles) for candles in self._series]

    def of(self, window: Window) -> ForecastRequest | None:
        """None where the bars cannot be used."""
        try:
            return ForecastRequest.of_candles(
                self._series[window.instrument],
                self._facts,
                origin=window.last,
                horizon=self._horizon,
                sampling=self._sampling,
                events=self._events[window.instrument],
            )
        except InvalidCandles:
            return None

    def known(self, window: Window) -> Candles:
        """Bars up to the decision."""
        return self._series[window.instrument].slice(None, window.last + 1)


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
    service: ForecastService,
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
        service: Makes the forecasts, behind everybody who waits for one.
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
    facts = service.facts(model)
    requests = _Requests(market, facts, horizon, sampling)
    windows = list(_windows(market, dates, warm_up))
    settings = {"model": facts.name, "revision": facts.revision, **asdict(sampling)}
    cache = None if cache_folder is None else OutlookCache(cache_folder, settings)
    table: list[list[Outlook | None]] = [[None] * len(market.names) for _ in dates]
    left = []
    for window in windows:
        request = None if cache is None else requests.of(window)
        if cache is not None and request is not None and request.digest in cache:
            table[window.row][window.instrument] = cache[request.digest]
        else:
            left.append(window)
    for start in range(0, len(left) + AT_ONCE, AT_ONCE):
        batch = left[start : start + AT_ONCE]
        n_complete = batch[0].row if batch else len(dates)
        yield Survey(table[:n_complete], len(windows) - len(left[start:]), len(windows))
        new = _forecast(service, facts, requests, batch, keep, watch)
        for window, _, outlook in new:
            table[window.row][window.instrument] = outlook
        if cache is not None and new:
            cache.add({digest: outlook for _, digest, outlook in new})


def _windows(market: Market, dates: np.ndarray, warm_up: int) -> Iterator[Window]:
    for row, at in enumerate(dates):
        for i in range(len(market.names)):
            last = int(market.positions[at, i])
            if last + 1 >= warm_up:
                yield Window(row, i, last)


def _forecast(
    service: ForecastService,
    facts: ModelFacts,
    requests: _Requests,
    batch: Sequence[Window],
    keep: Keep | None,
    watch: Callable[[JobStatus], None] | None,
) -> list[tuple[Window, str, Outlook | None]]:
    """Windows with the digest of their request and their outlook; None where the model cannot use
    the bars."""
    pairs = [(window, requests.of(window)) for window in batch]
    usable = [(window, request) for window, request in pairs if request is not None]
    if not usable:
        return []
    question = BatchRequest(facts.model, facts.revision, tuple(each for _, each in usable))
    answers: list[Forecast | KronosError] = service.run(
        question, priority=Priority.BATCH, watch=watch
    )
    found: list[tuple[Window, str, Outlook | None]] = []
    for (window, request), answer in zip(usable, answers, strict=True):
        if isinstance(answer, Forecast):
            found.append((window, request.digest, Outlook.of(answer)))
            if keep is not None:
                keep(answer, requests.known(window))
        elif isinstance(answer, InvalidCandles):
            found.append((window, request.digest, None))
        else:
            raise answer
    return found
