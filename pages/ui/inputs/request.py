"""What one press of Run asks for, checked again on the server, and the key it is known by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from pages.ui.inputs.told import ToldEvents

DEFAULT_HORIZON = 24
DEFAULT_PATHS = 100
MIN_CONTEXT = 32
MAX_HORIZON = 240
MAX_PATHS = 500


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """One forecast to be made.

    Attributes:
        data_id: Digest of the candles.
        model: Name of the model, as for `kronos.models.load`, of a baseline or of the ensemble.
        revision: Revision of the model's weights.
        horizon: Number of bars ahead.
        sampling: How futures are drawn.
        origin: Open time of the last bar the model may read, UTC.
        lookback: Number of context bars, or None for the model's recommendation.
        events: What the model is told of events; None for models that read none.
    """

    data_id: str
    model: str
    revision: str
    horizon: int
    sampling: SamplingParameters
    origin: pd.Timestamp
    lookback: int | None = None
    events: ToldEvents | None = None

    def __post_init__(self) -> None:
        require_size(self.horizon, self.sampling)
        if self.lookback is not None and self.lookback < MIN_CONTEXT:
            raise InvalidRequest(
                f"The lookback must be at least {MIN_CONTEXT} bars, found {self.lookback}."
            )

    @property
    def key(self) -> str:
        """SHA-256 of everything the result depends on: data, model, origin, settings, events."""
        facts = asdict(replace(self, events=None)) | {"origin": self.origin.isoformat()}
        facts["events"] = None if self.events is None else self.events.digest
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def require_size(horizon: int, sampling: SamplingParameters) -> None:
    """Refuse what would occupy the engine too long.

    Raises:
        InvalidRequest: Too many bars or paths, or no bar.
    """
    if not 1 <= horizon <= MAX_HORIZON:
        raise InvalidRequest(f"The horizon must be 1 to {MAX_HORIZON} bars, found {horizon}.")
    if sampling.sample_count > MAX_PATHS:
        raise InvalidRequest(
            f"At most {MAX_PATHS} paths can be drawn here, found {sampling.sample_count}."
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
