"""A model's weights as decoding uses them: projections of one input joined to one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.tokens import TokenContext
from kronos.nn.layers import TransformerBlock
from kronos.nn.model import Kronos


class JoinedBlock:
    """The weights of a transformer block."""

    def __init__(self, block: TransformerBlock) -> None:
        attention, ffn = block.self_attn, block.ffn
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.n_heads = attention.n_heads
        self.qkv, self.qkv_bias = joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = attention.out_proj
        self.gate_up, _ = joined(ffn.w1, ffn.w3)
        self.down = ffn.w2.weight


class JoinedModel:
    """The weights of a model."""

    def __init__(self, model: Kronos) -> None:
        self.model = model
        self.blocks = [JoinedBlock(cast("TransformerBlock", b)) for b in model.transformer]
        self.dependency = len(self.blocks)
        """The number under which caches keep the dependency-aware layer."""
        attention = model.dep_layer.cross_attn
        self.n_dependency_heads = attention.n_heads
        self.dependency_kv, self.dependency_kv_bias = joined(attention.k_proj, attention.v_proj)

    @property
    def n_heads(self) -> list[int]:
        """Attention heads of every layer that is cached."""
        return [*(block.n_heads for block in self.blocks), self.n_dependency_heads]

    def read_context(self, context: TokenContext, first: int, cache: PrefixCache) -> Tensor:
        """Fills the prefix of a cache with a context from its bar `first` on.

        Returns:
            The hidden state of the last bar: (D,).
        """
        model = self.model
        stamp, events = context.bars(slice(first, len(context)))
        x = model.embed(
            context.s1[None, first:],
            context.s2[None, first:],
            stamp[None],
            None if events is None else events[None],
        )
        attend = [cache.reading(i) for i in range(self.dependency)]
        hidden = model.run_blocks(x, model.rotation(x.shape[1], x.device), attend)
        layer = model.dep_layer.cross_attn
        cache.store(
            self.dependency,
            layer.heads(layer.k_proj(hidden))[0],
            layer.heads(layer.v_proj(hidden))[0],
        )
        return hidden[0, -1]


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
