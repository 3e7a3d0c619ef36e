"""One decoding step on a GPU: every path is a row, as in the model's own layers.

Axes: R rows, D width, H heads, E width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.decoding.weights import JoinedBlock, JoinedModel
from kronos.nn.layers import Rotation, rotate


class RowStep:
    """The layers of a model, applied to rows."""

    def __init__(self, weights: JoinedModel) -> None:
        self.weights = weights
        self.model = weights.model

    def embed(self, s1: Tensor, s2: Tensor, bars: Tensor) -> Tensor:
        """Ids (R,) and what their bars add (R, D) -> block inputs (R, D)."""
        return self.model.embedding(s1, s2) + bars

    def heads(self, block: JoinedBlock, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Queries (R, H, E), and keys and values (R, 2, H, E), of x (R, D)."""
        qkv = F.linear(block.norm1(x), block.qkv, block.qkv_bias)
        qkv = qkv.unflatten(-1, (3, block.n_heads, -1))
        q, k = rotate(qkv[:, :2], rotation).unbind(1)
        return q, torch.stack((k, qkv[:, 2]), 1)

    def output(self, block: JoinedBlock, x: Tensor, attended: Tensor) -> Tensor:
        """A block's input and what it attended to, each (R, D) -> its output (R, D)."""
        x = x + block.out(attended)
        gate, up = F.linear(block.norm2(x), block.gate_up).chunk(2, dim=-1)
        return torch.addmm(x, F.silu(gate) * up, block.down.t())

    def dependency_heads(self, hidden: Tensor) -> Tensor:
        """Keys and values of the dependency-aware layer: (R, D) -> (R, 2, H, E)."""
        weights = self.weights
        kv = F.linear(hidden, weights.dependency_kv, weights.dependency_kv_bias)
        return kv.unflatten(-1, (2, weights.n_dependency_heads, -1))

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(R, D) -> (R, V)."""
        return self.model.head.proj_s1(hidden)

    def s2_queries(self, s1: Tensor) -> Tensor:
        """The chosen coarse ids (R,) as queries of the dependency-aware layer: (R, H, E)."""
        queries = self.model.dep_layer.cross_attn.q_proj(self.model.embedding.emb_s1(s1))
        return queries.unflatten(-1, (self.weights.n_dependency_heads, -1))

    def s2_logits(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states and what the queries saw, each (R, D) -> (R, V)."""
        layer = self.model.dep_layer
        mixed = layer.norm(hidden + layer.cross_attn.out_proj(attended))
        return self.model.head.proj_s2(mixed)
