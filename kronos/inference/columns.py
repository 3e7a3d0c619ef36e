"""One decoding step on a processor: every path is a column.

With few paths the weights as the left factor are the faster order, twice as fast as the usual
one for 32 columns; so hidden states lie as (D, R), and every operation runs along their columns.

A result must not depend on who shares the batch, and rounding depends on the shape of a matrix
product. So products run over tiles of exactly `TILE` columns, the last one padded: in a product
of fixed shape the rounding of a column depends neither on its place nor on the other columns.
Attention, whose shapes differ from series to series, runs series by series.

Axes: D width, R columns of a tile, H heads, E width of a head, N paths of one series, T context
positions, S positions generated so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.inference.cache import SharedPrefixCache
from kronos.inference.joined import JoinedBlock, JoinedModel
from kronos.nn.layers import RMSNorm

TILE = 32
"""Columns of one matrix product."""

Turn = tuple[Tensor, Tensor]
"""Cosines and signed sines of the columns' positions, for queries and for keys: each (2, 1, E, R),
or (2, 1, E, 1) where all positions are the same."""


class PathMemory:
    """Keys and values that the N paths of a series generated, beside its shared prefix."""

    def __init__(self, prefix: SharedPrefixCache, n_steps: int) -> None:
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
        self._turns: tuple[Tensor, Tensor] | None = None

    def embed(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Ids (R,) -> block inputs (D, R), still without the calendar."""
        embedding = self.model.embedding
        pair = torch.cat((embedding.emb_s1(s1), embedding.emb_s2(s2)), -1).mul_(embedding.scale)
        fusion = embedding.fusion_proj
        return _product(fusion.weight, pair.t(), fusion.bias)

    def turns(self, positions: Sequence[int]) -> Turn:
        """Rotary tables of columns at these positions."""
        longest = max(positions) + 1
        if self._turns is None or len(self._turns[0]) < longest:
            cos, sin = self.model.rotation(max(longest, 1024), self.model.norm.weight.device)
            sin = torch.cat((-sin[:, : self.head_width // 2], sin[:, self.head_width // 2 :]), -1)
            # Queries are scaled here, once for all that attention would have to scale.
            both = torch.tensor([self.head_width**-0.5, 1.0], device=cos.device)[:, None, None]
            self._turns = (cos * both, sin * both)
        if min(positions) == longest - 1:
            cos, sin = (t[:, longest - 1, None, :, None] for t in self._turns)
            return cos, sin
        at = torch.tensor(positions, device=self._turns[0].device)
        cos, sin = (t[:, at].transpose(1, 2).unsqueeze(1).contiguous() for t in self._turns)
        return cos, sin

    def heads(self, block: JoinedBlock, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values of x (D, R): three (H, E, R)."""
        qkv = _product(block.qkv, _norm(block.norm1, x), block.qkv_bias)
        qkv = qkv.view(3, block.n_heads, self.head_width, -1)
        straight = qkv[:2].float()
        turned = torch.addcmul(straight * turn[0], straight.roll(self.head_width // 2, 2), turn[1])
        q, k = turned.type_as(qkv)
        return q, k, qkv[2]

    def output(self, block: JoinedBlock, x: Tensor, attended: Tensor) -> Tensor:
        """A block's input and what it attended to, each (D, R) -> its output (D, R)."""
        x = _product(block.out.weight, attended, block.out.bias).add_(x)
        gate, up = torch.mm(block.gate_up, _norm(block.norm2, x)).chunk(2)
        return torch.mm(block.down, F.silu(gate).mul_(up)).add_(x)

    def hidden(self, x: Tensor) -> Tensor:
        """What the last block leaves (D, R) -> normalised hidden states (D, R)."""
        return _norm(self.model.norm, x)

    def dependency_heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the dependency-aware layer: (D, R) -> two (H, E, R)."""
        weights = self.weights
        kv = _product(weights.dependency_kv, hidden, weights.dependency_kv_bias)
        k, v = kv.view(2, weights.n_dependency_heads, -1, hidden.shape[-1])
        return k, v

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(D, R) -> (R, V)."""
        head = self.model.head.proj_s1
        return _product(head.weight, hidden, head.bias).t().contiguous()

    def s2_queries(self, s1: Tensor) -> Tensor:
        """The chosen coarse ids (R,) as scaled queries of the dependency-aware layer: (H, E, R)."""
        q, n_heads = self.model.dep_layer.cross_attn.q_proj, self.weights.n_dependency_heads
        queries = _product(q.weight, self.model.embedding.emb_s1(s1).t(), q.bias)
        return queries.view(n_heads, -1, len(s1)).mul_((len(queries) // n_heads) ** -0.5)

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and what the queries saw, each (D, R) -> (R, V)."""
        layer, head = self.model.dep_layer, self.model.head.proj_s2
        out = layer.cross_attn.out_proj
        mixed = _norm(layer.norm, _product(out.weight, attended, out.bias).add_(hidden))
        return _product(head.weight, mixed, head.bias).t().contiguous()


def _product(weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """(n, K) and columns (K, R) -> (n, R)."""
    if bias is None:
        return torch.mm(weight, x)
    return torch.addmm(bias.unsqueeze(1), weight, x)


def _norm(norm: RMSNorm, x: Tensor) -> Tensor:
    """`RMSNorm` of columns (D, R), in float32 as there."""
    wide = x.float()
    square = torch.linalg.vecdot(wide, wide, dim=0)
    scale = square.div_(len(x)).add_(norm.eps).rsqrt_()
    return (wide * scale).type_as(x).mul_(norm.weight.unsqueeze(1))


def tiled(parts: Sequence[Tensor], fill: float = 0) -> list[Tensor]:
    """Columns of several series, each (..., n), as tiles (..., TILE); the last one is padded."""
    parts = list(parts)
    missing = -sum(part.shape[-1] for part in parts) % TILE
    if missing:
        parts.append(parts[0].new_full((*parts[0].shape[:-1], missing), fill))
    together = torch.cat(parts, -1) if len(parts) > 1 else parts[0]
    # Contiguous, whatever the number of tiles: the same memory layout, the same rounding.
    return [tile.contiguous() for tile in together.split(TILE, -1)]


def untiled(tiles: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """Tiles back to the columns of each series: the inverse of `tiled`."""
    together = tiles[0] if len(tiles) == 1 else torch.cat(list(tiles), -1)
    return list(together[..., : sum(counts)].split(list(counts), -1))
