"""Keys and values of a context, kept once for all paths that continue it.

Axes: B series, N paths per series, H heads, T context positions (right-padded to the longest
series), S positions generated so far, E width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.nn.layers import Attend


class SharedPrefixCache:
    """Attention memory of N continuations of each of B series.

    The prefix (B, H, T, E) is stored once per series; only what a path generated itself,
    (B, N, H, S, E), is stored per path. Entries are addressed by layer number.
    """

    def __init__(self, lengths: Tensor, capacity: int) -> None:
        """Args:
        lengths: (B,) true context lengths; later positions are padding.
        capacity: Most positions a path will append.
        """
        self.lengths = lengths
        self.capacity = capacity
        self._prefix: dict[int, tuple[Tensor, Tensor]] = {}
        self._suffix: dict[int, tuple[Tensor, Tensor]] = {}
        self._n_suffix: dict[int, int] = {}

    def fork(self) -> SharedPrefixCache:
        """A cache with the same prefix, and a suffix of its own for other paths."""
        other = SharedPrefixCache(self.lengths, self.capacity)
        other._prefix = self._prefix
        other._n_suffix = dict.fromkeys(self._prefix, 0)
        return other

    def reading(self, layer: int) -> Attend:
        """Attention for the context: causal, and remembered as the prefix of `layer`."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.store_prefix(layer, k, v)
            # Right padding comes after every real position, so causality alone hides it.
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        return attend

    def continuing(self, layer: int) -> Attend:
        """Attention for new positions (B, N, H, t, E): appended first, then attended to."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.append(layer, k, v)
            return self.attend(layer, q)

        return attend

    def store_prefix(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Keeps keys and values of the context, each (B, H, T, E)."""
        self._prefix[layer] = (k, v)
        self._n_suffix[layer] = 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Adds positions of every path, each (B, N, H, t, E)."""
        if layer not in self._suffix:
            shape = (*k.shape[:3], self.capacity, k.shape[-1])
            self._suffix[layer] = (k.new_empty(shape), v.new_empty(shape))
        start = self._n_suffix[layer]
        stop = start + k.shape[-2]
        keys, values = self._suffix[layer]
        keys[..., start:stop, :] = k
        values[..., start:stop, :] = v
        self._n_suffix[layer] = stop

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """Queries of the last t positions (B, N, H, t, E) against prefix and suffix."""
        B, N, H, t, E = q.shape
        k, v = self._prefix[layer]
        T, S = k.shape[-2], self._n_suffix[layer]
        # All paths of a series ask the same prefix: one matrix product per head.
        by_head = q.transpose(1, 2).reshape(B, H, N * t, E)
        prefix_scores = (by_head @ k.transpose(-2, -1)).view(B, H, N, t, T).transpose(1, 2)
        prefix_scores = self._mask_padding(prefix_scores, T)
        scores = [prefix_scores]
        if S:
            keys, values = (kept[..., :S, :] for kept in self._suffix[layer])
            own = q @ keys.transpose(-2, -1)
            if t > 1:
                later = torch.ones(t, S, dtype=torch.bool, device=q.device).triu(S - t + 1)
                own = own.masked_fill(later, float("-inf"))
            scores.append(own)
        weights = torch.softmax(torch.cat(scores, -1).float() * E**-0.5, dim=-1).type_as(q)
        shared = weights[..., :T].transpose(1, 2).reshape(B, H, N * t, T) @ v
        mixed = shared.view(B, H, N, t, E).transpose(1, 2)
        return mixed + weights[..., T:] @ values if S else mixed

    def _mask_padding(self, scores: Tensor, T: int) -> Tensor:
        if bool((self.lengths == T).all()):
            return scores
        padding = torch.arange(T, device=scores.device) >= self.lengths.to(scores.device)[:, None]
        return scores.masked_fill(padding[:, None, None, None, :], float("-inf"))
