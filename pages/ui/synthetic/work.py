"""Synthetic series in the background: from the engine, with their comparison to the source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from kronos import models
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from kronos.serving.jobs import JobControl, JobStatus, Priority
from kronos.serving.service import service
from kronos.synthetic.generate import SyntheticPlan, series_request, synthetic_series
from kronos.synthetic.realism import Realism, realism
from pages.ui.jobs.registry import Run, RunRegistry
from pages.ui.jobs.services import Service

GENERATING = "Generating bars"


@dataclass(frozen=True, slots=True)
class SyntheticRequest:
    """The request of one run.

    Attributes:
        data_id: Digest of the context.
        plan: Model, length, number and seed of the series.
        revision: Revision of the model's weights.
    """

    data_id: str
    plan: SyntheticPlan
    revision: str

    @property
    def key(self) -> str:
        """SHA-256 of the request."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of a run.

    Attributes:
        source: The context.
        series: The synthetic series.
        forecast: The forecast that the series are the paths of.
        plan: Model, length, number and seed of the series.
        report: The realism test; None for too few bars.
    """

    source: Candles
    series: list[Candles]
    forecast: Forecast
    plan: SyntheticPlan
    report: Realism | None


SyntheticRun = Run[SyntheticRequest, Outcome]


def synthetic_work(
    source: Candles, request: SyntheticRequest, *, downloads_model: bool
) -> Callable[[JobControl, SyntheticRun], None]:
    """The work of a run.

    Args:
        source: The context.
        request: The request.
        downloads_model: Whether the model has to be downloaded first.
    """

    def work(control: JobControl, run: SyntheticRun) -> None:
        plan = request.plan
        if downloads_model:
            control.stage("Downloading the model")
            models.download(plan.model, progress=control.progress)
        control.stage(GENERATING)

        def watch(status: JobStatus) -> None:
            control.progress(status.done, status.total)

        local = service()
        made = series_request(source, plan, local.facts(plan.model))
        forecast = local.run(made, priority=Priority.BATCH, watch=watch)
        series = synthetic_series(source, forecast)
        control.stage("Comparing with the source")
        run.outcome = Outcome(source, series, forecast, plan, _report(source, series, plan.seed))

    return work


def _report(source: Candles, series: list[Candles], seed: int) -> Realism | None:
    try:
        return realism(source, series, seed=seed)
    except InvalidRequest:  # too few bars
        return None


@Service
def synthetics() -> RunRegistry[SyntheticRun]:
    """The runs of all sessions."""
    return RunRegistry("synthetics")
