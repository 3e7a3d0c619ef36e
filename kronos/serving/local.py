"""The engine of this process as a service."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

from kronos import models
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
from kronos.serving.worker import Worker

__all__ = ["LocalService", "QueuedService", "forecaster_facts", "load_forecaster"]


class QueuedService(ForecastService):
    """A service whose requests wait in a queue of this process."""

    @property
    @abstractmethod
    def worker(self) -> Worker:
        """What answers the jobs of the queue."""

    def submit(self, request: EngineRequest, *, owner: str, **options: Any) -> JobStatus:
        """See `ForecastService.submit`."""
        return self.worker.queue.submit(request.digest, request, owner=owner, **options)

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """See `ForecastService.status`."""
        return self.worker.queue.status(key, owner=owner)

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """See `ForecastService.result`."""
        return self.worker.queue.result(key, owner=owner, timeout=timeout)

    def leave(self, key: str, *, owner: str) -> None:
        """See `ForecastService.leave`."""
        self.worker.queue.leave(key, owner=owner)

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """See `ForecastService.leave_all`."""
        return self.worker.queue.leave_all(owner=owner)

    def offer(self, key: str, answer: Any) -> None:
        """See `ForecastService.offer`."""
        self.worker.queue.offer(key, answer)

    @property
    def is_closed(self) -> bool:
        """See `ForecastService.is_closed`."""
        return self.worker.queue.is_closed

    def close(self) -> bool:
        """See `ForecastService.close`."""
        return self.worker.close()


class LocalService(QueuedService):
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

    @property
    def worker(self) -> Engine:
        """See `QueuedService.worker`."""
        return self.engine

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


def _loader(device: str | None) -> Load:
    def load(name: str, progress: Progress) -> Forecaster:
        return load_forecaster(name, progress, device=device)

    return load
