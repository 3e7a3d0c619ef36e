"""Chronos-2 in the zoo: found by name or folder, and loaded."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.errors import CheckpointUnavailable, InvalidRequest
from kronos.forecasters import baselines
from kronos.models import hub
from kronos.models.checkpoints import weights_digest
from kronos.models.hub import Progress
from kronos.models.hub.repository import CONFIG_NAME, WEIGHTS_NAME
from kronos.models.registry import ENSEMBLE, PublishedModel, published
from kronos.system import collector_paused

if TYPE_CHECKING:
    import torch

    from kronos.forecasters.chronos import ChronosForecaster

__all__ = [
    "ChronosSource",
    "draws_tokens",
    "find_chronos",
    "has_package",
    "load_found",
    "require_package",
]


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


def has_package() -> bool:
    """Whether chronos-forecasting is installed; imports nothing."""
    return find_spec("chronos") is not None


def require_package() -> None:
    """Refuse before anything is downloaded.

    Raises:
        CheckpointUnavailable: chronos-forecasting is not installed.
    """
    if not has_package():
        raise CheckpointUnavailable(
            "Chronos-2 computes with the package chronos-forecasting, which is not installed. "
            "Install it beside this program (pip install 'kronos-fan[chronos]', or "
            "pip install chronos-forecasting), then start it again."
        )


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
) -> ChronosForecaster:
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
        from kronos.forecasters.chronos import ChronosForecaster
        from kronos.forecasters.kronos import best_device, usable_device

        where = best_device() if device is None else usable_device(device)
        return ChronosForecaster.from_folder(
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
