"""The tokens of one series, and its paths while they are drawn.

Axes: N paths, T context positions, H horizon, S positions drawn so far, R rows (paths in
progress), D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kronos.decoding import MAX_ROWS, TILE
from kronos.decoding.prefix_cache import PrefixCache
from kronos.forecast import SamplingParameters, path_uniforms

CHUNK_TOKENS = 1 << 15
"""Most tokens read at once when every path needs a window of its own."""


@dataclass(frozen=True, slots=True)
class TokenContext:
    """Tokens of one series, its calendar, and its events where given.

    Attributes:
        s1: (T,) coarse ids.
        s2: (T,) fine ids.
        stamp: (T, 5) calendar fields of the context.
        future_stamp: (H, 5) calendar fields of the horizon.
        events: (T + H, 20) event channels of context and horizon; None without events.
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


@dataclass(frozen=True, slots=True)
class Prefill:
    """What one reading of the context leaves for all paths."""

    cache: PrefixCache
    last_hidden: Tensor  # (D,) hidden state of the last bar
    bars: Tensor  # (H, D) calendar and event embeddings of the horizon


class DecoderState:
    """Base of what a decoder stores for the rows in progress; no other decoder reads it."""


class TokenSequence:
    """The paths of one series while they are drawn.

    More than `MAX_ROWS` paths are drawn one portion after another, all from one reading of the
    context.
    """

    def __init__(
        self,
        context: TokenContext,
        sampling: SamplingParameters,
        *,
        max_context: int,
        use_cache: bool = True,
    ) -> None:
        """Args:
        context: The observed tokens; at most max_context.
        sampling: How futures are drawn.
        max_context: Most tokens the model reads at once.
        use_cache: False reads the whole window of every path at every step, for checking.
        """
        self.context = context
        self.sampling = sampling
        self.max_context = max_context
        self.use_cache = use_cache
        N, H = sampling.sample_count, context.horizon
        self.n_cached = min(H, max_context - len(context) + 1) if use_cache else 0
        """Steps before the window slides."""
        device = context.s1.device
        self.s1 = torch.zeros(N, H, dtype=torch.long, device=device)
        self.s2 = torch.zeros(N, H, dtype=torch.long, device=device)
        self.noise = torch.tensor(path_uniforms(sampling.seed, N, H))
        """(N, H, 2) uniforms, for s1 and for s2."""
        if device.type == "cuda":
            self.noise = self.noise.to(device)
        self.portion = MAX_ROWS
        self.rows = slice(0, min(N, self.portion))
        self.n_drawn = 0
        self.prefill: Prefill | None = None
        self.state: DecoderState | None = None

    @property
    def n_rows(self) -> int:
        """Paths in progress."""
        return self.rows.stop - self.rows.start

    @property
    def slides(self) -> bool:
        """Whether the next step has to read a window anew."""
        return self.n_drawn >= self.n_cached

    @property
    def is_done(self) -> bool:
        return self.rows.start >= self.sampling.sample_count

    @property
    def n_steps(self) -> int:
        """Steps of all portions together."""
        return self.context.horizon * -(-self.sampling.sample_count // self.portion)

    @property
    def n_steps_done(self) -> int:
        if self.is_done:
            return self.n_steps
        return self.context.horizon * -(-self.rows.start // self.portion) + self.n_drawn

    def append(self, s1: Tensor, s2: Tensor) -> None:
        """Stores the drawn pair of every row, each (R,), and counts the step."""
        self.s1[self.rows, self.n_drawn] = s1
        self.s2[self.rows, self.n_drawn] = s2
        self.count_step()

    def count_step(self) -> None:
        """Counts a step whose pairs are stored; begins the next portion after the last."""
        self.n_drawn += 1
        if self.n_drawn == self.context.horizon:
            self._begin_portion(self.rows.stop)

    def shrink(self) -> bool:
        """Restarts the portion in progress with half of its rows; False if they are too few.

        For a machine whose memory does not suffice. Noise belongs to the path, so the paths
        stay the same.
        """
        if self.n_rows <= TILE:
            return False
        # Half of the rows, in whole tiles; portions done so far stay counted as they were.
        self.portion = -(-self.n_rows // (2 * TILE)) * TILE
        self._begin_portion(self.rows.start)
        return True

    def _begin_portion(self, start: int) -> None:
        self.rows = slice(start, min(start + self.portion, self.sampling.sample_count))
        self.n_drawn = 0
        self.state = None
        if self.is_done:
            self.prefill = None

    def last_pair(self) -> tuple[Tensor, Tensor]:
        """The pair every row drew last, each (R,)."""
        return self.s1[self.rows, self.n_drawn - 1], self.s2[self.rows, self.n_drawn - 1]
