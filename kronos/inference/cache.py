"""Keys and values of a context, kept once for all paths that continue it.

Axes: N paths, T context positions, H heads, E width of a head, S positions generated so far,
t positions asked about at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.nn.layers import Attend


class SharedPrefixCache:
    """Attention memory of N continuations of one series.

    The prefix is stored once; only what a path generated itself is stored per path. Entries are
    addressed by layer number.
    """

    def __init__(self, capacity: int) -> None:
        """Args:
        capacity: Most positions a path will append.
        """
        self.capacity = capacity
        self._prefix: dict[int, tuple[Tensor, Tensor]] = {}
        self._suffix: dict[int, tuple[Tensor, Tensor]] = {}
        self._n_suffix: dict[int, int] = {}

    def fork(self) -> SharedPrefixCache:
        """A cache with the same prefix, and a suffix of its own for other paths."""
        other = SharedPrefixCache(self.capacity)
        other._prefix = self._prefix
        return other

    @property
    def n_bytes(self) -> int:
        """Bytes held, the prefix included."""
        kept = [*self._prefix.values(), *self._suffix.values()]
        return sum(t.numel() * t.element_size() for pair in kept for t in pair)

    def reading(self, layer: int) -> Attend:
        """Attention for the context (1, H, T, E): causal, remembered as the prefix of `layer`."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.store_prefix(layer, k[0], v[0])
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        return attend

    def continuing(self, layer: int) -> Attend:
        """Attention for all new positions (N, H, t, E) at once: appended, then attended to."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.append(layer, k, v, 0)
            return self.attend(layer, q)

        return attend

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys (H, E, T) and values (H, T, E) of the context."""
        return self._prefix[layer]

    def store_prefix(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Keeps keys and values of the context, each (H, T, E)."""
        # Keys lie as the product with the queries wants them, which is half of its time.
        self._prefix[layer] = (k.transpose(-2, -1).contiguous(), v.contiguous())

    def append(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        """Puts t positions of every path, each (N, H, t, E), behind the first `start`."""
        if layer not in self._suffix:
            shape = (*k.shape[:2], self.capacity, k.shape[-1])
            self._suffix[layer] = (k.new_empty(shape), v.new_empty(shape))
        stop = start + k.shape[-2]
        keys, values = self._suffix[layer]
        keys[..., start:stop, :] = k
        values[..., start:stop, :] = v
        self._n_suffix[layer] = stop

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """Queries of the last t positions (N, H, t, E) against prefix and suffix."""
        N, H, t, E = q.shape
        k, v = self._prefix[layer]
        T, S = v.shape[-2], self._n_suffix.get(layer, 0)
        # All paths ask the same prefix: one matrix product per head.
        scores = (q.transpose(0, 1).reshape(H, N * t, E) @ k).view(H, N, t, T)
        if S:
            keys, values = (kept[..., :S, :] for kept in self._suffix[layer])
            own = (q @ keys.transpose(-2, -1)).transpose(0, 1)
            if t > 1:
                later = torch.ones(t, S, dtype=torch.bool, device=q.device).triu(S - t + 1)
                own = own.masked_fill(later, float("-inf"))
            scores = torch.cat((scores, own), -1)
        weights = torch.softmax(scores.float().mul_(E**-0.5), dim=-1).type_as(q)
        shared = (weights[..., :T].reshape(H, N * t, T) @ v).view(H, N, t, E).transpose(0, 1)
        return shared + weights[..., T:].transpose(0, 1) @ values if S else shared
