"""Which models read events, told from their files alone. Pure: no page in here."""

from __future__ import annotations

import json
from pathlib import Path

from kronos import models
from kronos.errors import CheckpointError
from kronos.forecasters.chronos.package import has_package
from kronos.models.adapters import adapter_path, read_facts
from kronos.models.checkpoints import bundled_folder, pair_of


def reads_events(entry: models.Entry) -> bool:
    """Whether a model can be told of events; loads nothing.

    An adapter may have learned to read them itself, or be one of a base that does. Chronos-2 takes
    them as covariates. The published models of Kronos read none.
    """
    if entry.name in models.CHRONOS:
        return True
    try:
        path = adapter_path(entry.name) if entry.base else None
        if path is not None and read_facts(path).has_events:
            return True
        base = entry.base or entry.name
        if base == models.BUNDLED:
            return _has_channels(bundled_folder() / "model")
        return Path(base).is_absolute() and _has_channels(pair_of(Path(base), None)[0])
    except (CheckpointError, OSError, ValueError):
        return False  # broken, which the list of models says


def reads_at_once(model: str) -> bool:
    """Whether a model reads the events of all bars before it forecasts any, as Chronos-2 does."""
    return model in models.CHRONOS


def is_at_hand(entry: models.Entry) -> bool:
    """Whether a model can forecast on this machine as it is."""
    if entry.name in models.CHRONOS and not has_package():
        return False
    return entry.is_here


def _has_channels(model: Path) -> bool:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("n_event_channels"))
