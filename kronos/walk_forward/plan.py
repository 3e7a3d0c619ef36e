"""The plan of a walk: series, their origins, and the request for the forecast of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import VOLATILITY_BARS
from kronos.events import EventInputs
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest, ModelFacts

__all__ = ["PATHS", "Series", "WalkPlan", "Window", "choose_origins"]

PATHS = 32
"""Default paths of a window: fair CRPS is unbiased for any number of paths, and more windows say
more than more paths."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Bars to walk through.

    Attributes:
        candles: The bars, oldest first.
        source: Source that their forecasts are stored under.
    """

    candles: Candles
    source: str


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """The settings of a walk.

    Attributes:
        models: Names of the models; each window is forecast by them in this order.
        horizon: Steps forecast, H.
        sampling: Sampling parameters.
        lookback: Bars read; None for each model's own.
        n_origins: Origins of every series, evenly spaced; unused with `every`.
        every: Bars from one origin to the next; None for `n_origins`.
        since: Earliest origin; None for the first with enough history.
        history: Fewest bars up to and including an origin.

    Raises:
        InvalidRequest: A number is out of range, or no model is named.
    """

    models: tuple[str, ...] = ("bundled",)
    horizon: int = 24
    sampling: SamplingParameters = field(
        default_factory=lambda: SamplingParameters(sample_count=PATHS)
    )
    lookback: int | None = None
    n_origins: int = 20
    every: int | None = None
    since: pd.Timestamp | None = None
    history: int = 256

    def __post_init__(self) -> None:
        if not self.models:
            raise InvalidRequest("A walk needs at least one model.")
        for name, low in (("horizon", 1), ("n_origins", 1), ("every", 1), ("history", 2)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {value}.")


def choose_origins(candles: Candles, plan: WalkPlan) -> np.ndarray:
    """Positions of the origins in a series, ascending; empty where it is too short.

    Every origin has at least `plan.history` bars up to itself and `plan.horizon` bars after it.
    """
    first = plan.history - 1
    last = len(candles) - 1 - plan.horizon
    if plan.since is not None:
        first = max(first, int(candles.frame.index.searchsorted(plan.since)))
    if last < first:
        return np.array([], dtype=int)
    if plan.every is not None:
        # Counted from the end, so that the newest bars are always used.
        return np.arange(last, first - 1, -plan.every)[::-1]
    return np.unique(np.linspace(first, last, plan.n_origins).round().astype(int))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One origin in one series.

    Attributes:
        series: The series.
        position: Position of the last known bar.
    """

    series: Series
    position: int

    @property
    def recent(self) -> Candles:
        """The last bars up to the origin, as many as the store reads for the volatility."""
        stop = self.position + 1
        return self.series.candles.slice(max(0, stop - VOLATILITY_BARS - 1), stop)

    def request(
        self, facts: ModelFacts, plan: WalkPlan, events: EventInputs | None = None
    ) -> ForecastRequest:
        """The request for its forecast.

        Args:
            facts: What is known of the model.
            plan: The settings.
            events: Those of the series; left out for models that read none.

        Raises:
            KronosError: The candles cannot be used.
        """
        return ForecastRequest.of_candles(
            self.series.candles,
            facts,
            origin=self.position,
            horizon=plan.horizon,
            sampling=plan.sampling,
            lookback=plan.lookback,
            events=events,
        )
