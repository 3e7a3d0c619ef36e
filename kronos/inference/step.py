"""One decoding step: paths of any number of series read the pair they drew last.

Rows are paths. Rows of different series share every matrix product, and each series attends to
its own context.

A result must not depend on who shares the batch, and rounding depends on the shape of a matrix
product. So products run over tiles of exactly `TILE` rows, the last one padded: in a product of
fixed shape the rounding of a row depends neither on its place nor on the other rows. Attention,
whose shapes differ from series to series, runs series by series.

Axes: R rows, D width, H heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.inference.cache import SharedPrefixCache
from kronos.nn.layers import Rotation, TransformerBlock, rotate
from kronos.nn.model import Kronos

TILE = 32
"""Rows of one matrix product."""


class DecodingStep:
    """A model's layers as decoding uses them: for rows, with projections joined."""

    def __init__(self, model: Kronos) -> None:
        self.model = model
        self.blocks = [JoinedBlock(cast("TransformerBlock", b)) for b in model.transformer]
        self.dependency = len(self.blocks)
        """The number under which caches keep the dependency-aware layer."""
        attention = model.dep_layer.cross_attn
        self.n_dependency_heads = attention.n_heads
        self.dependency_kv = joined(attention.k_proj, attention.v_proj)

    def embed(self, s1: Tensor, s2: Tensor, stamp: Tensor) -> Tensor:
        """Ids (R,) and calendar fields (R, 5) -> block inputs (R, D)."""
        embedding = self.model.embedding
        pair = torch.cat((embedding.emb_s1(s1), embedding.emb_s2(s2)), -1) * embedding.scale
        fusion = embedding.fusion_proj
        return project(pair, fusion.weight, fusion.bias) + self.model.time_emb(stamp)

    def dependency_heads(self, hidden: Tensor) -> Tensor:
        """Keys and values of the dependency-aware layer: (R, D) -> (R, 2, H, E)."""
        return project(hidden, *self.dependency_kv).unflatten(-1, (2, self.n_dependency_heads, -1))

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(R, D) -> (R, V)."""
        head = self.model.head.proj_s1
        return project(hidden, head.weight, head.bias).contiguous()

    def s2_queries(self, s1: Tensor) -> Tensor:
        """The chosen coarse ids (R,) as queries of the dependency-aware layer: (R, H, E)."""
        q = self.model.dep_layer.cross_attn.q_proj
        queries = project(self.model.embedding.emb_s1(s1), q.weight, q.bias)
        return queries.unflatten(-1, (self.n_dependency_heads, -1))

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and what the queries saw, each (R, D) -> (R, V)."""
        layer, head = self.model.dep_layer, self.model.head.proj_s2
        out = layer.cross_attn.out_proj
        mixed = layer.norm(hidden + project(attended, out.weight, out.bias))
        return project(mixed, head.weight, head.bias).contiguous()

    def read_context(
        self, s1: Tensor, s2: Tensor, stamp: Tensor, cache: SharedPrefixCache
    ) -> Tensor:
        """Fills the prefix of a cache: ids (T,), fields (T, 5) -> last hidden state (D,)."""
        x = self.model.embed(s1[None], s2[None], stamp[None])
        attend = [cache.reading(i) for i in range(self.dependency)]
        hidden = self.model.run_blocks(x, self.model.rotation(x.shape[1], x.device), attend)
        layer = self.model.dep_layer.cross_attn
        cache.store_prefix(
            self.dependency,
            layer.heads(layer.k_proj(hidden))[0],
            layer.heads(layer.v_proj(hidden))[0],
        )
        return hidden[0, -1]


class JoinedBlock:
    """A transformer block whose projections of one input are one matrix each."""

    def __init__(self, block: TransformerBlock) -> None:
        attention, ffn = block.self_attn, block.ffn
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.n_heads = attention.n_heads
        self.qkv = joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = attention.out_proj
        self.gate_up, _ = joined(ffn.w1, ffn.w3)
        self.down = ffn.w2

    def heads(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, rotated, and values: (R, D) -> three (R, H, E)."""
        qkv = project(self.norm1(x), *self.qkv).unflatten(-1, (3, self.n_heads, -1))
        q, k = rotate(qkv[:, :2], rotation).unbind(1)
        return q, k, qkv[:, 2]

    def output(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's input and what it attended to, each (R, D) -> its output (R, D)."""
        x = x + project(attended, self.out.weight, self.out.bias)
        gate, up = project(self.norm2(x), self.gate_up).chunk(2, dim=-1)
        return x + project(F.silu(gate) * up, self.down.weight)


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias for few rows: (R, K) -> (R, n)."""
    if x.device.type != "cpu":
        return F.linear(x, weight, bias)
    # The weights as the left factor: for 32 rows this order is twice as fast on a CPU. The
    # result is a transposed view, which element-wise operations keep.
    if bias is None:
        return torch.mm(weight, x.t()).t()
    return torch.addmm(bias.unsqueeze(1), weight, x.t()).t()


def joined(*layers: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of layers that read the same input, as one matrix and one vector.

    The layers' parameters become views of them, so nothing is held twice.
    """
    weight = _join([layer.weight for layer in layers])
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return weight, _join(biases) if biases else None


def _join(parts: Sequence[Tensor]) -> Tensor:
    first, sizes = parts[0], [len(part) for part in parts]
    ends = [part.data_ptr() + part.numel() * part.element_size() for part in parts]
    starts = [part.data_ptr() for part in parts[1:]]
    storage = first.untyped_storage().data_ptr()
    if starts == ends[:-1] and all(p.untyped_storage().data_ptr() == storage for p in parts):
        whole = (sum(sizes), *first.shape[1:])
        return first.data.as_strided(whole, first.stride(), first.storage_offset())
    with torch.inference_mode(False), torch.no_grad():
        together = torch.cat([part.data for part in parts])
        for part, view in zip(parts, together.split(sizes), strict=True):
            part.data = view
    return together


def tiles(rows: Iterable[Tensor], fill: float = 0) -> list[Tensor]:
    """Rows of several series, each (n, ...), as tiles (TILE, ...); the last one is padded."""
    parts = list(rows)
    missing = -sum(map(len, parts)) % TILE
    if missing:
        parts.append(parts[0].new_full((missing, *parts[0].shape[1:]), fill))
    return list(torch.cat(parts).split(TILE))


def rows_of(tiled: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """Tiles back to the rows of each series: the inverse of `tiles`."""
    together = tiled[0] if len(tiled) == 1 else torch.cat(list(tiled))
    return list(together[: sum(counts)].split(list(counts)))


def row_list(values: Iterable[Any], counts: Iterable[int]) -> list[Any]:
    """Each value repeated for the rows it stands for."""
    return list(chain.from_iterable([value] * n for value, n in zip(values, counts, strict=True)))
