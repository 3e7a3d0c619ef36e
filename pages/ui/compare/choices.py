"""What can be compared: every model the zoo lists, the ensemble, and every baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kronos import models as zoo
from kronos.forecasters import baselines
from pages.ui.fan.ensemble import ensemble_entry, ensemble_remark
from pages.ui.inputs.controls import model_state
from pages.ui.inputs.request import ForecastRequest
from pages.ui.jobs import services


@dataclass(frozen=True, slots=True)
class Choice:
    """A model or baseline as the page shows it.

    Attributes:
        name: What the engine knows it by.
        title: Name to show.
        revision: Revision of its weights, or of its method.
        remark: What it is, or its size and whether it is here.
        n_parameters: Numbers that were learned, or that are estimated from the bars.
        n_bytes: Size of the weights; 0 for a baseline.
        is_baseline: Whether temperature and top-p have nothing to act on.
        is_missing: Whether it would have to be downloaded first.
    """

    name: str
    title: str
    revision: str
    remark: str
    n_parameters: int
    n_bytes: int
    is_baseline: bool = False
    is_missing: bool = False


def choices() -> dict[str, Choice]:
    """Title -> choice, models first."""
    models = [_of_model(entry) for entry in services.models()]
    found = [*models, *_ensemble(), *map(_of_baseline, baselines.BASELINES.values())]
    return {choice.title: choice for choice in found}


def choice_of(name: str) -> Choice:
    """The choice of a name the engine knows, also of one that is no longer listed."""
    found = {choice.name: choice for choice in choices().values()}
    return found.get(name) or Choice(name, name, "", "", 0, 0)


def title_of(request: ForecastRequest) -> str:
    """Model of a request and, where they are not the model's own, temperature and top-p."""
    sampling = request.sampling
    parts = [choice_of(request.model).title]
    parts += [f"T {sampling.T:g}"] if sampling.T != 1.0 else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p != 1.0 else []
    return ", ".join(parts)


def _of_model(entry: zoo.Entry) -> Choice:
    return Choice(
        name=entry.name,
        title=entry.title,
        revision=entry.revision,
        remark=model_state(entry),
        n_parameters=entry.n_parameters,
        n_bytes=entry.n_bytes,
        is_missing=entry.state == "downloadable",
    )


def _ensemble() -> list[Choice]:
    entry = ensemble_entry()
    if entry is None:
        return []
    # Its members cannot be narrowed: baselines are among them.
    return [replace(_of_model(entry), remark=ensemble_remark(), is_baseline=True)]


def _of_baseline(entry: baselines.Description) -> Choice:
    return Choice(
        name=entry.name,
        title=entry.title,
        revision=baselines.revision(),
        remark=entry.summary,
        n_parameters=entry.n_estimated,
        n_bytes=0,
        is_baseline=True,
    )
