"""Chronos-2 in the zoo: found by name or folder, and loaded."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.errors import InvalidRequest
from kronos.forecasters import baselines
from kronos.forecasters.chronos import load_chronos, require_package
from kronos.models import hub
from kronos.models.checkpoints import weights_digest
from kronos.models.hub import Progress
from kronos.models.hub.repository import CONFIG_NAME, WEIGHTS_NAME
from kronos.models.registry import ENSEMBLE, PublishedModel, published
from kronos.system import collector_paused

if TYPE_CHECKING:
    import torch

    from kronos.forecasters.chronos.predictor import ChronosPredictor

__all__ = ["ChronosSource", "draws_tokens", "find_chronos", "load_found"]


@dataclass(frozen=True, slots=True)
class ChronosSource:
    """Where a Chronos-2 is.

    Attributes:
        model: On the hub; None for a folder.
        folder: On this disk; None for a model of the hub.
    """

    model: PublishedModel | None = None
    folder: Path | None = None


def find_chronos(name_or_path: str | os.PathLike[str]) -> ChronosSource | None:
    """The Chronos-2 of a name or folder; None for whatever else there may be."""
    if isinstance(name_or_path, str):
        model = published(name_or_path)
        if model is not None:
            return ChronosSource(model=model) if model.is_chronos else None
    folder = Path(name_or_path).expanduser()
    return ChronosSource(folder=folder) if _is_chronos(folder) else None


def draws_tokens(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether temperature, top-p and top-k have something to act on: not with Chronos-2, not with
    a baseline, and not with the ensemble, which has such members."""
    if name_or_path == ENSEMBLE:
        return False
    if isinstance(name_or_path, str) and baselines.find(name_or_path) is not None:
        return False
    return find_chronos(name_or_path) is None


def load_found(
    source: ChronosSource,
    *,
    device: str | torch.device | None,
    max_context: int | None,
    progress: Progress | None,
) -> ChronosPredictor:
    """Loads it, downloaded and verified where need be; raises as `kronos.models.load`."""
    require_package()  # told before half a gigabyte is fetched
    if source.model is not None:
        (folder,) = hub.fetch(source.model.repositories, progress=progress)
        name, revision = source.model.title, source.model.model.revision
    elif source.folder is not None:
        folder, name = source.folder, source.folder.resolve().name
        revision = weights_digest(folder)
    else:
        raise InvalidRequest("Neither a name nor a folder of Chronos-2 was given.")
    with collector_paused():
        from kronos.forecasters.kronos import best_device, usable_device

        where = best_device() if device is None else usable_device(device)
        return load_chronos(
            folder, device=str(where), name=name, revision=revision, max_context=max_context
        )


def _is_chronos(folder: Path) -> bool:
    """Whether a folder holds a checkpoint whose configuration is that of Chronos-2."""
    if not (folder / WEIGHTS_NAME).is_file():
        return False
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "chronos_config" in config
