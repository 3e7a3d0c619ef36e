"""What a run will take, told before it starts and without torch."""

from __future__ import annotations

import math
from typing import Any

from kronos.nn.config import N_EVENT_CHANNELS

__all__ = ["ADAPTER_RANK", "default_steps", "n_adapter_parameters"]

ADAPTER_RANK = 8
"""Rank of an adapter where nobody says another."""
_ROUNDS = 15
_FEWEST_STEPS, _MOST_STEPS = 20, 5000


def default_steps(n_bars: int, *, horizon: int, windows: int) -> int:
    """Steps in which every bar is forecast about 15 times.

    Args:
        n_bars: Bars that teach.
        horizon: Bars forecast in a window.
        windows: Windows in a step.
    """
    steps = math.ceil(_ROUNDS * n_bars / (horizon * windows))
    return min(max(steps, _FEWEST_STEPS), _MOST_STEPS)


def n_adapter_parameters(config: dict[str, Any], *, events: bool, rank: int = ADAPTER_RANK) -> int:
    """Numbers that training an adapter changes.

    Args:
        config: Contents of the base model's `config.json`.
        events: Whether the event embedding is learned.
        rank: Rank of the adapter.
    """
    width, n_layers = int(config["d_model"]), int(config["n_layers"])
    # Query and value projection of every block, two small matrices each.
    n_added = 2 * n_layers * 2 * rank * width
    return n_added + ((N_EVENT_CHANNELS + 1) * width if events else 0)
