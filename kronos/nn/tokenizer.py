"""KronosTokenizer: candles to pairs of discrete tokens and back, causally."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kronos.nn.config import TokenizerConfig
from kronos.nn.layers import Attend, Rotation, TransformerBlock, rotation_table
from kronos.nn.quantizer import bits_to_ids, ids_to_bits, quantization_loss, quantize


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What the tokenizer makes of candles x.

    Attributes:
        coarse: (B, T, 6) decoded from the coarse bits alone.
        full: (B, T, 6) decoded from all bits.
        quantized: (B, T, n_bits) codes, each entry +-1/sqrt(n_bits).
        loss: Scalar quantization loss.
    """

    coarse: Tensor
    full: Tensor
    quantized: Tensor
    loss: Tensor


class KronosTokenizer(nn.Module):
    """Encoder, Binary Spherical Quantizer and decoder over normalised candles."""

    def __init__(self, **config: Any) -> None:
        """Takes the fields of `TokenizerConfig` as keywords, as upstream does."""
        super().__init__()
        c = self.config = TokenizerConfig.from_dict(config)
        block = partial(
            TransformerBlock,
            c.d_model,
            c.n_heads,
            c.ff_dim,
            c.ffn_dropout_p,
            c.attn_dropout_p,
            c.resid_dropout_p,
        )
        self.n_bits = c.s1_bits + c.s2_bits
        self.embed = nn.Linear(c.d_in, c.d_model)
        self.head = nn.Linear(c.d_model, c.d_in)
        # Upstream builds one block less than its configuration counts.
        self.encoder = nn.ModuleList(block() for _ in range(c.n_enc_layers - 1))
        self.decoder = nn.ModuleList(block() for _ in range(c.n_dec_layers - 1))
        self.quant_embed = nn.Linear(c.d_model, self.n_bits)
        self.post_quant_embed_pre = nn.Linear(c.s1_bits, c.d_model)
        self.post_quant_embed = nn.Linear(self.n_bits, c.d_model)

    def rotation(self, length: int, device: torch.device) -> Rotation:
        """Rotary tables of the blocks for positions 0 .. length - 1."""
        return rotation_table(self.config.d_model // self.config.n_heads, length, device)

    def _project(self, x: Tensor) -> Tensor:
        h, rotation = self.embed(x), self.rotation(x.shape[-2], x.device)
        for block in self.encoder:
            h = block(h, rotation)
        return self.quant_embed(h)

    def decode_hidden(
        self, h: Tensor, rotation: Rotation | None = None, attend: list[Attend] | None = None
    ) -> Tensor:
        """Decoder blocks and head: (..., T, D) -> (..., T, 6)."""
        rotation = rotation or self.rotation(h.shape[-2], h.device)
        for i, block in enumerate(self.decoder):
            h = block(h, rotation, attend[i] if attend else None)
        return self.head(h)

    def forward(self, x: Tensor) -> Reconstruction:
        """Reconstructs normalised candles x (B, T, 6)."""
        unit, quantized = quantize(self._project(x))
        return Reconstruction(
            coarse=self.decode_hidden(
                self.post_quant_embed_pre(quantized[..., : self.config.s1_bits])
            ),
            full=self.decode_hidden(self.post_quant_embed(quantized)),
            quantized=quantized,
            loss=quantization_loss(unit, quantized, self.config),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised candles (B, T, 6) -> coarse and fine ids, each (B, T) int64."""
        _, quantized = quantize(self._project(x))
        s1_bits = self.config.s1_bits
        return bits_to_ids(quantized[..., :s1_bits]), bits_to_ids(quantized[..., s1_bits:])

    def embed_ids(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Ids (..., T) -> decoder inputs (..., T, D)."""
        code = torch.cat(
            (ids_to_bits(s1, self.config.s1_bits), ids_to_bits(s2, self.config.s2_bits)), dim=-1
        )
        weight = self.post_quant_embed.weight
        return self.post_quant_embed((code / math.sqrt(self.n_bits)).to(weight.dtype))

    def decode(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Coarse and fine ids (B, T) -> normalised candles (B, T, 6)."""
        return self.decode_hidden(self.embed_ids(s1, s2))
