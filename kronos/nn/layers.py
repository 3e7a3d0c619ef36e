"""Building blocks shared by tokenizer and model.

Axes: B series, T positions, D width, H attention heads, E = D / H width of a head.

No block keeps state between calls. Attention over earlier positions is a function passed in
(`Attend`), so that one forward definition serves training, prefill and cached decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps rotated queries, keys and values (..., H, T, E) to attention outputs of q's shape."""

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, broadcastable to (..., H, T, E)."""

ROPE_BASE = 10_000.0


@lru_cache(maxsize=64)
def _rotation_table(width: int, length: int, device: torch.device) -> Rotation:
    # Always outside inference mode: an inference tensor could not be used in training.
    with torch.inference_mode(False), torch.no_grad():
        frequencies = inverse_frequencies(width).to(device)
        angles = torch.outer(torch.arange(length, device=device).float(), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()


def inverse_frequencies(width: int) -> Tensor:
    """RoPE frequencies of a head of `width` channels: (width / 2,) float32."""
    return 1.0 / (ROPE_BASE ** (torch.arange(0, width, 2).float() / width))


def rotation_table(width: int, length: int, device: torch.device | str = "cpu") -> Rotation:
    """Cosines and sines of positions 0 .. length - 1: two (length, width) float32 tensors.

    The tables are shared, never written to, and stay float32 for weights of any type: in
    bfloat16 many of 512 positions would become the same.
    """
    rounded = max(512, 1 << (length - 1).bit_length())
    cos, sin = _rotation_table(width, rounded, torch.device(device))
    return cos[:length], sin[:length]


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Applies rotary positions in half-split form: x (..., T, E) -> the same shape and type."""
    half = x.shape[-1] // 2
    # Both halves of the tables are equal: channels i and i + E/2 turn by the same angle.
    cos, sin = rotation[0][..., :half], rotation[1][..., :half]
    left, right = x.float().chunk(2, dim=-1)
    turned = (
        torch.addcmul(left * cos, right, sin, value=-1.0),
        torch.addcmul(right * cos, left, sin),
    )
    return torch.cat(turned, dim=-1).type_as(x)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a learned scale, computed in float32."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)  # one kernel, float32 inside
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return (wide * scale).type_as(x) * self.weight


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x), without biases."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.ffn_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.ffn_dropout(self.w2(F.silu(self.w1(x)) * self.w3(x)))


class Attention(nn.Module):
    """Projections of multi-head attention; which keys a query sees is the caller's decision."""

    def __init__(
        self, width: int, n_heads: int, attn_dropout: float = 0.0, resid_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.head_width = width // n_heads
        self.attn_dropout_p = attn_dropout
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.resid_dropout = nn.Dropout(resid_dropout)

    def heads(self, x: Tensor) -> Tensor:
        """(..., T, D) -> (..., H, T, E)."""
        return x.unflatten(-1, (self.n_heads, self.head_width)).transpose(-3, -2)

    def output(self, heads: Tensor) -> Tensor:
        """(..., H, T, E) -> (..., T, D)."""
        return self.resid_dropout(self.out_proj(heads.transpose(-3, -2).flatten(-2)))

    def causal(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of every position to itself and the positions before it."""
        dropout = self.attn_dropout_p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)


class TransformerBlock(nn.Module):
    """Pre-norm block: attention, then feed-forward, each added to its input."""

    def __init__(
        self,
        width: int,
        n_heads: int,
        hidden: int,
        ffn_dropout: float = 0.0,
        attn_dropout: float = 0.0,
        resid_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(width)
        self.self_attn = Attention(width, n_heads, attn_dropout, resid_dropout)
        self.norm2 = RMSNorm(width)
        self.ffn = FeedForward(width, hidden, ffn_dropout)

    def forward(self, x: Tensor, rotation: Rotation, attend: Attend | None = None) -> Tensor:
        """x (..., T, D) -> (..., T, D).

        Args:
            x: Hidden states.
            rotation: Rotary tables of the positions in x.
            attend: What attention sees; causal within x by default.
        """
        attention = self.self_attn
        h = self.norm1(x)
        q = rotate(attention.heads(attention.q_proj(h)), rotation)
        k = rotate(attention.heads(attention.k_proj(h)), rotation)
        v = attention.heads(attention.v_proj(h))
        x = x + attention.output((attend or attention.causal)(q, k, v))
        return x + self.ffn(self.norm2(x))
