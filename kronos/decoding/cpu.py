"""Decoding on a processor in float32: products by torch, all else by compiled kernels.

Every path is a column of a tile, and a tile belongs to one series. As in `decoder.py` every product
has the shape of one tile, so that its rounding does not depend on the batch.

Axes: D width, R = TILE columns, H heads, E width of a head, T context positions, S steps, V tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kronos.decoding import TILE
from kronos.decoding import cpu_kernels as kernels
from kronos.decoding.decoder import Decoder
from kronos.decoding.sampling import divisor
from kronos.decoding.sequence import DecoderState, TokenSequence
from kronos.decoding.weights import FusedBlock
from kronos.nn.layers import RMSNorm
from kronos.nn.model import Kronos

Rotary = tuple[np.ndarray, np.ndarray]
"""Cosines and sines of one position, (E / 2,) each, or of many, (positions, E / 2)."""


class TileDecoder(Decoder):
    """Draws the paths of many series with one float32 model on a processor."""

    def __init__(self, model: Kronos) -> None:
        super().__init__(model)
        config = model.config
        self._space = Workspace(
            config.d_model, len(self.weights.blocks[0].down[0]),
            (1 << config.s1_bits, 1 << config.s2_bits),
        )  # fmt: skip
        self._tables = TokenTables(model)
        self._blocks = [_Block(block) for block in self.weights.blocks]
        self._norm = _Norm(model.norm)
        out = model.dep_layer.cross_attn.out_proj
        self._dependency_out = out.weight.detach()
        self._dependency_norm = _Norm(model.dep_layer.norm, out.bias)
        self._dependency_bias = _array(self.weights.dependency_kv_bias)
        self._rotary: Rotary = np.empty((0, 0)), np.empty((0, 0))
        self._s1_head, self._s2_head = _Head(model.head.proj_s1), _Head(model.head.proj_s2)

    def prefill(self, seq: TokenSequence) -> None:
        last_hidden = self.read_context(seq).last_hidden.numpy()
        state, n_layers = TileState([]), self.weights.dependency + 1
        for start in range(seq.rows.start, seq.rows.stop, TILE):
            rows = slice(start, min(start + TILE, seq.rows.stop))
            tile = Tile(rows, n_layers, seq.n_cached, self.model.config.d_model)
            tile.hidden.array[:] = last_hidden[:, None]
            state.tiles.append(tile)
        seq.state = state

    def decode_step(self, seqs: Sequence[TokenSequence]) -> None:
        tables, weights, space = self._tables.current(), self.weights, self._space
        pairs = [(seq, tile) for seq in seqs for tile in _tiles(seq)]
        for seq, tile in pairs:
            tile.load_pair(seq)
            assert seq.prefill is not None
            bar = seq.prefill.bars.numpy()[seq.n_drawn - 1]
            kernels.embed_pairs(tile.s1, tile.s2, *tables.pair, bar, tile.x.array)
        # Layer by layer: the weights of one are still in the cache for the next tile.
        rotaries = [self._rotary_at(len(seq.context) + seq.n_drawn - 1) for seq, _ in pairs]
        for layer in range(weights.dependency):
            for (seq, tile), rotary in zip(pairs, rotaries, strict=True):
                self._block(layer, seq, tile, rotary)
        for seq, tile in pairs:
            self._norm(tile.x, tile.hidden)
            torch.mm(weights.dependency_kv, tile.hidden.tensor, out=space.kv.tensor)
            own = tile.own[weights.dependency]
            kernels.store(space.kv.array, self._dependency_bias, seq.n_drawn - 1, *own)

    def _block(self, layer: int, seq: TokenSequence, tile: Tile, rotary: Rotary) -> None:
        block, space = self._blocks[layer], self._space
        normed = space.normed
        block.norm1(tile.x, normed)
        torch.mm(block.qkv, normed.tensor, out=space.qkv.tensor)
        kernels.rotate_and_store(
            space.qkv.array, block.qkv_bias, block.n_heads, *rotary, block.scale, seq.n_drawn - 1,
            *tile.own[layer],
        )  # fmt: skip
        attended = self._attend(layer, space.q, seq, tile)
        tile.x.tensor.addmm_(block.out, attended.tensor)
        block.norm2(tile.x, normed)
        torch.mm(block.gate_up, normed.tensor, out=space.gate_up.tensor)
        kernels.gate(space.gate_up.array, space.gated.array)
        tile.x.tensor.addmm_(block.down, space.gated.tensor)

    def _attend(self, layer: int, q: Tensor, seq: TokenSequence, tile: Tile) -> Plane:
        """Scaled queries (D, R) against the context and what the tile generated: (D, R)."""
        assert seq.prefill is not None
        k, v = seq.prefill.cache.prefix(layer)
        H, E, T = k.shape
        keys, values = tile.own[layer]
        space = self._space.attention(H, E, T, len(keys))
        scores, own, total = space.scores, space.own.array, space.total.array
        torch.bmm(q.view(H, E, TILE).transpose(1, 2), k, out=scores.tensor)
        torch.amax(scores.tensor, 2, out=space.largest.tensor)
        kernels.weigh(q.numpy(), seq.n_drawn, keys, scores.array, space.largest.array, own, total)
        torch.bmm(scores.tensor, v, out=space.mixed.tensor)
        kernels.mix(space.mixed.array, seq.n_drawn, values, own, total, space.output.array)
        return space.output

    def sample_step(self, seqs: Sequence[TokenSequence]) -> None:
        query_table = self._tables.current().queries
        queries, mixed = self._space.normed, self._space.mixed
        for seq in seqs:
            noise, tiles = seq.noise.numpy(), _tiles(seq)
            for tile in tiles:
                n, uniforms = tile.n_rows, noise[tile.rows, seq.n_drawn]
                self._sample(self._s1_head, tile.hidden, seq, uniforms[:, 0], tile.s1[:n])

                kernels.gather(tile.s1, query_table, queries.array)
                attended = self._attend(self.weights.dependency, queries.tensor, seq, tile)
                hidden = tile.hidden.tensor
                torch.addmm(hidden, self._dependency_out, attended.tensor, out=mixed.tensor)
                self._dependency_norm(mixed, queries)
                self._sample(self._s2_head, queries, seq, uniforms[:, 1], tile.s2[:n])
            for tile in tiles:
                tile.store_pair(seq)
            seq.count_step()

    def _sample(
        self, head: _Head, hidden: Plane, seq: TokenSequence, uniforms: np.ndarray,
        ids: np.ndarray,
    ) -> None:  # fmt: skip
        """Draws ids (n,) from the logits of hidden states (D, R)."""
        sampling, n, n_tokens = seq.sampling, len(ids), len(head.bias)
        space = self._space.sampling[n_tokens]
        logits, least = space.logits, space.least
        torch.mm(head.weight, hidden.tensor, out=logits.tensor)
        if sampling.T == 0.0:
            ids[:] = (logits.array[:, :n] + head.bias[:, None]).argmax(axis=0)
            return
        kernels.powers(logits.array, head.bias, np.float32(divisor(sampling)))
        least.fill(0.0)
        if sampling.narrows:
            top_k, top_p = sampling.top_k or n_tokens, float(sampling.top_p)
            kernels.least_kept(logits.array, n, top_k, top_p, space.rows.array, least)
        kernels.draw(logits.array, least, uniforms, space.cumulative, ids)

    def _rotary_at(self, position: int) -> Rotary:
        """Cosines and sines of a position: (E / 2,) each."""
        rotary = self._rotary
        if position >= len(rotary[0]):
            cos, sin = self.model.rotation(position + 1, torch.device("cpu"))
            half = cos.shape[1] // 2
            # One assignment: other threads see the old ones or the new ones.
            rotary = self._rotary = cos[:, :half].numpy(), sin[:, :half].numpy()
        cosines, sines = rotary
        return cosines[position], sines[position]


class _Norm:
    """A normalisation's own weight, and the bias that is added to its input: (D,) arrays."""

    __slots__ = ("bias", "eps", "weight")

    def __init__(self, norm: RMSNorm, bias: Tensor | None = None) -> None:
        self.weight, self.eps = _array(norm.weight), np.float32(norm.eps)
        self.bias = np.zeros_like(self.weight) if bias is None else _array(bias)

    def __call__(self, x: Plane, out: Plane) -> None:
        kernels.add_and_normalise(x.array, self.bias, self.weight, self.eps, out.array)


class _Block:
    """A block's weights, for torch where they are factors and for the kernels elsewhere.

    They are views of the parameters, and so follow them when they are trained in place.
    """

    def __init__(self, block: FusedBlock) -> None:
        self.n_heads = block.n_heads
        self.scale = np.float32((block.qkv.shape[1] // block.n_heads) ** -0.5)
        self.norm1, self.norm2 = _Norm(block.norm1), _Norm(block.norm2, block.out.bias)
        self.qkv, self.qkv_bias = block.qkv.detach(), _array(block.qkv_bias)
        self.out = block.out.weight.detach()
        self.gate_up, self.down = block.gate_up.detach(), block.down.detach()


class _Head:
    """A head's weights: views of the parameters too."""

    def __init__(self, head: nn.Linear) -> None:
        self.weight, self.bias = head.weight.detach(), _array(head.bias)


def _array(parameter: Tensor | None) -> np.ndarray:
    assert parameter is not None, "every projection that is read this way has a bias"
    return parameter.detach().numpy()


class Plane:
    """One piece of float32 memory, for torch and for the kernels."""

    __slots__ = ("array", "tensor")

    def __init__(self, *shape: int) -> None:
        self.array: np.ndarray = np.empty(shape, np.float32)
        self.tensor = torch.from_numpy(self.array)


class Tile:
    """Up to `TILE` paths of one series: their hidden states, and what they generated.

    Attributes:
        rows: The paths.
        x: (D, R) the residual stream of a step.
        hidden: (D, R) normalised hidden states after the last pair drawn.
        s1: (R,) the coarse ids drawn last; 0 in columns without a path.
        s2: (R,) the fine ids drawn last.
        own: Of every layer, keys and values of the generated positions: two (S, D, R).
    """

    def __init__(self, rows: slice, n_layers: int, n_steps: int, width: int) -> None:
        self.rows = rows
        self.x, self.hidden = Plane(width, TILE), Plane(width, TILE)
        self.s1, self.s2 = np.zeros(TILE, np.int64), np.zeros(TILE, np.int64)
        # In one piece: the system then maps large pages, and before the first step writes.
        own = np.empty((n_layers, 2, n_steps, width, TILE), np.float32)
        self.own: list[tuple[np.ndarray, np.ndarray]] = [(k, v) for k, v in own]

    @property
    def n_rows(self) -> int:
        return self.rows.stop - self.rows.start

    def load_pair(self, seq: TokenSequence) -> None:
        """Loads the pair that the sequence holds as its last: a step that failed drew another."""
        n, step = self.n_rows, seq.n_drawn - 1
        self.s1[:n] = seq.s1.numpy()[self.rows, step]
        self.s2[:n] = seq.s2.numpy()[self.rows, step]

    def store_pair(self, seq: TokenSequence) -> None:
        """Stores the pair drawn as that of the step."""
        n, step = self.n_rows, seq.n_drawn
        seq.s1.numpy()[self.rows, step] = self.s1[:n]
        seq.s2.numpy()[self.rows, step] = self.s2[:n]


@dataclass(slots=True)
class TileState(DecoderState):
    """The tiles of the rows in progress."""

    tiles: list[Tile]


def _tiles(seq: TokenSequence) -> list[Tile]:
    assert isinstance(seq.state, TileState)
    return seq.state.tiles


class Workspace(threading.local):
    """Memory that all tiles use in turn; every thread has its own."""

    def __init__(self, width: int, n_hidden: int, vocabularies: tuple[int, ...]) -> None:
        """Args:
        width: D of the model.
        n_hidden: Width of the feed-forward's hidden layer.
        vocabularies: Sizes V of the heads.
        """
        self.normed, self.mixed = Plane(width, TILE), Plane(width, TILE)
        self.kv, self.qkv = Plane(2 * width, TILE), Plane(3 * width, TILE)
        self.q = self.qkv.tensor[:width]
        self.gate_up, self.gated = Plane(2 * n_hidden, TILE), Plane(n_hidden, TILE)
        self.sampling = {V: SamplingSpace(V) for V in vocabularies}
        self._attention: dict[tuple[int, ...], AttentionSpace] = {}

    def attention(self, *shape: int) -> AttentionSpace:
        """Memory of an attention of this shape: see `AttentionSpace`."""
        found = self._attention.get(shape)
        if found is None:
            if len(self._attention) >= 16:  # contexts of ever new lengths
                self._attention.clear()
            found = self._attention[shape] = AttentionSpace(*shape)
        return found


class AttentionSpace:
    """Memory of one attention: H heads of E channels, T context and S generated positions."""

    __slots__ = ("largest", "mixed", "output", "own", "scores", "total")

    def __init__(self, H: int, E: int, T: int, S: int) -> None:
        self.scores, self.mixed = Plane(H, TILE, T), Plane(H, TILE, E)
        self.own, self.output = Plane(H, S, TILE), Plane(H * E, TILE)
        self.largest, self.total = Plane(H, TILE), Plane(H, TILE)


class SamplingSpace:
    """Memory of drawing one of V tokens."""

    __slots__ = ("cumulative", "least", "logits", "rows")

    def __init__(self, V: int) -> None:
        self.logits, self.rows = Plane(V, TILE), Plane(TILE, V)
        self.cumulative = np.empty((V, TILE))
        self.least = np.empty(TILE, np.float32)


@dataclass(frozen=True, slots=True)
class Tables:
    """What each token contributes to a step, computed once for all V tokens: (V, D) float32.

    Attributes:
        pair: Of coarse and of fine ids: the sum of a row of each is the embedding of a pair.
        queries: Of coarse ids, scaled queries of the dependency-aware layer.
    """

    pair: tuple[np.ndarray, np.ndarray]
    queries: np.ndarray


class TokenTables:
    """The tables of a model; computed anew when its weights were changed."""

    def __init__(self, model: Kronos) -> None:
        embedding, attention = model.embedding, model.dep_layer.cross_attn
        fusion, q = embedding.fusion_proj, attention.q_proj
        self._scales = embedding.scale, attention.head_width**-0.5
        # Looking parameters up in their modules at every step takes longer than a kernel.
        self._parameters: tuple[Tensor, ...] = (
            embedding.emb_s1.weight, embedding.emb_s2.weight,
            fusion.weight, fusion.bias, q.weight, q.bias,
        )  # fmt: skip
        self._computed: tuple[list[int], Tables] | None = None

    def current(self) -> Tables:
        versions = [_version(p) for p in self._parameters]
        computed = self._computed
        if computed is None or computed[0] != versions:
            computed = self._computed = (versions, self._compute())
        return computed[1]

    def _compute(self) -> Tables:
        s1, s2, fusion, fusion_bias, q, q_bias = (p.detach() for p in self._parameters)
        (scale, query_scale), D = self._scales, s1.shape[1]
        of_s1 = torch.addmm(fusion_bias, s1 * scale, fusion[:, :D].t())
        of_s2 = (s2 * scale) @ fusion[:, D:].t()
        queries = torch.addmm(q_bias, s1, q.t()) * query_scale
        return Tables((of_s1.numpy(), of_s2.numpy()), queries.numpy())


def _version(parameter: Tensor) -> int:
    """Counts changes in place; inference tensors, which cannot be trained, count none."""
    return -1 if parameter.is_inference() else parameter._version
