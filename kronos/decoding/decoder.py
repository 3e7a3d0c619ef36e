"""Drawing token paths: the context of a series is read once, every path continues it.

While context and path fit into max_context, decoding is cached. Beyond it the published
behaviour is kept: at every step the last max_context tokens of every path are read anew, what
the paths have in common once.

Axes: N paths, T context positions, H horizon, R rows (paths of several series).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kronos.decoding import batch
from kronos.decoding.batch import TILE
from kronos.decoding.columns import ColumnStep, PathMemory, tiled, untiled
from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.sampling import RowFilters, draw
from kronos.decoding.sequence import Continuation
from kronos.decoding.sliding import OwnWindows, SharedWindow
from kronos.decoding.tokens import TokenContext
from kronos.decoding.weights import JoinedModel
from kronos.forecast import Progress, SamplingParameters
from kronos.nn.model import Kronos

_KeptFilters = tuple[tuple[tuple[SamplingParameters, int], ...], RowFilters, RowFilters]


class Decoder:
    """Draws the paths of many series with one model, a step at a time."""

    gathers = False
    """Whether series cost less when they begin in the same step."""

    def __init__(self, model: Kronos) -> None:
        self.model = model
        self.weights = JoinedModel(model)
        self.columns = ColumnStep(self.weights)
        self._kept_filters: _KeptFilters | None = None

    @torch.inference_mode()
    def step(self, continuations: Sequence[Continuation]) -> None:
        """Draws the next pair of every path of these unfinished series.

        A step that fails, say for want of memory, can be repeated: nothing counts as drawn, and
        memory of it is overwritten.
        """
        cached = []
        for continuation in continuations:
            if continuation.slides:
                self._reread(continuation)
            else:
                cached.append(continuation)
        ongoing = [c for c in cached if c.n_drawn]
        for continuation in cached:
            if not continuation.n_drawn:
                self._begin(continuation)
        if ongoing:
            self._advance(ongoing)
        if cached:
            self._draw(cached)

    def _begin(self, c: Continuation) -> None:
        prefix, last_hidden = self._read(c)
        c.memory = PathMemory(prefix, c.n_cached)
        c.hidden = last_hidden[:, None].expand(-1, c.n_rows)

    def _read(self, c: Continuation) -> tuple[PrefixCache, Tensor]:
        """The context's keys and values, and the hidden state (D,) it ends in.

        Read once, like what the bars to come will add.
        """
        if c.observed is None:
            prefix = PrefixCache()
            last = self.weights.read_context(c.context, 0, prefix)
            c.bar_embeddings = self._embed_bars(c.context)
            c.observed = (prefix, last)
        return c.observed

    def _embed_bars(self, context: TokenContext) -> Tensor:
        """What the bars of the horizon add to their tokens, whichever these will be: (H, D)."""
        stamp, events = context.bars(slice(len(context), None))
        bars: Tensor = self.model.time_emb(stamp)
        if events is None:
            return bars
        # Bar by bar: the rounding of a product depends on its shape, and a path must not depend
        # on the horizon.
        return bars + torch.stack([self.model.embed_events(row) for row in events])

    def _advance(self, cs: Sequence[Continuation]) -> None:
        """Reads the pair every row drew last; leaves the hidden state it leads to."""
        step, counts = self.columns, [c.n_rows for c in cs]
        pairs = [c.last_pair() for c in cs]
        memories = [c.memory for c in cs if c.memory is not None]
        bars = tiled([c.last_bar_embedding().expand(-1, c.n_rows) for c in cs])
        s1, s2 = (tiled([pair[i] for pair in pairs]) for i in range(2))
        x = step.embed(s1, s2).add_(bars)
        last = [len(c.context) + c.n_drawn - 1 for c in cs]
        turn = step.turns(_repeated(last, counts, last[-1]))
        for layer, block in enumerate(self.weights.blocks):
            parts = (untiled(part, counts) for part in step.heads(block, x, turn))
            attended = []
            for c, memory, q, k, v in zip(cs, memories, *parts, strict=True):
                memory.keep(layer, k, v, c.n_drawn - 1)
                attended.append(memory.attend(layer, q, c.n_drawn).flatten(0, 1))
            x = step.output(block, x, tiled(attended))
        hidden = step.hidden(x)
        kept = (untiled(part, counts) for part in step.dependency_heads(hidden))
        for c, memory, h, k, v in zip(cs, memories, untiled(hidden, counts), *kept, strict=True):
            c.hidden = h
            memory.keep(self.weights.dependency, k, v, c.n_drawn - 1)

    def _draw(self, cs: Sequence[Continuation]) -> None:
        step, counts = self.columns, [c.n_rows for c in cs]
        hidden = tiled([c.hidden for c in cs if c.hidden is not None])
        noise = tiled([c.noise[c.rows, c.n_drawn].t() for c in cs])
        s1_filters, s2_filters = self._filters(tuple((c.sampling, c.n_rows) for c in cs))

        probabilities = s1_filters.probabilities(step.s1_logits(hidden))
        s1 = draw(probabilities, noise[:, 0].flatten()).view(-1, TILE)
        attended = [
            c.memory.attend(self.weights.dependency, q, c.n_drawn).flatten(0, 1)
            for c, q in zip(cs, untiled(step.s2_queries(s1), counts), strict=True)
            if c.memory is not None
        ]
        probabilities = s2_filters.probabilities(step.s2_logits(hidden, tiled(attended)))
        s2 = draw(probabilities, noise[:, 1].flatten()).view(-1, TILE)
        for c, first, second in zip(cs, untiled(s1, counts), untiled(s2, counts), strict=True):
            c.record(first, second)

    def _filters(
        self, rows: tuple[tuple[SamplingParameters, int], ...]
    ) -> tuple[RowFilters, RowFilters]:
        """Filters of all columns, for s1 and for s2; those of the last call are kept."""
        if self._kept_filters is None or self._kept_filters[0] != rows:
            settings = _repeated([s for s, _ in rows], [n for _, n in rows], SamplingParameters())
            config, device = self.model.config, self.model.norm.weight.device
            s1, s2 = (
                RowFilters.of(settings, 1 << bits, device)
                for bits in (config.s1_bits, config.s2_bits)
            )
            # One assignment: other threads see the old ones or the new ones.
            self._kept_filters = (rows, s1, s2)
            return s1, s2
        return self._kept_filters[1:]

    def _reread(self, c: Continuation) -> None:
        """Reads the last max_context tokens of every row anew, and draws the next pair."""
        config, device, j = self.model.config, c.s1.device, c.n_drawn
        s1_filter, s2_filter = (
            RowFilters.of([c.sampling], 1 << bits, device)
            for bits in (config.s1_bits, config.s2_bits)
        )
        shares = c.use_cache and j < c.max_context
        window = SharedWindow(self.weights, c) if shares else OwnWindows(self.model, c)
        s1, s2, noise = c.s1[c.rows, :j], c.s2[c.rows, :j], c.noise[c.rows, j]
        drawn: list[tuple[Tensor, Tensor]] = []
        # Noise belongs to the path, so the chunk a path is read in does not change it.
        for paths in window.chunks(c.n_rows):
            hidden, last = window.read(s1[paths], s2[paths])
            logits = self.model.s1_logits(last)
            next_s1 = draw(s1_filter.probabilities(logits), noise[paths, 0])
            logits = window.s2_logits(hidden, last, next_s1)
            drawn.append((next_s1, draw(s2_filter.probabilities(logits), noise[paths, 1])))
        c.record(torch.cat([pair[0] for pair in drawn]), torch.cat([pair[1] for pair in drawn]))


def _repeated(values: Sequence[Any], counts: Sequence[int], fill: Any) -> list[Any]:
    """Each value for the columns it stands for, filled up to whole tiles."""
    columns = [v for v, n in zip(values, counts, strict=True) for _ in range(n)]
    return columns + [fill] * (-len(columns) % TILE)


def generate(
    decoder: Decoder,
    continuations: Sequence[Continuation],
    progress: Progress | None = None,
) -> None:
    """Draws all paths of these series, as many series at once as MAX_ROWS paths allow.

    Args:
        decoder: Of the model that wrote the contexts' tokens' future.
        continuations: Fresh ones; finished afterwards.
        progress: Called after every step with steps done and steps in all.
    """
    total = sum(c.n_steps for c in continuations)
    waiting = list(reversed(continuations))
    active: list[Continuation] = []
    while waiting or active:
        while waiting and sum(c.n_rows for c in active) + waiting[-1].n_rows <= batch.MAX_ROWS:
            active.append(waiting.pop())
        decoder.step(active)
        active = [c for c in active if not c.is_done]
        if progress:
            progress(sum(c.n_steps_done for c in continuations), total)
