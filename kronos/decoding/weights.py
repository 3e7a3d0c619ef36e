"""A model's weights as decoding uses them: fused projections, in the number format that pays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from kronos.decoding import TILE
from kronos.decoding.prefix_cache import PrefixCache
from kronos.decoding.sequence import TokenContext
from kronos.nn.layers import TransformerBlock
from kronos.nn.model import Kronos

LEAST_GAIN = 1.5
"""How many times faster bfloat16 must be. Rounding is a price: it is not paid for little."""
LEAST_PARAMETERS = 50_000_000
"""Smaller models are fast enough in float32, and then draw the same tokens everywhere."""
MOST_ERROR = 2e-2
"""Largest relative error of a product, about five times what rounding to 8 bits makes."""
TRIALS = 5


class FusedBlock:
    """The weights of a transformer block."""

    def __init__(self, block: TransformerBlock) -> None:
        attention, ffn = block.self_attn, block.ffn
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.n_heads = attention.n_heads
        self.qkv, self.qkv_bias = fuse(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = attention.out_proj
        self.gate_up, _ = fuse(ffn.w1, ffn.w3)
        self.down = ffn.w2.weight


class FusedModel:
    """The weights of a model."""

    def __init__(self, model: Kronos) -> None:
        self.model = model
        self.blocks = [FusedBlock(cast("TransformerBlock", b)) for b in model.transformer]
        self.dependency = len(self.blocks)
        """Layer number of the dependency-aware layer in caches."""
        attention = model.dep_layer.cross_attn
        self.n_dependency_heads = attention.n_heads
        self.dependency_kv, self.dependency_kv_bias = fuse(attention.k_proj, attention.v_proj)

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
        attend = [cache.prefilling(i) for i in range(self.dependency)]
        hidden = model.run_blocks(x, model.rotation(x.shape[1], x.device), attend)
        layer = model.dep_layer.cross_attn
        cache.store(
            self.dependency,
            layer.heads(layer.k_proj(hidden))[0],
            layer.heads(layer.v_proj(hidden))[0],
        )
        return hidden[0, -1]


def fuse(*layers: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of layers that read the same input, as one matrix and one vector.

    The layers' parameters become views of them, so the memory is shared.
    """
    weight = _concatenated([layer.weight for layer in layers])
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return weight, _concatenated(biases) if biases else None


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
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


@torch.inference_mode()
def fastest_dtype(model: Kronos, device: torch.device) -> torch.dtype:
    """The number format to compute in on a device, by a check of some milliseconds.

    A CUDA device that has bfloat16 units uses them. A processor is measured with the widest
    product of a decoding step: many compute bfloat16 only by conversion, slower than float32.
    """
    if model.n_base_parameters < LEAST_PARAMETERS:
        return torch.float32
    if device.type == "cuda":
        capable = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if capable else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _bfloat16_pays(model) else torch.float32


def _bfloat16_pays(model: Kronos) -> bool:
    block = cast("TransformerBlock", model.transformer[0])
    weight = block.ffn.w1.weight.float()
    x = torch.randn(weight.shape[1], TILE, generator=torch.Generator().manual_seed(0))
    exact, half = weight @ x, (weight.bfloat16() @ x.bfloat16()).float()
    if (half - exact).norm() > MOST_ERROR * exact.norm():
        return False
    return _seconds(weight, x) > LEAST_GAIN * _seconds(weight.bfloat16(), x.bfloat16())


def _seconds(weight: Tensor, x: Tensor) -> float:
    best = float("inf")
    for _ in range(TRIALS):
        started = time.perf_counter()
        for _ in range(4):
            torch.mm(weight, x)
        best = min(best, time.perf_counter() - started)
    return best
