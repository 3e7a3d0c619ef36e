"""Which models read events, told from their files alone. Pure: no page in here."""

from __future__ import annotations

from kronos import models
from kronos.models.chronos import has_package


def reads_at_once(model: str) -> bool:
    """Whether a model reads the events of all bars before it forecasts any, as Chronos-2 does."""
    return model in models.CHRONOS


def is_at_hand(entry: models.Entry) -> bool:
    """Whether a model can forecast on this machine as it is."""
    if entry.name in models.CHRONOS and not has_package():
        return False
    return entry.is_here
