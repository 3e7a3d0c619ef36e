"""Binary Spherical Quantization: a unit vector becomes its signs.

Source: Zhao et al., arXiv 2406.07548; loss terms as upstream trains them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.nn.config import TokenizerConfig


def signs(z: Tensor) -> Tensor:
    """Signs of z in {-1, +1}; zero counts as -1. Gradients pass straight through."""
    hard = torch.where(z > 0, 1.0, -1.0).type_as(z)
    return z + (hard - z).detach()


def bits_to_ids(code: Tensor) -> Tensor:
    """Code (..., n_bits) -> ids (...,) int64; bit i has weight 2**i and is set where code >= 0."""
    weights = 1 << torch.arange(code.shape[-1], device=code.device)
    return ((code >= 0).long() * weights).sum(-1)


def ids_to_bits(ids: Tensor, n_bits: int) -> Tensor:
    """Ids (...,) -> signs (..., n_bits) float32 in {-1, +1}: the inverse of `bits_to_ids`."""
    weights = 1 << torch.arange(n_bits, device=ids.device)
    return ((ids.unsqueeze(-1) & weights) != 0).float() * 2.0 - 1.0


def quantize(z: Tensor) -> tuple[Tensor, Tensor]:
    """z (..., n_bits) -> (unit vector, quantized unit vector), both (..., n_bits)."""
    unit = F.normalize(z, dim=-1)
    return unit, signs(unit) / math.sqrt(z.shape[-1])


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * torch.log(probabilities + 1e-8)).sum(-1)


def quantization_loss(unit: Tensor, quantized: Tensor, config: TokenizerConfig) -> Tensor:
    """Commitment plus entropy penalty: a scalar.

    The penalty wants each position sure of its code (low entropy per sample) and all codes
    used (high entropy of the mean, estimated over groups of `group_size` bits).
    """
    n_bits = unit.shape[-1]
    scale = math.sqrt(n_bits)
    commitment = (quantized.detach() - unit).pow(2).sum(-1).mean()

    p_bit = torch.sigmoid(-4.0 * unit / scale)
    per_sample = _entropy(torch.stack((p_bit, 1.0 - p_bit), dim=-1)).sum(-1).mean()

    group = config.group_size
    patterns = ids_to_bits(torch.arange(1 << group, device=unit.device), group) / scale
    groups = unit.unflatten(-1, (n_bits // group, group))
    p_group = torch.softmax(2.0 * groups @ patterns.type_as(unit).T, dim=-1)
    codebook = _entropy(p_group.flatten(0, -3).mean(0)).sum()

    penalty = config.gamma0 * per_sample - config.gamma * codebook
    return config.beta * commitment + config.zeta * penalty
