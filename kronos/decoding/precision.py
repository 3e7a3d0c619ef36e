"""Choosing the number format a model computes in: bfloat16 where it pays, float32 elsewhere."""

from __future__ import annotations

import time
from typing import cast

import torch
from torch import Tensor

from kronos.decoding.batch import TILE
from kronos.nn.layers import TransformerBlock
from kronos.nn.model import Kronos

LEAST_GAIN = 1.5
"""How many times faster bfloat16 must be. Rounding is a price: it is not paid for little."""
LEAST_PARAMETERS = 50_000_000
"""Smaller models answer fast enough in float32, and then draw the same tokens everywhere."""
MOST_ERROR = 2e-2
"""Largest relative error of a product, about five times what rounding to 8 bits makes."""
TRIALS = 5


@torch.inference_mode()
def fastest_dtype(model: Kronos, device: torch.device) -> torch.dtype:
    """The format to compute in on a device, by a check of some milliseconds.

    A CUDA device that has bfloat16 units uses them. A processor is tried with the widest product
    of a decoding step: many compute bfloat16 only by conversion, slower than float32.
    """
    if model.n_base_parameters < LEAST_PARAMETERS:
        return torch.float32
    if device.type == "cuda":
        capable = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if capable else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _pays(model) else torch.float32


def _pays(model: Kronos) -> bool:
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
