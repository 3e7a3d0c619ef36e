"""What a model makes of a request before anything is drawn. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.decoding.sequence import TokenSequence


@dataclass(frozen=True, slots=True)
class Drawing:
    """Series whose paths are to be drawn, and what to make of them.

    Attributes:
        series: Fresh ones; none where there is nothing to draw step by step.
        finish: Called once all are done; returns the answer.
    """

    series: list[TokenSequence]
    finish: Callable[[], Any]
