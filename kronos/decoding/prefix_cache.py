"""Keys and values of a context, stored once for all paths that continue it.

Axes: N paths, T context positions, H heads, E width of a head, S positions that continue a path, t
of them queried.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.nn.layers import Attend


class PrefixCache:
    """Attention memory of the context of one series, by layer number."""

    def __init__(self) -> None:
        self._prefix: dict[int, tuple[Tensor, Tensor]] = {}

    def prefilling(self, layer: int) -> Attend:
        """Causal attention of the context (1, H, T, E), stored as the prefix of `layer`."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.store(layer, k[0], v[0])
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        return attend

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Stores keys and values of the context, each (H, T, E)."""
        # Keys in the layout of the product with the queries, which takes half of the time then.
        self._prefix[layer] = (k.transpose(-2, -1).contiguous(), v.contiguous())

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys (H, E, T) and values (H, T, E) of the context."""
        return self._prefix[layer]

    def continuing(self, layer: int) -> Attend:
        """Attention of the paths' last t positions (N, H, t, E) to the prefix and all S of theirs.

        Causal: of the S keys (N, H, S, E) that follow the prefix, the last query sees all.
        """
        prefix_k, prefix_v = self._prefix[layer]
        T = prefix_v.shape[-2]

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            N, H, t, E = q.shape
            # All paths query the same prefix: one matrix product per head.
            shared = (q.transpose(0, 1).reshape(H, N * t, E) @ prefix_k).view(H, N, t, T)
            own = (q @ k.transpose(-2, -1)).transpose(0, 1)
            S = k.shape[-2]
            later = torch.ones(t, S, dtype=torch.bool, device=q.device).triu(S - t + 1)
            scores = torch.cat((shared, own.masked_fill(later, float("-inf"))), -1)
            weights = torch.softmax(scores.float().mul_(E**-0.5), dim=-1).type_as(q)
            mixed = (weights[..., :T].reshape(H, N * t, T) @ prefix_v).view(H, N, t, E)
            return mixed.transpose(0, 1) + weights[..., T:].transpose(0, 1) @ v

        return attend
