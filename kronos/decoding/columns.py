"""One decoding step on a processor: every path is a column.

With few paths the weights as the left factor are the faster order, twice as fast as the usual
one for 32 columns; so hidden states lie as (D, R), and every operation runs along their columns.

A result must not depend on who shares the batch, and rounding depends on the shape of a matrix
product. So products run over tiles of exactly `TILE` columns, the last one padded: in a product
of fixed shape the rounding of a column depends neither on its place nor on the other columns.
Attention, whose shapes differ from series to series, runs series by series.

Axes: B tiles, D width, R = TILE columns of a tile, H heads, E width of a head, N paths of one
series, T context positions, S positions generated so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.decoding.batch import TILE
from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.weights import JoinedBlock, JoinedModel
from kronos.nn.layers import RMSNorm

Turn = tuple[Tensor, Tensor]
"""Cosines and signed sines of the columns' positions, for queries and for keys: each
(B, 2, 1, E, R), or (1, 2, 1, E, 1) where all positions are the same."""


class PathMemory:
    """Keys and values that the N paths of a series generated, beside its shared prefix."""

    def __init__(self, prefix: PrefixCache, n_steps: int) -> None:
        """Args:
        prefix: Of the context.
        n_steps: Most positions a path will append.
        """
        self.prefix = prefix
        self.n_steps = n_steps
        self._own: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(self, layer: int, k: Tensor, v: Tensor, step: int) -> None:
        """Keeps keys and values, each (H, E, N), of one position."""
        if layer not in self._own:
            # A position after the other: what is appended and what is read lie in one piece.
            shape = (self.n_steps, *k.shape)
            self._own[layer] = (k.new_empty(shape), v.new_empty(shape))
        keys, values = self._own[layer]
        keys[step].copy_(k)
        values[step].copy_(v)

    def attend(self, layer: int, q: Tensor, n_own: int) -> Tensor:
        """Scaled queries (H, E, N) against prefix and the first `n_own` positions: (H, E, N)."""
        k, v = self.prefix.prefix(layer)
        T = v.shape[1]
        # All paths ask the same prefix: one matrix product per head.
        scores = torch.bmm(q.transpose(1, 2), k)
        if not n_own:
            weights = torch.softmax(scores.float(), -1).type_as(q)
            return torch.bmm(weights, v).transpose(1, 2)
        keys, values = (kept[:n_own] for kept in self._own[layer])
        own = (keys * q).sum(2).permute(1, 2, 0)
        weights = torch.softmax(torch.cat((scores, own), -1).float(), -1).type_as(q)
        shared = torch.bmm(weights[..., :T], v)
        mixed = (values * weights[..., T:].permute(2, 0, 1).unsqueeze(2)).sum(0)
        return mixed.add_(shared.transpose(1, 2))


class ColumnStep:
    """The layers of a model, applied to tiles of columns."""

    def __init__(self, weights: JoinedModel) -> None:
        self.weights = weights
        self.model = weights.model
        config = self.model.config
        self.head_width = config.d_model // config.n_heads
        self._tables: tuple[Tensor, Tensor] | None = None

    def embed(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Ids (B, R) -> block inputs (B, D, R), still without what their bars add."""
        embedding = self.model.embedding
        pair = torch.cat((embedding.emb_s1(s1), embedding.emb_s2(s2)), -1).mul_(embedding.scale)
        fusion = embedding.fusion_proj
        return _product(fusion.weight, pair.transpose(1, 2), fusion.bias)

    def turns(self, positions: Sequence[int]) -> Turn:
        """Rotary tables of columns at these positions, of whole tiles."""
        longest = max(positions) + 1
        if self._tables is None or self._tables[0].shape[1] < longest:
            self._tables = self._rotary_tables(max(longest, 1024))
        cos, sin = self._tables
        if min(positions) == longest - 1:
            return cos[None, :, longest - 1, None, :, None], sin[
                None, :, longest - 1, None, :, None
            ]
        at = torch.tensor(positions, device=cos.device).view(-1, TILE)
        cos, sin = (t[:, at].permute(1, 0, 3, 2).unsqueeze(2).contiguous() for t in (cos, sin))
        return cos, sin

    def _rotary_tables(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines, (2, length, E): for queries and for keys."""
        cos, sin = self.model.rotation(length, self.model.norm.weight.device)
        half = self.head_width // 2
        sin = torch.cat((-sin[:, :half], sin[:, half:]), -1)
        # Queries are scaled here, once for all that attention would have to scale.
        both = torch.tensor([self.head_width**-0.5, 1.0], device=cos.device)[:, None, None]
        return cos * both, sin * both

    def heads(self, block: JoinedBlock, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values of x (B, D, R): three (B, H, E, R)."""
        qkv = _product(block.qkv, _norm(block.norm1, x), block.qkv_bias)
        qkv = qkv.view(len(x), 3, block.n_heads, self.head_width, TILE)
        straight = qkv[:, :2].float()
        turned = torch.addcmul(straight * turn[0], straight.roll(self.head_width // 2, 3), turn[1])
        q, k = turned.type_as(qkv).unbind(1)
        return q, k, qkv[:, 2]

    def output(self, block: JoinedBlock, x: Tensor, attended: Tensor) -> Tensor:
        """A block's input and what it attended to, each (B, D, R) -> its output (B, D, R)."""
        x = _product(block.out.weight, attended, block.out.bias).add_(x)
        return _each_tile(partial(_feed_forward, block), _norm(block.norm2, x)).add_(x)

    def hidden(self, x: Tensor) -> Tensor:
        """What the last block leaves (B, D, R) -> normalised hidden states (B, D, R)."""
        return _norm(self.model.norm, x)

    def dependency_heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the dependency-aware layer: (B, D, R) -> two (B, H, E, R)."""
        weights = self.weights
        kv = _product(weights.dependency_kv, hidden, weights.dependency_kv_bias)
        k, v = kv.view(len(kv), 2, weights.n_dependency_heads, -1, TILE).unbind(1)
        return k, v

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(B, D, R) -> (B * R, V)."""
        head = self.model.head.proj_s1
        return (
            _product(head.weight, hidden, head.bias).transpose(1, 2).reshape(-1, len(head.weight))
        )

    def s2_queries(self, s1: Tensor) -> Tensor:
        """Chosen coarse ids (B, R) as scaled queries of the dependency layer: (B, H, E, R)."""
        q, n_heads = self.model.dep_layer.cross_attn.q_proj, self.weights.n_dependency_heads
        queries = _product(q.weight, self.model.embedding.emb_s1(s1).transpose(1, 2), q.bias)
        queries = queries.view(len(s1), n_heads, -1, TILE)
        return queries.mul_(queries.shape[2] ** -0.5)

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and what the queries saw, each (B, D, R) -> (B * R, V)."""
        layer, head = self.model.dep_layer, self.model.head.proj_s2
        out = layer.cross_attn.out_proj
        mixed = _norm(layer.norm, _product(out.weight, attended, out.bias).add_(hidden))
        return _product(head.weight, mixed, head.bias).transpose(1, 2).reshape(-1, len(head.weight))


def _feed_forward(block: JoinedBlock, x: Tensor) -> Tensor:
    """SwiGLU of one tile, normalised before: (D, R) -> (D, R)."""
    # With exponentials of a shape that depends on nobody: where a long loop is cut into parts for
    # several threads, its ends are rounded in another way.
    gate, up = torch.mm(block.gate_up, x).chunk(2)
    return torch.mm(block.down, F.silu(gate).mul_(up))


def _product(weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """(n, K) and columns (B, K, R) -> (B, n, R)."""
    if bias is None:
        return _each_tile(partial(torch.mm, weight), x)
    return _each_tile(partial(torch.addmm, bias.unsqueeze(1), weight), x)


def _each_tile(compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a function to every tile of (B, ...) by itself."""
    if len(x) == 1:
        return compute(x[0]).unsqueeze(0)
    return torch.stack([compute(tile) for tile in x])


def _norm(norm: RMSNorm, x: Tensor) -> Tensor:
    """`RMSNorm` of columns (B, D, R), in float32 as there."""
    wide = x.float()
    square = torch.linalg.vecdot(wide, wide, dim=1)
    scale = square.div_(x.shape[1]).add_(norm.eps).rsqrt_()
    return (wide * scale.unsqueeze(1)).type_as(x).mul_(norm.weight.unsqueeze(1))


def tiled(parts: Sequence[Tensor], fill: float = 0) -> Tensor:
    """Columns of several series, each (..., n), as tiles (B, ..., TILE); the last is padded."""
    parts = list(parts)
    missing = -sum(part.shape[-1] for part in parts) % TILE
    if missing:
        parts.append(parts[0].new_full((*parts[0].shape[:-1], missing), fill))
    together = torch.cat(parts, -1) if len(parts) > 1 else parts[0]
    # Contiguous, whatever the number of tiles: the same memory layout, the same rounding.
    return together.unflatten(-1, (-1, TILE)).movedim(-2, 0).contiguous()


def untiled(tiles: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Tiles back to the columns of each series: the inverse of `tiled`."""
    together = tiles[0] if len(tiles) == 1 else tiles.movedim(0, -2).flatten(-2)
    return list(together[..., : sum(counts)].split(list(counts), -1))
