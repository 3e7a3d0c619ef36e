"""Facts of a model from its files alone: nothing is loaded or downloaded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from kronos.errors import CheckpointError, CheckpointInvalid, InvalidRequest
from kronos.forecasters import baselines
from kronos.models.adapters import adapter_path, read_facts
from kronos.models.checkpoints import (
    EDITIONS,
    Card,
    bundled_folder,
    check_chronos,
    check_pair,
    edition_folder,
    pair_of,
    weights_digest,
)
from kronos.models.inventory import Entry, adapter_entry, available
from kronos.models.registry import BUNDLED, Reference, kind_of, resolve
from kronos.nn.config import EventAlignment, ModelConfig, read_config
from kronos.request import ModelFacts

__all__ = ["model_facts", "reads_events"]


def model_facts(name_or_path: str | os.PathLike[str]) -> ModelFacts:
    """What a request needs to know of a model or baseline; downloads nothing.

    Args:
        name_or_path: As for `kronos.models.load`, or the name of a baseline.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointError: Its files are missing or cannot be used.
    """
    found = resolve(name_or_path)
    if found.kind == "baseline":
        return baselines.baseline_facts(baselines.BASELINES[found.name])
    if found.kind == "chronos":
        return _chronos_facts(found)
    if found.kind == "ensemble":
        raise InvalidRequest("The ensemble has members; ask for the facts of each.")
    entries = {each.name: each for each in available()}
    if found.kind == "adapter" and found.path is not None:
        path = found.path
        facts = _kronos_facts(found.name, path.stem, adapter_entry(path.stem, path, entries))
        return _with_events(facts, _event_alignment(path, read_facts(path).base))
    if found.kind == "folder" and found.path is not None:
        return _folder_facts(found.name, found.path)
    name = BUNDLED if found.model is None else found.model.title
    return _kronos_facts(found.name, name, entries[found.name])


def reads_events(entry: Entry) -> bool:
    """Whether a model of the list reads event rows.

    An adapter may have learned to read them itself, or be one of a base that does. Chronos-2 takes
    them as covariates. The published models of Kronos read none. A broken one reads none, and the
    list of models says what is wrong with it.
    """
    return kind_of(entry.name) == "chronos" or _alignment(entry) is not None


def _alignment(entry: Entry) -> EventAlignment | None:
    try:
        path = adapter_path(entry.name) if entry.base else None
        return _event_alignment(path, entry.base or entry.name)
    except (CheckpointError, OSError, ValueError):
        return None


def _kronos_facts(model: str, name: str, entry: Entry) -> ModelFacts:
    if entry.state == "broken":
        raise CheckpointInvalid(entry.problem)
    facts = ModelFacts(
        model=model,
        name=name,
        revision=entry.revision,
        least=2,
        most=entry.max_context,
        advised=entry.lookback,
        shares_window=True,
    )
    return _with_events(facts, _alignment(entry))


def _folder_facts(model: str, folder: Path) -> ModelFacts:
    model_folder, tokenizer = pair_of(folder, None)
    check_pair(model_folder, tokenizer)
    card = Card.read(folder) or Card()
    facts = ModelFacts(
        model=model,
        name=folder.resolve().name,
        revision=weights_digest(model_folder, tokenizer),
        least=2,
        most=card.max_context,
        advised=card.lookback,
        shares_window=True,
    )
    return _with_events(facts, _alignment_of(model_folder))


def _chronos_facts(found: Reference) -> ModelFacts:
    from kronos.forecasters.chronos import chronos_facts

    if (model := found.model) is not None:
        return chronos_facts(model.name, model.title, model.model.revision, model.max_context)
    folder = Path(found.name).expanduser()
    longest = check_chronos(folder)
    return chronos_facts(found.name, folder.resolve().name, weights_digest(folder), longest)


def _event_alignment(adapter: Path | None, base: str) -> EventAlignment | None:
    """The alignment of the event rows that a model reads; None for one that reads none."""
    if adapter is not None and (facts := read_facts(adapter)).has_events:
        return facts.event_alignment
    if base == BUNDLED:
        return _alignment_of(bundled_folder() / "model")
    folder = edition_folder(base) if base in EDITIONS else Path(base)
    return _alignment_of(pair_of(folder, None)[0]) if folder.is_absolute() else None


def _alignment_of(model: Path) -> EventAlignment | None:
    config = ModelConfig.from_dict(read_config(model))
    return config.event_alignment if config.n_event_channels else None


def _with_events(facts: ModelFacts, alignment: EventAlignment | None) -> ModelFacts:
    """The facts of a model that reads event rows of an alignment, or none."""
    if alignment is None:
        return replace(facts, reads_events=False)
    return replace(facts, reads_events=True, event_alignment=alignment)
