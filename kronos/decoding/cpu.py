"""Decoding on a processor in float32: products by torch, all else by compiled kernels.

Every path is a column of a tile, and a tile belongs to one series. With few paths the weights as
the left factor are the faster order of a product, twice as fast as the usual one for 32 columns.

A result must not depend on who shares the batch, and rounding depends on the shape of a product.
So every product has the shape of one tile, whatever else there is.

Axes: D width, R = TILE columns, H heads, E width of a head, T context positions, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kronos.decoding import cpu_kernels as kernels
from kronos.decoding.batch import TILE
from kronos.decoding.decoder import Decoder
from kronos.decoding.sampling import divisor
from kronos.decoding.sequence import Continuation
from kronos.decoding.tables import TokenTables
from kronos.decoding.tile_memory import Plane, Tile, Workspace
from kronos.decoding.weights import JoinedBlock
from kronos.nn.layers import RMSNorm
from kronos.nn.model import Kronos

Turn = tuple[np.ndarray, np.ndarray]
"""Cosines and sines of one position, (E / 2,) each, or of many, (positions, E / 2)."""


class _Norm:
    """What a normalisation adds to its input, and its own weight: (D,) arrays."""

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

    def __init__(self, block: JoinedBlock) -> None:
        self.n_heads = block.n_heads
        self.scale = np.float32((block.qkv.shape[1] // block.n_heads) ** -0.5)
        self.norm1, self.norm2 = _Norm(block.norm1), _Norm(block.norm2, block.out.bias)
        self.qkv, self.qkv_bias = block.qkv.detach(), _array(block.qkv_bias)
        self.out = block.out.weight.detach()
        self.gate_up, self.down = block.gate_up.detach(), block.down.detach()


class _Head:
    """A head's weights, likewise."""

    def __init__(self, head: nn.Linear) -> None:
        self.weight, self.bias = head.weight.detach(), _array(head.bias)


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
        self._turns: Turn = np.empty((0, 0)), np.empty((0, 0))
        self._s1_head, self._s2_head = _Head(model.head.proj_s1), _Head(model.head.proj_s2)

    def _begin(self, c: Continuation) -> None:
        _, last_hidden = self._read(c)
        c.tiles, n_layers = [], self.weights.dependency + 1
        for start in range(c.rows.start, c.rows.stop, TILE):
            rows = slice(start, min(start + TILE, c.rows.stop))
            tile = Tile(rows, n_layers, c.n_cached, self.model.config.d_model)
            tile.hidden.array[:] = last_hidden.numpy()[:, None]
            c.tiles.append(tile)

    def _advance(self, cs: Sequence[Continuation]) -> None:
        tables, weights, space = self._tables.current(), self.weights, self._space
        pairs = [(c, tile) for c in cs for tile in c.tiles]
        for c, tile in pairs:
            tile.recall(c)
            assert c.bar_embeddings is not None
            bar = c.bar_embeddings.numpy()[c.n_drawn - 1]
            kernels.embed_pairs(tile.s1, tile.s2, *tables.pair, bar, tile.x.array)
        # Layer by layer: the weights of one are still in the cache for the next tile.
        turns = [self._turn(len(c.context) + c.n_drawn - 1) for c, _ in pairs]
        for layer in range(weights.dependency):
            for (c, tile), turn in zip(pairs, turns, strict=True):
                self._block(layer, c, tile, turn)
        for c, tile in pairs:
            self._norm(tile.x, tile.hidden)
            torch.mm(weights.dependency_kv, tile.hidden.tensor, out=space.kv.tensor)
            own = tile.own[weights.dependency]
            kernels.keep(space.kv.array, self._dependency_bias, c.n_drawn - 1, *own)

    def _block(self, layer: int, c: Continuation, tile: Tile, turn: Turn) -> None:
        block, space = self._blocks[layer], self._space
        normed = space.normed
        block.norm1(tile.x, normed)
        torch.mm(block.qkv, normed.tensor, out=space.qkv.tensor)
        kernels.rotate_and_keep(
            space.qkv.array, block.qkv_bias, block.n_heads, *turn, block.scale, c.n_drawn - 1,
            *tile.own[layer],
        )  # fmt: skip
        seen = self._attend(layer, space.q, c, tile)
        tile.x.tensor.addmm_(block.out, seen.tensor)
        block.norm2(tile.x, normed)
        torch.mm(block.gate_up, normed.tensor, out=space.gate_up.tensor)
        kernels.gate(space.gate_up.array, space.gated.array)
        tile.x.tensor.addmm_(block.down, space.gated.tensor)

    def _attend(self, layer: int, q: Tensor, c: Continuation, tile: Tile) -> Plane:
        """Scaled queries (D, R) against the context and what the tile generated: (D, R)."""
        assert c.observed is not None
        k, v = c.observed[0].prefix(layer)
        H, E, T = k.shape
        keys, values = tile.own[layer]
        space = self._space.attending(H, E, T, len(keys))
        scores, own, total = space.scores, space.own.array, space.total.array
        torch.bmm(q.view(H, E, TILE).transpose(1, 2), k, out=scores.tensor)
        torch.amax(scores.tensor, 2, out=space.largest.tensor)
        kernels.weigh(q.numpy(), c.n_drawn, keys, scores.array, space.largest.array, own, total)
        torch.bmm(scores.tensor, v, out=space.mixed.tensor)
        kernels.mix(space.mixed.array, c.n_drawn, values, own, total, space.seen.array)
        return space.seen

    def _draw(self, cs: Sequence[Continuation]) -> None:
        queries_of = self._tables.current().queries
        queries, mixed = self._space.normed, self._space.mixed
        for c in cs:
            noise = c.noise.numpy()
            for tile in c.tiles:
                n, uniforms = tile.n_rows, noise[tile.rows, c.n_drawn]
                self._choose(self._s1_head, tile.hidden, c, uniforms[:, 0], tile.s1[:n])

                kernels.gather(tile.s1, queries_of, queries.array)
                seen = self._attend(self.weights.dependency, queries.tensor, c, tile)
                hidden = tile.hidden.tensor
                torch.addmm(hidden, self._dependency_out, seen.tensor, out=mixed.tensor)
                self._dependency_norm(mixed, queries)
                self._choose(self._s2_head, queries, c, uniforms[:, 1], tile.s2[:n])
            for tile in c.tiles:
                tile.record(c)
            c.count_step()

    def _choose(
        self, head: _Head, hidden: Plane, c: Continuation, uniforms: np.ndarray,
        ids: np.ndarray,
    ) -> None:  # fmt: skip
        """Draws ids (n,) from the logits of hidden states (D, R)."""
        sampling, n, n_tokens = c.sampling, len(ids), len(head.bias)
        space = self._space.choosing[n_tokens]
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

    def _turn(self, position: int) -> Turn:
        """Cosines and sines of a position: (E / 2,) each."""
        turns = self._turns
        if position >= len(turns[0]):
            cos, sin = self.model.rotation(position + 1, torch.device("cpu"))
            half = cos.shape[1] // 2
            # One assignment: other threads see the old ones or the new ones.
            turns = self._turns = cos[:, :half].numpy(), sin[:, :half].numpy()
        cosines, sines = turns
        return cosines[position], sines[position]


def _array(parameter: Tensor | None) -> np.ndarray:
    assert parameter is not None, "every projection that is read this way has a bias"
    return parameter.detach().numpy()
