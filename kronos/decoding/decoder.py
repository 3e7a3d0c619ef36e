"""Sampling token paths in torch operations: the base of all decoders, for any device and type.

While context and path fit into max_context, decoding is cached. Beyond it the published
behaviour holds: at every step the last max_context tokens of every path are read anew, what
the paths have in common once.

A result must not depend on the other series of a batch, and rounding depends on the shape of a
matrix product. So products run over tiles of exactly `TILE` columns, the last one padded: in a
product of fixed shape the rounding of a path depends neither on its place nor on the other paths.
Attention, whose shapes differ from series to series, runs series by series. With few paths the
weights as the left factor are twice as fast as the usual order; so hidden states lie as (D, R),
a path being a column.

Axes: N paths of one series, T context positions, H horizon, D width, R columns (the paths of
several series, filled up to whole tiles), S positions generated so far. In attention H is heads
and E the width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.decoding import MAX_ROWS, TILE
from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.sampling import RowFilters, draw
from kronos.decoding.sequence import DecoderState, Prefill, TokenContext, TokenSequence
from kronos.decoding.sliding import OwnWindows, SharedWindow
from kronos.decoding.weights import FusedBlock, FusedModel
from kronos.forecast import Progress, SamplingParameters
from kronos.nn.layers import RMSNorm
from kronos.nn.model import Kronos

_LastFilters = tuple[tuple[tuple[SamplingParameters, int], ...], RowFilters, RowFilters]

Rotary = tuple[Tensor, Tensor]
"""Cosines and signed sines of the columns' positions, for queries and for keys: each
(2, 1, E, R), or (2, 1, E, 1) where all positions are the same."""


def generate(
    decoder: Decoder,
    sequences: Sequence[TokenSequence],
    progress: Progress | None = None,
) -> None:
    """Draws all paths of these series, as many series at once as MAX_ROWS paths allow.

    Args:
        decoder: Of the model that continues the sequences.
        sequences: New ones; finished afterwards.
        progress: Called after every step with steps done and steps in all.
    """
    total = sum(seq.n_steps for seq in sequences)
    waiting = list(reversed(sequences))
    active: list[TokenSequence] = []
    while waiting or active:
        while waiting and sum(seq.n_rows for seq in active) + waiting[-1].n_rows <= MAX_ROWS:
            active.append(waiting.pop())
        decoder.step(active)
        active = [seq for seq in active if not seq.is_done]
        if progress:
            progress(sum(seq.n_steps_done for seq in sequences), total)


class Decoder:
    """Draws the paths of many series with one model, a step at a time.

    A step is `prefill` of the sequences that begin, `decode_step` of the others, and
    `sample_step` of all of them; or `sliding_step` of a sequence that outgrew the window.
    """

    gathers = False
    """Whether series cost less when they begin in the same step."""

    def __init__(self, model: Kronos) -> None:
        self.model = model
        self.weights = FusedModel(model)
        self.tile_step = TileStep(self.weights)
        self._last_filters: _LastFilters | None = None

    @torch.inference_mode()
    def step(self, sequences: Sequence[TokenSequence]) -> None:
        """Draws the next pair of every path of these unfinished sequences.

        A step that fails, for example for want of memory, can be repeated: nothing counts as
        drawn, and what it stored is overwritten.
        """
        cached = []
        for seq in sequences:
            if seq.slides:
                self.sliding_step(seq)
            else:
                cached.append(seq)
        ongoing = [seq for seq in cached if seq.n_drawn]
        for seq in cached:
            if not seq.n_drawn:
                self.prefill(seq)
        if ongoing:
            self.decode_step(ongoing)
        if cached:
            self.sample_step(cached)

    def prefill(self, seq: TokenSequence) -> None:
        """Sets the state of the rows in progress to the end of the context."""
        read = self.read_context(seq)
        hidden = read.last_hidden[:, None].expand(-1, seq.n_rows)
        seq.state = PathMemory(read.cache, seq.n_cached, hidden)

    def read_context(self, seq: TokenSequence) -> Prefill:
        """The reading of the context, which all portions of a sequence share."""
        if seq.prefill is None:
            cache = PrefixCache()
            last_hidden = self.weights.read_context(seq.context, 0, cache)
            seq.prefill = Prefill(cache, last_hidden, self._embed_bars(seq.context))
        return seq.prefill

    def _embed_bars(self, context: TokenContext) -> Tensor:
        """What the bars of the horizon add to their tokens, whichever these will be: (H, D)."""
        stamp, events = context.bars(slice(len(context), None))
        bars: Tensor = self.model.time_emb(stamp)
        if events is None:
            return bars
        # Bar by bar: the rounding of a product depends on its shape, and a path must not depend
        # on the horizon.
        return bars + torch.stack([self.model.embed_events(row) for row in events])

    def decode_step(self, seqs: Sequence[TokenSequence]) -> None:
        """Reads the pair every row drew last; leaves the hidden state it leads to."""
        step, counts = self.tile_step, [seq.n_rows for seq in seqs]
        memories = [_memory(seq) for seq in seqs]
        s1, s2 = (columns(drawn) for drawn in zip(*(seq.last_pair() for seq in seqs), strict=True))
        x = step.embed(s1, s2)
        x.add_(columns([_last_bar(seq).expand(-1, seq.n_rows) for seq in seqs]))
        last = [len(seq.context) + seq.n_drawn - 1 for seq in seqs]
        rotary = step.rotary(_repeated(last, counts, last[-1]))
        for layer, block in enumerate(self.weights.blocks):
            heads = step.heads(block, x, rotary)
            attended = torch.zeros_like(x)
            to = of_series(attended.view_as(heads[0]), counts)
            parts = zip(
                seqs, memories, *(of_series(part, counts) for part in heads), to, strict=True
            )
            for seq, memory, q, k, v, out in parts:
                memory.store(layer, k, v, seq.n_drawn - 1)
                memory.attend(layer, q, seq.n_drawn, out)
            x = step.output(block, x, attended)
        hidden = step.hidden(x)
        kv = (of_series(part, counts) for part in step.dependency_heads(hidden))
        parts = zip(seqs, memories, of_series(hidden, counts), *kv, strict=True)
        for seq, memory, own, k, v in parts:
            memory.hidden = own
            memory.store(self.weights.dependency, k, v, seq.n_drawn - 1)

    def sample_step(self, seqs: Sequence[TokenSequence]) -> None:
        """Draws s1, then s2 given s1, of every row from its hidden state."""
        step, counts = self.tile_step, [seq.n_rows for seq in seqs]
        memories = [_memory(seq) for seq in seqs]
        hidden = columns([memory.hidden for memory in memories])
        noise = columns([seq.noise[seq.rows, seq.n_drawn].t() for seq in seqs])
        s1_filters, s2_filters = self._filters(tuple((seq.sampling, seq.n_rows) for seq in seqs))

        probabilities = s1_filters.probabilities(step.s1_logits(hidden))
        s1 = draw(probabilities, noise[0])
        queries, attended = step.s2_queries(s1), torch.zeros_like(hidden)
        to = of_series(attended.view_as(queries), counts)
        for seq, memory, q, out in zip(seqs, memories, of_series(queries, counts), to, strict=True):
            memory.attend(self.weights.dependency, q, seq.n_drawn, out)
        probabilities = s2_filters.probabilities(step.s2_logits(hidden, attended))
        s2 = draw(probabilities, noise[1])
        for seq, first, second in zip(
            seqs, of_series(s1, counts), of_series(s2, counts), strict=True
        ):
            seq.append(first, second)

    def _filters(
        self, rows: tuple[tuple[SamplingParameters, int], ...]
    ) -> tuple[RowFilters, RowFilters]:
        """Filters of all columns, for s1 and for s2; those of the last call are cached."""
        if self._last_filters is None or self._last_filters[0] != rows:
            settings = _repeated([s for s, _ in rows], [n for _, n in rows], SamplingParameters())
            config, device = self.model.config, self.model.norm.weight.device
            s1, s2 = (
                RowFilters.of(settings, 1 << bits, device)
                for bits in (config.s1_bits, config.s2_bits)
            )
            # One assignment: other threads see the old ones or the new ones.
            self._last_filters = (rows, s1, s2)
            return s1, s2
        return self._last_filters[1:]

    def sliding_step(self, seq: TokenSequence) -> None:
        """Reads the last max_context tokens of every row anew, and draws the next pair."""
        config, device, j = self.model.config, seq.s1.device, seq.n_drawn
        s1_filter, s2_filter = (
            RowFilters.of([seq.sampling], 1 << bits, device)
            for bits in (config.s1_bits, config.s2_bits)
        )
        shares = seq.use_cache and j < seq.max_context
        window = SharedWindow(self.weights, seq) if shares else OwnWindows(self.model, seq)
        s1, s2, noise = seq.s1[seq.rows, :j], seq.s2[seq.rows, :j], seq.noise[seq.rows, j]
        drawn: list[tuple[Tensor, Tensor]] = []
        # Noise belongs to the path, so the chunk a path is read in does not change it.
        for paths in window.chunks(seq.n_rows):
            hidden, last = window.read(s1[paths], s2[paths])
            logits = self.model.s1_logits(last)
            next_s1 = draw(s1_filter.probabilities(logits), noise[paths, 0])
            logits = window.s2_logits(hidden, last, next_s1)
            drawn.append((next_s1, draw(s2_filter.probabilities(logits), noise[paths, 1])))
        seq.append(torch.cat([pair[0] for pair in drawn]), torch.cat([pair[1] for pair in drawn]))


class PathMemory(DecoderState):
    """Keys and values that the N paths of a series generated, beside its shared prefix.

    Attributes:
        hidden: (D, N) hidden states after the last pair drawn.
    """

    def __init__(self, prefix: PrefixCache, n_steps: int, hidden: Tensor) -> None:
        """Args:
        prefix: Of the context.
        n_steps: Most positions a path will append.
        hidden: (D, N) hidden states after the context.
        """
        self.prefix = prefix
        self.n_steps = n_steps
        self.hidden = hidden
        self._own: dict[int, tuple[Tensor, Tensor]] = {}

    def store(self, layer: int, k: Tensor, v: Tensor, step: int) -> None:
        """Stores keys and values, each (H, E, N), of one position."""
        if layer not in self._own:
            # A position after the other: what is appended and what is read lie in one piece.
            shape = (self.n_steps, *k.shape)
            self._own[layer] = (k.new_empty(shape), v.new_empty(shape))
        keys, values = self._own[layer]
        keys[step].copy_(k)
        values[step].copy_(v)

    def attend(self, layer: int, q: Tensor, n_own: int, out: Tensor) -> None:
        """Scaled queries (H, E, N) against prefix and the first `n_own` positions, into `out`."""
        k, v = self.prefix.prefix(layer)
        T = v.shape[1]
        # All paths query the same prefix: one matrix product per head.
        scores = torch.bmm(q.transpose(1, 2), k)
        if not n_own:
            weights = torch.softmax(scores.float(), -1).type_as(q)
            out.copy_(torch.bmm(weights, v).transpose(1, 2))
            return
        keys, values = (stored[:n_own] for stored in self._own[layer])
        own = (
            (keys * q.contiguous()).sum(2).permute(1, 2, 0)
        )  # strided, it takes half as long again
        weights = torch.softmax(torch.cat((scores, own), -1).float(), -1).type_as(q)
        shared = torch.bmm(weights[..., :T], v)
        # In the layout of the values: a product with strided weights takes twice as long.
        own_weights = weights[..., T:].permute(2, 0, 1).unsqueeze(2).contiguous()
        torch.add((values * own_weights).sum(0), shared.transpose(1, 2), out=out)


class TileStep:
    """The layers of a model, applied to columns."""

    def __init__(self, weights: FusedModel) -> None:
        self.weights = weights
        self.model = weights.model
        config = self.model.config
        self.head_width = config.d_model // config.n_heads
        self._tables: tuple[Tensor, Tensor] | None = None

    def embed(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Ids (R,) -> block inputs (D, R), still without what their bars add."""
        embedding = self.model.embedding
        pair = torch.cat((embedding.emb_s1(s1), embedding.emb_s2(s2)), -1).mul_(embedding.scale)
        fusion = embedding.fusion_proj
        return _product(fusion.weight, pair.t(), fusion.bias)

    def rotary(self, positions: Sequence[int]) -> Rotary:
        """Rotary tables of columns at these positions, of whole tiles."""
        longest = max(positions) + 1
        if self._tables is None or self._tables[0].shape[1] < longest:
            self._tables = self._rotary_tables(max(longest, 1024))
        cos, sin = self._tables
        if min(positions) == longest - 1:
            same = (slice(None), longest - 1, None, slice(None), None)
            return cos[same], sin[same]
        at = torch.tensor(positions, device=cos.device)
        cos, sin = (t[:, at].transpose(1, 2).unsqueeze(1).contiguous() for t in (cos, sin))
        return cos, sin

    def _rotary_tables(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines, (2, length, E): for queries and for keys."""
        cos, sin = self.model.rotation(length, self.model.norm.weight.device)
        half = self.head_width // 2
        sin = torch.cat((-sin[:, :half], sin[:, half:]), -1)
        # Queries are scaled here, once for all that attention would have to scale.
        both = torch.tensor([self.head_width**-0.5, 1.0], device=cos.device)[:, None, None]
        return cos * both, sin * both

    def heads(self, block: FusedBlock, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values of x (D, R): three (H, E, R)."""
        qkv = _product(block.qkv, _norm(block.norm1, x), block.qkv_bias)
        qkv = qkv.view(3, block.n_heads, self.head_width, -1)
        plain, (cos, sin) = qkv[:2].float(), rotary
        rotated = torch.addcmul(plain * cos, plain.roll(self.head_width // 2, 2), sin)
        q, k = rotated.type_as(qkv)
        return q, k, qkv[2]

    def output(self, block: FusedBlock, x: Tensor, attended: Tensor) -> Tensor:
        """A block's input and its attention outputs, each (D, R) -> its output (D, R)."""
        x = _product(block.out.weight, attended, block.out.bias).add_(x)
        return _feed_forward(block, _norm(block.norm2, x)).add_(x)

    def hidden(self, x: Tensor) -> Tensor:
        """Outputs of the last block (D, R) -> normalised hidden states (D, R)."""
        return _norm(self.model.norm, x)

    def dependency_heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the dependency-aware layer: (D, R) -> two (H, E, R)."""
        weights = self.weights
        kv = _product(weights.dependency_kv, hidden, weights.dependency_kv_bias)
        k, v = kv.view(2, weights.n_dependency_heads, -1, kv.shape[1])
        return k, v

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(D, R) -> (R, V)."""
        head = self.model.head.proj_s1
        return _product(head.weight, hidden, head.bias).t().contiguous()

    def s2_queries(self, s1: Tensor) -> Tensor:
        """Chosen coarse ids (R,) as scaled queries of the dependency layer: (H, E, R)."""
        q, n_heads = self.model.dep_layer.cross_attn.q_proj, self.weights.n_dependency_heads
        queries = _product(q.weight, self.model.embedding.emb_s1(s1).t(), q.bias)
        queries = queries.view(n_heads, -1, len(s1))
        return queries.mul_(queries.shape[1] ** -0.5)

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and attention outputs of the queries, each (D, R) -> (R, V)."""
        layer, head = self.model.dep_layer, self.model.head.proj_s2
        out = layer.cross_attn.out_proj
        mixed = _norm(layer.norm, _product(out.weight, attended, out.bias).add_(hidden))
        return _product(head.weight, mixed, head.bias).t().contiguous()


def columns(parts: Sequence[Tensor]) -> Tensor:
    """Columns of several series, each (..., n), side by side and filled up with 0 to whole tiles.

    Returns:
        (..., R), contiguous: the same memory layout for any number of series, the same rounding.
    """
    parts = list(parts)
    missing = -sum(part.shape[-1] for part in parts) % TILE
    if missing:
        parts.append(parts[0].new_zeros((*parts[0].shape[:-1], missing)))
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0].contiguous()


def of_series(together: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """The columns (..., n) of each series, as views: the inverse of `columns`."""
    return list(together[..., : sum(counts)].split(list(counts), -1))


def _repeated(values: Sequence[Any], counts: Sequence[int], fill: Any) -> list[Any]:
    """Each value for the columns it stands for, filled up to whole tiles."""
    columns = [v for v, n in zip(values, counts, strict=True) for _ in range(n)]
    return columns + [fill] * (-len(columns) % TILE)


def _memory(seq: TokenSequence) -> PathMemory:
    assert isinstance(seq.state, PathMemory)
    return seq.state


def _last_bar(seq: TokenSequence) -> Tensor:
    """What its bar adds (D, 1) to the pair drawn last."""
    assert seq.prefill is not None
    return seq.prefill.bars[seq.n_drawn - 1, :, None]


def _feed_forward(block: FusedBlock, x: Tensor) -> Tensor:
    """SwiGLU of columns normalised before: (D, R) -> (D, R)."""
    out = torch.empty_like(x)
    for tile, made in _tiles(x, out):
        # Exponentials in a shape that depends on no other series: where a long loop is cut into
        # parts for several threads, its ends are rounded in another way.
        gate, up = torch.mm(block.gate_up, tile).chunk(2)
        torch.mm(block.down, F.silu(gate).mul_(up), out=made)
    return out


def _product(weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """(n, K) and columns (K, R) -> (n, R), a tile at a time."""
    out = x.new_empty(len(weight), x.shape[1])
    column = None if bias is None else bias.unsqueeze(1)
    for tile, made in _tiles(x, out):
        if column is None:
            torch.mm(weight, tile, out=made)
        else:
            torch.addmm(column, weight, tile, out=made)
    return out


def _tiles(x: Tensor, out: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The tiles of columns (..., R), and where the products of each belong."""
    n_tiles = x.shape[-1] // TILE  # `split`, which takes a width, is slower
    return zip(x.chunk(n_tiles, -1), out.chunk(n_tiles, -1), strict=True)


def _norm(norm: RMSNorm, x: Tensor) -> Tensor:
    """`RMSNorm` of columns (D, R), in float32 as there."""
    wide = x.float()
    square = torch.linalg.vecdot(wide, wide, dim=0)
    scale = square.div_(len(x)).add_(norm.eps).rsqrt_()
    return (wide * scale).type_as(x).mul_(norm.weight.unsqueeze(1))
