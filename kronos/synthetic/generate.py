"""Synthetic series: a model continues a context by many bars, and every path is a series.

The window of the model slides as a series grows. Values are normalised by the context throughout,
as in training: a series that leaves the range of the context reaches the limits of the tokens, so
that series much longer than the context flatten out. The realism report shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import COLUMNS, Forecast, SamplingParameters, whole_number
from kronos.request import ForecastRequest, ModelFacts

__all__ = [
    "MAX_BARS",
    "MAX_SERIES",
    "MIN_CONTEXT",
    "SyntheticPlan",
    "series_request",
    "synthetic_series",
]

MAX_BARS, MAX_SERIES = 5000, 100
MIN_CONTEXT = 32


@dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """The settings of synthetic series.

    Attributes:
        model: Name or folder of the model, or name of a baseline.
        n_bars: Bars of each series.
        n_series: Number of series.
        seed: The same seed gives the same series.
        T: Temperature; 1 for the distribution that the model learned.
        top_p: Nucleus mass; below 1, because over so many bars rare tokens lead astray.
        lookback: Bars of the context; None for the model's own.

    Raises:
        InvalidRequest: A number is out of range.
    """

    model: str = "bundled"
    n_bars: int = 500
    n_series: int = 1
    seed: int = 0
    T: float = 1.0
    top_p: float = 0.95
    lookback: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("n_bars", 2, MAX_BARS), ("n_series", 1, MAX_SERIES)):
            value = whole_number(getattr(self, name), name)
            if not low <= value <= high:
                raise InvalidRequest(f"{name} must be from {low} to {high:,}, found {value}.")
        _ = self.sampling

    @property
    def sampling(self) -> SamplingParameters:
        """The sampling parameters of the series."""
        return SamplingParameters(
            T=self.T, top_p=self.top_p, sample_count=self.n_series, seed=self.seed
        )


def series_request(source: Candles, plan: SyntheticPlan, facts: ModelFacts) -> ForecastRequest:
    """The request for a `Forecast` whose paths are the series.

    It has no event rows, because synthetic series have no calendar of releases.

    Args:
        source: The context; its last bars are read.
        plan: The settings.
        facts: Facts of the plan's model.

    Raises:
        InvalidRequest: The context is too short.
    """
    if len(source) < MIN_CONTEXT:
        raise InvalidRequest(
            f"A series needs a context of at least {MIN_CONTEXT} bars, found {len(source)}."
        )
    return ForecastRequest.of_candles(
        source, facts, horizon=plan.n_bars, sampling=plan.sampling, lookback=plan.lookback
    )


def synthetic_series(source: Candles, forecast: Forecast) -> list[Candles]:
    """The series as candles, on the calendar of the context.

    Raises:
        InvalidCandles: A path holds invalid bars.
    """
    index = pd.DatetimeIndex(forecast.timestamps.tz_convert("UTC"), name="timestamp")
    return [
        Candles(
            pd.DataFrame(path, index, columns=list(COLUMNS)),
            source.interval,
            source.zone,
            source.calendar,
            f"{source.symbol}-synthetic-{number}",
            f"made up by {forecast.model_name}",
        )
        for number, path in enumerate(forecast.paths, 1)
    ]
