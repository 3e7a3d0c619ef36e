"""What can be compared: every listed model, the ensemble, and every baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kronos.errors import InvalidRequest
from kronos.forecasters import baselines
from kronos.models import ENSEMBLE, Entry
from pages.ui.jobs import caches
from pages.ui.jobs.settings import ForecastSettings

_MAX_LOOKBACK = 1000
"""Most bars that a member of the ensemble reads."""


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
    models = [_of_model(entry) for entry in caches.models()]
    found = [*models, *_ensemble(), *map(_of_baseline, baselines.BASELINES.values())]
    return {choice.title: choice for choice in found}


def choice_of(name: str) -> Choice:
    """The choice of a name the engine knows, also of one that is no longer listed."""
    found = {choice.name: choice for choice in choices().values()}
    return found.get(name) or Choice(name, name, "", "", 0, 0)


def title_of(request: ForecastSettings) -> str:
    """Model of a request and, where they are not the model's own, temperature and top-p."""
    sampling = request.sampling
    parts = [choice_of(request.model).title]
    parts += [f"T {sampling.T:g}"] if sampling.T != 1.0 else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p != 1.0 else []
    return ", ".join(parts)


def model_state(entry: Entry) -> str:
    """Size of a model and whether it is here, in a few words."""
    size = f"{entry.n_bytes / 1e6:,.0f} MB"
    where = {
        "bundled": "ships with the app",
        "cached": "cached on this machine",
        "downloadable": f"will be downloaded: {size}" if entry.n_bytes else "will be downloaded",
        "broken": "cannot be used as it is",
    }[entry.state]
    if not entry.n_parameters:
        return where
    reads = ", reads events" if entry.name in caches.event_readers() else ""
    return f"{entry.n_parameters / 1e6:,.1f} million parameters{reads}, {where}"


def ensemble_entry() -> Entry | None:
    """The ensemble as a list of models shows it; None where its weights cannot be read."""
    try:
        weights = caches.ensemble()
    except InvalidRequest:
        return None
    members = {entry.name: entry for entry in caches.models() if entry.name in weights.members}
    states = {entry.state for entry in members.values()}
    return Entry(
        name=ENSEMBLE,
        title="Ensemble",
        state="broken" if states & {"broken", "downloadable"} else "cached",
        n_bytes=sum(entry.n_bytes for entry in members.values()),
        n_parameters=sum(entry.n_parameters for entry in members.values()),
        max_context=_MAX_LOOKBACK,
        lookback=None,
        licence="",
        revision=weights.revision,
    )


def ensemble_remark() -> str:
    """Members of the ensemble and where their weights come from."""
    weights = caches.ensemble()
    return f"Averages {', '.join(weights.members)}. Weights: {weights.reason}"


def _of_model(entry: Entry) -> Choice:
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
