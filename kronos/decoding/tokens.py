"""What generation reads: the tokens of one series, its calendar, and its events where given.

Axes: N paths, T context positions, H horizon, S positions drawn so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_TOKENS = 1 << 15
"""Most tokens read at once when every path needs a window of its own."""


@dataclass(frozen=True, slots=True)
class TokenContext:
    """Tokens of one series.

    Attributes:
        s1: (T,) coarse ids.
        s2: (T,) fine ids.
        stamp: (T, 5) calendar fields of the context.
        future_stamp: (H, 5) calendar fields of the horizon.
        events: (T + H, 20) event channels of context and horizon; None where nothing is told.
    """

    s1: Tensor
    s2: Tensor
    stamp: Tensor
    future_stamp: Tensor
    events: Tensor | None = None

    def __len__(self) -> int:
        return len(self.s1)

    @property
    def horizon(self) -> int:
        return len(self.future_stamp)

    def bars(self, which: slice) -> tuple[Tensor, Tensor | None]:
        """Of some of the T + H bars: calendar fields (n, 5), and event channels (n, 20) or None."""
        stamp = torch.cat((self.stamp, self.future_stamp))
        return stamp[which], None if self.events is None else self.events[which]


def path_chunks(n_paths: int, window: int) -> list[slice]:
    """Slices of paths whose windows together hold at most `CHUNK_TOKENS` tokens."""
    size = max(1, CHUNK_TOKENS // window)
    return [slice(start, min(start + size, n_paths)) for start in range(0, n_paths, size)]


def continued(context: Tensor, drawn: Tensor) -> Tensor:
    """Context ids (T,) before the ids of each path (N, S): (N, T + S)."""
    return torch.cat((context.expand(len(drawn), -1), drawn), dim=-1)
