"""The settings of a forecast on a page, checked again on the server, and the request they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.events import EventInputs
from kronos.forecast import SamplingParameters
from kronos.models import Entry, kind_of
from kronos.request import ForecastRequest, ModelFacts

DEFAULT_HORIZON = 24
DEFAULT_PATHS = 100
"""Paths of each forecast where a page draws several."""
_LEAST_PATHS = 30
"""Three paths lie outside either end of the 80% band."""
_PATHS_IN_A_SECOND = ((3e6, 300), (10e6, 200), (50e6, 50))
"""Most parameters of a model, and the paths of 24 bars that two cores draw in about a second. From
the times of 30 paths and their growth that the README shows (`python -m benchmarks.speed
--scaling`); the bundled model draws 500 in 0.9 s."""
MIN_CONTEXT = 32
MAX_HORIZON = 240
MAX_PATHS = 1_000


def default_paths(model: Entry) -> int:
    """Paths that a page draws unless its visitor chooses: as many as take about a second."""
    if kind_of(model.name) == "chronos":  # its quantiles take one pass, however many the paths are
        return _PATHS_IN_A_SECOND[0][1]
    fitting = (paths for most, paths in _PATHS_IN_A_SECOND if model.n_parameters <= most)
    return next(fitting, _LEAST_PATHS)


@dataclass(frozen=True, slots=True)
class ForecastSettings:
    """What the controls of a page say about one forecast.

    Attributes:
        data_id: Digest of the candles.
        model: What the model is loaded by.
        horizon: Number of bars ahead.
        sampling: How futures are drawn.
        origin: Open time of the last bar the model may read, UTC.
        lookback: Number of context bars, or None for the model's recommendation.
        events: Events of the instrument; None for models that read none.
    """

    data_id: str
    model: str
    horizon: int
    sampling: SamplingParameters
    origin: pd.Timestamp
    lookback: int | None = None
    events: EventInputs | None = None

    def __post_init__(self) -> None:
        require_size(self.horizon, self.sampling)
        if self.lookback is not None and self.lookback < MIN_CONTEXT:
            raise InvalidRequest(
                f"The lookback must be at least {MIN_CONTEXT} bars, found {self.lookback}."
            )

    def request(self, candles: Candles, facts: ModelFacts) -> ForecastRequest:
        """The request for the forecast.

        Args:
            candles: The candles of `data_id`.
            facts: What is known of the model.

        Raises:
            InvalidCandles: The candles cannot be used.
            InvalidRequest: Fewer than `MIN_CONTEXT` bars lie before the origin, or a number does
                not suit the model.
        """
        context_of(candles, self.origin)
        return ForecastRequest.of_candles(
            candles,
            facts,
            origin=self.origin,
            horizon=self.horizon,
            sampling=self.sampling,
            lookback=self.lookback,
            events=self.events,
        )


def require_size(horizon: int, sampling: SamplingParameters) -> None:
    """Refuse what would occupy the engine too long.

    Raises:
        InvalidRequest: Too many bars or paths, or no bar.
    """
    if not 1 <= horizon <= MAX_HORIZON:
        raise InvalidRequest(f"The horizon must be 1 to {MAX_HORIZON} bars, found {horizon}.")
    if sampling.sample_count > MAX_PATHS:
        raise InvalidRequest(
            f"At most {MAX_PATHS:,} paths can be drawn here, found {sampling.sample_count}."
        )


def data_id(candles: Candles) -> str:
    """SHA-256 of the bars' exact bytes and of what else shapes a forecast made from them."""
    frame = candles.frame
    digest = hashlib.sha256(frame.index.to_numpy(dtype="datetime64[ns]").tobytes())
    digest.update(frame.to_numpy(dtype="<f8").tobytes())
    for text in (candles.interval, candles.zone, candles.calendar):
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def context_of(candles: Candles, origin: pd.Timestamp) -> Candles:
    """The bars up to and including the origin.

    Raises:
        InvalidRequest: fewer than `MIN_CONTEXT` bars are left.
    """
    known = candles.at_origin(origin, n_actuals=0).history
    if len(known) < MIN_CONTEXT:
        raise InvalidRequest(
            f"A forecast needs at least {MIN_CONTEXT} bars before its origin, found {len(known)}. "
            "Choose a later origin or a longer series."
        )
    return known
