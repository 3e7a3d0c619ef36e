"""Where the training bars of a model end: its scores are honest from that day on."""

from __future__ import annotations

from datetime import date

from kronos.errors import CheckpointError, InvalidRequest
from kronos.models.adapters import read_facts
from kronos.models.checkpoints import (
    EDITIONS,
    Card,
    bundled_folder,
    edition_folder,
    weights_digest,
)
from kronos.models.registry import resolve

__all__ = ["PRETRAINED_UNTIL", "cut_off"]

PRETRAINED_UNTIL = date(2024, 7, 1)
"""Day before which the training bars of the published Kronos models lie (arXiv 2508.02739)."""

CHRONOS_RELEASED = date(2025, 10, 31)
"""Day that Chronos-2 was published; where its training bars end is not documented."""


def cut_off(model: str, version: str) -> date | None:
    """The first day that a model cannot have learned from.

    Bars before an adapter's day chose among its steps.

    Args:
        model: Name of a forecast's model.
        version: Revision of the weights that made the forecast.

    Returns:
        The day, `date.min` for a baseline, which learns from the bars before its origin alone;
        None where it is not known.
    """
    try:
        found = resolve(model)
        if found.kind == "baseline":
            return date.min
        if found.kind == "bundled":
            return _of_bundled(version)
        if found.model is not None:
            day = CHRONOS_RELEASED if found.model.is_chronos else PRETRAINED_UNTIL
            return day if found.model.model.revision == version else None
        if found.kind != "adapter" or found.path is None:
            return None
        facts = read_facts(found.path)
    except (CheckpointError, InvalidRequest):
        return None
    if facts.tensors_sha256[:16] != version:
        return None
    return date.fromisoformat(facts.seen_until[:10])


def _of_bundled(version: str) -> date | None:
    for folder in (bundled_folder(), *map(edition_folder, EDITIONS)):
        if weights_digest(folder / "model", folder / "tokenizer") == version:
            card = Card.read(folder) or Card()
            return date.fromisoformat(card.cut_off) if card.cut_off else None
    return None
