"""The paths of one series while they are drawn.

Axes: N paths, T context positions, H horizon, R rows (paths in progress), D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kronos.decoding import batch
from kronos.decoding.batch import TILE
from kronos.decoding.columns import PathMemory
from kronos.decoding.drawing import Drawing
from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.tokens import TokenContext
from kronos.forecast import SamplingParameters, path_uniforms

__all__ = ["Continuation", "Drawing"]

if TYPE_CHECKING:
    from kronos.decoding.cuda import StaticBatch
    from kronos.decoding.tile_memory import Tile


class Continuation:
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
        context: What has been observed; at most max_context tokens.
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
        device = context.s1.device
        self.s1 = torch.zeros(N, H, dtype=torch.long, device=device)
        self.s2 = torch.zeros(N, H, dtype=torch.long, device=device)
        self.noise = torch.from_numpy(path_uniforms(sampling.seed, N, H))
        if device.type == "cuda":
            self.noise = self.noise.to(device)
        self.portion = batch.MAX_ROWS
        self.rows = slice(0, min(N, self.portion))
        self.n_drawn = 0
        self.observed: tuple[PrefixCache, Tensor] | None = None
        self.bar_embeddings: Tensor | None = None
        """(H, D) what the bars of the horizon add to their tokens: calendar, and events if any."""
        self.memory: PathMemory | None = None
        self.tiles: list[Tile] = []
        """Of the rows in progress, where a decoder keeps them so."""
        self.hidden: Tensor | None = None
        """(D, R) of the rows in progress after the last pair drawn."""
        self.batch: StaticBatch | None = None
        self.first_row = 0
        """Where the rows in progress lie in the batch."""

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

    def record(self, s1: Tensor, s2: Tensor) -> None:
        """Keeps a drawn pair of every row, each (R,)."""
        self.s1[self.rows, self.n_drawn] = s1
        self.s2[self.rows, self.n_drawn] = s2
        self.count_step()

    def count_step(self) -> None:
        """Counts a step whose pairs are kept; begins the next portion after the last."""
        self.n_drawn += 1
        if self.n_drawn == self.context.horizon:
            self._begin_portion(self.rows.stop)

    def shrink(self) -> bool:
        """Draws the portion in progress anew with half of its rows; False if they are too few.

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
        self.hidden = self.memory = self.batch = None
        self.tiles = []
        if self.is_done:
            self.observed = None

    def last_bar_embedding(self) -> Tensor:
        """What its bar adds (D, 1) to the pair drawn last."""
        assert self.bar_embeddings is not None
        return self.bar_embeddings[self.n_drawn - 1, :, None]

    def last_pair(self) -> tuple[Tensor, Tensor]:
        """The pair every row drew last, each (R,)."""
        return self.s1[self.rows, self.n_drawn - 1], self.s2[self.rows, self.n_drawn - 1]
