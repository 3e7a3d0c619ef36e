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

from kronos.inference import kernels
from kronos.inference.batch import TILE
from kronos.inference.continuation import Continuation
from kronos.inference.generate import Decoder
from kronos.inference.joined import JoinedBlock
from kronos.inference.tables import TokenTables
from kronos.inference.tile_memory import Plane, Scratch, Tile
from kronos.nn.layers import RMSNorm
from kronos.nn.model import Kronos

Turn = tuple[np.ndarray, np.ndarray]
"""Cosines and sines of one position: (E / 2,) each."""


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
        self._scratch = Scratch()
        self._tables = TokenTables(model)
        self._blocks = [_Block(block) for block in self.weights.blocks]
        self._norm = _Norm(model.norm)
        out = model.dep_layer.cross_attn.out_proj
        self._dependency_out = out.weight.detach()
        self._dependency_norm = _Norm(model.dep_layer.norm, out.bias)
        self._dependency_bias = _array(self.weights.dependency_kv_bias)
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
        tables, weights = self._tables.current(), self.weights
        pairs = [(c, tile) for c in cs for tile in c.tiles]
        for c, tile in pairs:
            tile.recall(c)
            bar = c.last_bar_embedding().flatten().numpy()
            kernels.embed_pairs(tile.s1, tile.s2, *tables.pair, bar, tile.x.array)
        # Layer by layer: the weights of one are still in the cache for the next tile.
        turns = [self._turn(len(c.context) + c.n_drawn - 1) for c, _ in pairs]
        for layer in range(weights.dependency):
            for (c, tile), turn in zip(pairs, turns, strict=True):
                self._block(layer, c, tile, turn)
        for c, tile in pairs:
            self._norm(tile.x, tile.hidden)
            kv = self._scratch("kv", len(weights.dependency_kv), TILE)
            torch.mm(weights.dependency_kv, tile.hidden.tensor, out=kv.tensor)
            own = tile.own(weights.dependency)
            kernels.keep(kv.array, self._dependency_bias, c.n_drawn - 1, *own)

    def _block(self, layer: int, c: Continuation, tile: Tile, turn: Turn) -> None:
        block, D = self._blocks[layer], self.model.config.d_model
        normed, qkv = self._scratch("normed", D, TILE), self._scratch("qkv", 3 * D, TILE)
        block.norm1(tile.x, normed)
        torch.mm(block.qkv, normed.tensor, out=qkv.tensor)
        kernels.rotate_and_keep(
            qkv.array, block.qkv_bias, block.n_heads, *turn, block.scale, c.n_drawn - 1,
            *tile.own(layer),
        )  # fmt: skip
        seen = self._attend(layer, qkv.tensor[:D], c, tile)
        tile.x.tensor.addmm_(block.out, seen.tensor)
        block.norm2(tile.x, normed)
        n_hidden = block.down.shape[1]
        gate_up = self._scratch("gate and up", 2 * n_hidden, TILE)
        gated = self._scratch("gated", n_hidden, TILE)
        torch.mm(block.gate_up, normed.tensor, out=gate_up.tensor)
        kernels.gate(gate_up.array, gated.array)
        tile.x.tensor.addmm_(block.down, gated.tensor)

    def _attend(self, layer: int, q: Tensor, c: Continuation, tile: Tile) -> Plane:
        """Scaled queries (D, R) against the context and what the tile generated: (D, R)."""
        assert c.observed is not None
        k, v = c.observed[0].prefix(layer)
        H, E, T = k.shape
        keys, values = tile.own(layer)
        scores, mixed = self._scratch("scores", H, TILE, T), self._scratch("mixed", H, TILE, E)
        own, total = self._scratch("own", H, len(keys), TILE), self._scratch("total", H, TILE)
        torch.bmm(q.view(H, E, TILE).transpose(1, 2), k, out=scores.tensor)
        largest = scores.array.max(axis=2)
        kernels.weigh(q.numpy(), c.n_drawn, keys, scores.array, largest, own.array, total.array)
        torch.bmm(scores.tensor, v, out=mixed.tensor)
        out = self._scratch("seen", H * E, TILE)
        kernels.mix(mixed.array, c.n_drawn, values, own.array, total.array, out.array)
        return out

    def _draw(self, cs: Sequence[Continuation]) -> None:
        queries_of, D = self._tables.current().queries, self.model.config.d_model
        for c in cs:
            noise = c.noise.numpy()
            for tile in c.tiles:
                n, uniforms = tile.n_rows, noise[tile.rows, c.n_drawn]
                self._choose(self._s1_head, tile.hidden, c, uniforms[:, 0], tile.s1[:n])

                queries, mixed = self._scratch("normed", D, TILE), self._scratch("mix", D, TILE)
                kernels.gather(tile.s1, queries_of, queries.array)
                seen = self._attend(self.weights.dependency, queries.tensor, c, tile)
                hidden = tile.hidden.tensor
                torch.addmm(hidden, self._dependency_out, seen.tensor, out=mixed.tensor)
                self._dependency_norm(mixed, queries)
                self._choose(self._s2_head, queries, c, uniforms[:, 1], tile.s2[:n])
            s1 = np.concatenate([tile.s1 for tile in c.tiles])[: c.n_rows]
            s2 = np.concatenate([tile.s2 for tile in c.tiles])[: c.n_rows]
            c.record(torch.from_numpy(s1), torch.from_numpy(s2))

    def _choose(
        self, head: _Head, hidden: Plane, c: Continuation, uniforms: np.ndarray,
        ids: np.ndarray,
    ) -> None:  # fmt: skip
        """Draws ids (n,) from the logits of hidden states (D, R)."""
        n_tokens, sampling = len(head.bias), c.sampling
        logits, rows = (
            self._scratch("logits", n_tokens, TILE),
            self._scratch("rows", TILE, n_tokens),
        )
        torch.mm(head.weight, hidden.tensor, out=logits.tensor)
        kernels.rows_of(logits.array, head.bias, np.float32(sampling.T or 1.0), rows.array)
        drawn = rows.array[: len(ids)]
        if sampling.T == 0.0:
            ids[:] = drawn.argmax(axis=1)
            return
        kernels.powers(drawn)
        keeps_all = not sampling.narrows
        top_k = sampling.top_k if 0 < sampling.top_k < n_tokens else n_tokens
        ordered = drawn[:0] if keeps_all else np.sort(drawn, axis=1)
        cumulative = np.empty(n_tokens)
        kernels.draw_tile(drawn, ordered, top_k, sampling.top_p, uniforms, cumulative, ids)

    def _turn(self, position: int) -> Turn:
        """Cosines and sines of a position: (E / 2,) each."""
        cos, sin = self.model.rotation(position + 1, torch.device("cpu"))
        half = cos.shape[1] // 2
        return cos[position, :half].numpy(), sin[position, :half].numpy()


def _array(parameter: Tensor | None) -> np.ndarray:
    assert parameter is not None, "every projection that is read this way has a bias"
    return parameter.detach().numpy()
