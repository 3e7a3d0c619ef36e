"""The questions that an engine answers besides single forecasts: each is data, as a forecast is."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kronos.errors import KronosError
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.base import Forecaster, Pending, Placement, Samples
from kronos.request import EngineRequest, ForecastRequest

if TYPE_CHECKING:
    from kronos.context import Context
    from kronos.forecasters.reconstruction import Reconstruction

__all__ = [
    "BatchRequest",
    "FactsRequest",
    "ManySamplesRequest",
    "ModelRequest",
    "PlacementRequest",
    "ReconstructionRequest",
    "SampleRequest",
    "WarmUpRequest",
    "prepare",
]


def prepare(request: EngineRequest, forecaster: Forecaster) -> Pending[Any]:
    """What a forecaster makes of a request.

    Raises:
        KronosError: Something is wrong with the request.
    """
    if isinstance(request, ForecastRequest):
        return forecaster.prepare(request)
    if isinstance(request, ModelRequest):
        return request.prepare(forecaster)
    raise TypeError(f"No engine answers a {type(request).__name__}.")


class ModelRequest(EngineRequest):
    """A question that is no single forecast."""

    @abstractmethod
    def prepare(self, forecaster: Forecaster) -> Pending[Any]:
        """What the loaded model is to draw for it, and the answer made of that."""

    @property
    def digest(self) -> str:
        """SHA-256 of kind, model and revision."""
        return _digest(type(self).__name__, self.model, self.revision)


@dataclass(frozen=True)
class FactsRequest(ModelRequest):
    """What is a loaded model? The answer is its `ModelFacts`."""

    model: str
    revision: str = ""

    def prepare(self, forecaster: Forecaster) -> Pending[Any]:
        return Pending([], lambda: forecaster.facts)


@dataclass(frozen=True)
class WarmUpRequest(ModelRequest):
    """Load a model, so that the next request need not wait for it; the answer is None."""

    model: str
    revision: str = ""

    def prepare(self, forecaster: Forecaster) -> Pending[None]:
        return Pending([], lambda: None)


@dataclass(frozen=True)
class PlacementRequest(ModelRequest):
    """Where does a model compute? The answer is its placement and the bytes of its weights."""

    model: str
    revision: str = ""

    def prepare(self, forecaster: Forecaster) -> Pending[tuple[Placement | None, int]]:
        return Pending([], lambda: (forecaster.placement, forecaster.n_bytes))


@dataclass(frozen=True, eq=False)
class ReconstructionRequest(ModelRequest):
    """What does a model keep of bars? The answer is a `Reconstruction`.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights.
        bars: The bars.
    """

    model: str
    revision: str
    bars: Context

    @property
    def digest(self) -> str:
        """SHA-256 of kind, model, revision and bars."""
        return _digest("reconstruction", self.model, self.revision, self.bars.sha256())

    def prepare(self, forecaster: Forecaster) -> Pending[Reconstruction]:
        return Pending([], lambda: forecaster.reconstruct(self.bars))


@dataclass(frozen=True, eq=False)
class BatchRequest(ModelRequest):
    """Many forecasts of one model together, as walks and backtests need them.

    The answer holds, in their order, each `Forecast`, or the error of a request that the model
    cannot answer: one series that cannot be used spoils no other.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights.
        requests: All of this model.
    """

    model: str
    revision: str
    requests: tuple[ForecastRequest, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of the requests."""
        return _digest("batch", *(request.digest for request in self.requests))

    def prepare(self, forecaster: Forecaster) -> Pending[list[Forecast | KronosError]]:
        prepared = [_attempt(lambda r=each: forecaster.prepare(r)) for each in self.requests]
        sequences = [s for each in prepared if isinstance(each, Pending) for s in each.sequences]

        def result() -> list[Forecast | KronosError]:
            return [
                _attempt(each.result) if isinstance(each, Pending) else each for each in prepared
            ]

        return Pending(sequences, result)


@dataclass(frozen=True, eq=False)
class SampleRequest(ModelRequest):
    """Paths of many contexts, neither anchored nor repaired; see `Forecaster.prepare_samples`.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights.
        contexts: B contexts.
        futures: B arrays (H, 5) of calendar fields.
        sampling: The same for all.
        events: B arrays (T + H, 20) of event rows or None; None for none at all.
    """

    model: str
    revision: str
    contexts: tuple[Context, ...]
    futures: tuple[np.ndarray, ...]
    sampling: SamplingParameters
    events: tuple[np.ndarray | None, ...] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of model, contexts, futures, sampling and event rows."""
        parts = [context.sha256() for context in self.contexts]
        for array in (*self.futures, *(self.events or ())):
            parts.append("" if array is None else hashlib.sha256(array.tobytes()).hexdigest())
        sampling = json.dumps(asdict(self.sampling), sort_keys=True)
        return _digest("samples", self.model, self.revision, sampling, *parts)

    def prepare(self, forecaster: Forecaster) -> Pending[Samples]:
        return forecaster.prepare_samples(
            self.contexts, self.futures, self.sampling, events=self.events
        )


@dataclass(frozen=True, eq=False)
class ManySamplesRequest(ModelRequest):
    """Samples whose sampling parameters, or horizons, differ, drawn together.

    The answer holds the `Samples` of each, in their order.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights.
        requests: All of this model.
    """

    model: str
    revision: str
    requests: tuple[SampleRequest, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of the requests."""
        return _digest("many samples", *(request.digest for request in self.requests))

    def prepare(self, forecaster: Forecaster) -> Pending[list[Samples]]:
        pending = [request.prepare(forecaster) for request in self.requests]
        sequences = [sequence for each in pending for sequence in each.sequences]
        return Pending(sequences, lambda: [each.result() for each in pending])


def _attempt(work: Any) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        return work()
    except KronosError as error:
        return error


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
