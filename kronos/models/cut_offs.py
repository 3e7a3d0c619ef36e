"""Up to when the bars reach that a model learned from: scores are honest from that day on."""

from __future__ import annotations

from datetime import date

from kronos.errors import CheckpointError, CheckpointUnavailable
from kronos.forecasters.baselines import find
from kronos.models.adapters import adapter_path, read_facts
from kronos.models.checkpoints import Card, bundled_folder, weights_digest
from kronos.models.registry import BUNDLED, published

__all__ = ["PRETRAINED_UNTIL", "cut_off"]

PRETRAINED_UNTIL = date(2024, 7, 1)
"""Day before which the bars lie that the published models were trained on (arXiv 2508.02739)."""

CHRONOS_RELEASED = date(2025, 10, 31)
"""Chronos-2 learned from bars before it was published; where they end is not said anywhere."""


def cut_off(model: str, version: str) -> date | None:
    """The first day of which a model cannot have learned anything.

    An adapter's is that from which its scores are honest: bars before it chose among its steps.

    Args:
        model: Name of a forecast's model.
        version: Revision of its weights; those here may be others by now.

    Returns:
        The day, `date.min` for a baseline, which learns from the bars before its origin alone;
        None where it is not known.
    """
    if find(model) is not None:
        return date.min
    try:
        if model == BUNDLED:
            return _of_bundled(version)
        known = published(model)
        if known is not None and known.is_chronos:
            return CHRONOS_RELEASED if known.model.revision == version else None
        if known is not None:
            return PRETRAINED_UNTIL if known.model.revision == version else None
        path = adapter_path(model)
        if path is None:
            return None
        facts = read_facts(path)
    except (CheckpointError, CheckpointUnavailable):
        return None
    if facts.tensors_sha256[:16] != version:
        return None
    return date.fromisoformat(facts.seen_until[:10])


def _of_bundled(version: str) -> date | None:
    folder = bundled_folder()
    card = Card.read(folder) or Card()
    if not card.cut_off or weights_digest(folder / "model", folder / "tokenizer") != version:
        return None
    return date.fromisoformat(card.cut_off)
