"""The engine of this process as a service, and the service that KRONOS_ENGINE chooses."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from kronos import models
from kronos.errors import InvalidRequest
from kronos.forecast import Progress
from kronos.forecasters import baselines
from kronos.forecasters.base import Forecaster
from kronos.models.facts import model_facts
from kronos.request import EngineRequest, ModelFacts
from kronos.serving.engine import Engine
from kronos.serving.interface import FACTS_KEPT, ForecastService
from kronos.serving.jobs import JobStatus, Limits
from kronos.serving.model_cache import Load, LoadedModel
from kronos.serving.torch_setup import prepare_torch

__all__ = [
    "ForecastService",
    "LocalService",
    "forecaster_facts",
    "load_forecaster",
    "open_service",
    "running_service",
    "service",
]


class LocalService(ForecastService):
    """The engine of this process.

    Attributes:
        engine: Loads the models and draws, in a thread of its own.
    """

    def __init__(
        self,
        load: Load | None = None,
        *,
        device: str | None = None,
        budget: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Args:
        load: Loads a forecaster by the name of its model; None for `load_forecaster`.
        device: Where to compute, such as "cpu" or "cuda"; None takes a GPU when there is one.
        budget: Bytes of weights kept in memory; None for half of the machine's.
        limits: Of the queue.
        """
        self.engine = Engine(load or _loader(device), budget=budget, limits=limits)
        self._facts: dict[str, tuple[float, ModelFacts]] = {}

    def submit(self, request: EngineRequest, *, owner: str, **options: Any) -> JobStatus:
        """See `ForecastService.submit`."""
        return self.engine.queue.submit(request.digest, request, owner=owner, **options)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """See `ForecastService.status`."""
        return self.engine.queue.status(key, owner=owner)

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """See `ForecastService.result`."""
        return self.engine.queue.result(key, owner=owner, timeout=timeout)

    def leave(self, key: str, *, owner: str) -> None:
        """See `ForecastService.leave`."""
        self.engine.queue.leave(key, owner=owner)

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """See `ForecastService.leave_all`."""
        return self.engine.queue.leave_all(owner=owner)

    def offer(self, key: str, answer: Any) -> None:
        """See `ForecastService.offer`."""
        self.engine.queue.offer(key, answer)

    def facts(self, model: str) -> ModelFacts:
        """See `ForecastService.facts`; files are read again after a few seconds."""
        now = time.monotonic()
        known = self._facts.get(model)
        if known is None or now - known[0] > FACTS_KEPT:
            known = self._facts[model] = (now, forecaster_facts(model))
        return known[1]

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """See `ForecastService.models`."""
        return self.engine.models

    @property
    def is_closed(self) -> bool:
        """See `ForecastService.is_closed`."""
        return self.engine.queue.is_closed

    def close(self) -> bool:
        """See `ForecastService.close`."""
        return self.engine.close()


def load_forecaster(name: str, progress: Progress, *, device: str | None = None) -> Forecaster:
    """A model, baseline or ensemble by its name, ready to forecast.

    Args:
        name: As for `kronos.models.load`, or the name of a baseline, or "ensemble".
        progress: Called as progress(done_bytes, total_bytes) while downloading.
        device: Where to compute; None takes a GPU when there is one.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointError: It cannot be had.
    """
    kind = models.kind_of(name)
    if kind == "baseline":
        return baselines.baseline(name)  # which needs no torch
    prepare_torch()
    if kind == "ensemble":
        from kronos.ensemble import load_ensemble

        return load_ensemble(device=device, progress=progress)
    return models.load(name, device=device, dtype="fastest", progress=progress)


def forecaster_facts(name: str) -> ModelFacts:
    """Facts of a model, baseline or ensemble; see `ForecastService.facts`."""
    if models.kind_of(name) != "ensemble":
        return model_facts(name)
    from kronos.ensemble.predictor import ensemble_facts
    from kronos.ensemble.weights import load_weights

    weights = load_weights()
    return ensemble_facts(weights, [model_facts(member) for member in weights.members])


VARIABLE = "KRONOS_ENGINE"
"""Names the engine of pages and commands: local, or the address of a server."""


def open_service(device: str | None = None, *, limits: Limits | None = None) -> ForecastService:
    """The service that KRONOS_ENGINE names, to be closed by the caller.

    Args:
        device: Where the engine of this process computes; see `LocalService`.
        limits: Of its queue.

    Raises:
        InvalidRequest: There is no such engine, or a device is named that is not its own.
    """
    address = os.environ.get(VARIABLE, "").strip() or _LOCAL
    scheme = address.partition("://")[0].lower()
    if scheme == _LOCAL:
        return LocalService(device=device, limits=limits)
    if scheme not in _ENGINES:
        raise InvalidRequest(
            f"{VARIABLE} is local or an address that begins with {'://, '.join(_ENGINES)}://, "
            f"found {address[:80]!r}."
        )
    if device is not None:
        raise InvalidRequest(f"--device is of this machine, and {VARIABLE} names another engine.")
    return _ENGINES[scheme](address)


def _client(url: str) -> ForecastService:
    from kronos.serving.client import Client

    return Client(url, os.environ.get("KRONOS_API_KEY") or None)


_LOCAL = "local"
_ENGINES: dict[str, Callable[[str], ForecastService]] = {"http": _client, "https": _client}
_lock = threading.Lock()
_service: ForecastService | None = None


def service() -> ForecastService:
    """The service of this process, opened when first used; a closed one is replaced.

    Raises:
        InvalidRequest: KRONOS_ENGINE names none.
    """
    global _service
    with _lock:
        if _service is None or _service.is_closed:
            _service = open_service()
            atexit.register(_service.close)
        return _service


def running_service() -> ForecastService | None:
    """The service of this process if there is one yet; starts none."""
    with _lock:
        return _service


def _loader(device: str | None) -> Load:
    def load(name: str, progress: Progress) -> Forecaster:
        return load_forecaster(name, progress, device=device)

    return load
