"""The models that pages offer: every listed model, the ensemble and every baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kronos.errors import InvalidRequest
from kronos.forecasters import baselines
from kronos.models import ENSEMBLE, Entry
from pages.ui.frame.access import may_administer
from pages.ui.frame.text import size_text
from pages.ui.jobs import caches
from pages.ui.jobs.settings import ForecastSettings

_MAX_LOOKBACK = 1000
"""Most bars that a member of the ensemble reads."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model or baseline in a list.

    Attributes:
        name: Name in the engine.
        title: Name to show.
        revision: Revision of its weights, or of its method.
        remark: Description, or size and state.
        n_parameters: Learned parameters of a model; estimated ones of a baseline.
        n_bytes: Size of the weights; 0 for a baseline.
        is_baseline: Whether temperature and top-p have no effect.
        is_missing: Whether it needs a download first.
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
    models = [_of_model(entry) for entry in caches.usable_models()]
    found = [*models, *_ensemble(), *map(_of_baseline, baselines.BASELINES.values())]
    return {choice.title: choice for choice in found}


def choice_of(name: str) -> Choice:
    """The choice with this name, also of a model that is no longer listed."""
    found = {choice.name: choice for choice in choices().values()}
    return found.get(name) or Choice(name, name, "", "", 0, 0)


def title_of(request: ForecastSettings) -> str:
    """Model and, where they differ from 1, temperature and top-p."""
    sampling = request.sampling
    parts = [choice_of(request.model).title]
    parts += [f"T {sampling.T:g}"] if sampling.T != 1.0 else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p != 1.0 else []
    return ", ".join(parts)


def model_state(entry: Entry) -> str:
    """Size and state of a model in a few words."""
    size = f" ({size_text(entry.n_bytes)})" if entry.n_bytes else ""
    where = {
        "bundled": "included",
        "cached": "on this machine",
        "downloadable": f"needs a download{size}" if may_administer() else "not on this server",
        "broken": "not usable: see the Models page",
    }[entry.state]
    if not entry.n_parameters:
        return where
    reads = ", reads events" if entry.name in caches.event_readers() else ""
    return f"{entry.n_parameters / 1e6:,.1f} million parameters{reads}, {where}"


def ensemble_entry() -> Entry | None:
    """The ensemble as an entry of the list; None where its weights cannot be read."""
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
    """Members of the ensemble and the origin of their weights."""
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
    # Temperature and top-p do not apply: some members are baselines.
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
