"""Hyper-parameters of tokenizer and model, under upstream's names.

A `config.json` of a published checkpoint holds exactly the fields without a default; an unknown
field fails. A field at its default is not written, so that published files stay as they are.
Source: the configuration files of the NeoQuasar checkpoints and the paper, arXiv 2508.02739.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

from kronos.errors import CheckpointInvalid

N_EVENT_CHANNELS = 20
"""Event channels of a bar; `kronos.events` says what they mean."""


class _Config:
    """Reading from and writing to plain mappings."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds the configuration from `config.json`.

        Raises:
            CheckpointInvalid: A field is missing, unknown, or out of range.
        """
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        missing = sorted(known - set(values) - cls._defaults().keys())
        if unknown or missing:
            raise CheckpointInvalid(
                f"{cls.__name__}: unknown fields {unknown or 'none'}, missing fields "
                f"{missing or 'none'}. Use the config.json that belongs to the weights."
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields of `config.json`."""
        values: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        defaults = self._defaults()
        return {n: v for n, v in values.items() if n not in defaults or v != defaults[n]}

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Optional fields of a file, and their defaults."""
        return {
            f.name: f.default
            for f in fields(cls)  # type: ignore[arg-type]
            if f.default is not MISSING
        }


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckpointInvalid(message)


def _check_common(config: TokenizerConfig | ModelConfig, counts: tuple[str, ...]) -> None:
    """Types and ranges of the fields that both configurations have."""
    for name in ("d_model", "n_heads", "ff_dim", "s1_bits", "s2_bits", *counts):
        value = getattr(config, name)
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        _require(is_count, f"{name} must be a whole number from 1, found {value!r}.")
    for name in ("s1_bits", "s2_bits"):
        value = getattr(config, name)
        _require(value <= 16, f"{name} must be at most 16, found {value}.")
    for name in ("ffn_dropout_p", "attn_dropout_p", "resid_dropout_p"):
        value = getattr(config, name)
        _require(
            isinstance(value, int | float) and 0 <= value < 1,
            f"{name} must be from 0 to below 1, found {value!r}.",
        )
    _require(
        config.d_model % (2 * config.n_heads) == 0,
        f"d_model {config.d_model} must be a multiple of twice n_heads {config.n_heads}: rotary "
        "positions turn pairs of channels.",
    )


@dataclass(frozen=True, slots=True)
class TokenizerConfig(_Config):
    """Candle tokenizer.

    Attributes:
        d_in: Columns of a candle (6).
        n_enc_layers: Encoder layers as upstream counts them: one more than the blocks built.
        n_dec_layers: Decoder layers, counted the same way.
        s1_bits: Bits of the coarse token.
        s2_bits: Bits of the fine token.
        beta: Weight of the commitment loss.
        gamma0: Weight of the per-sample entropy inside the entropy penalty.
        gamma: Weight of the codebook entropy inside the entropy penalty.
        zeta: Weight of the entropy penalty.
        group_size: Bits per group when the codebook entropy is estimated.
    """

    d_in: int
    d_model: int
    n_heads: int
    ff_dim: int
    n_enc_layers: int
    n_dec_layers: int
    ffn_dropout_p: float
    attn_dropout_p: float
    resid_dropout_p: float
    s1_bits: int
    s2_bits: int
    beta: float
    gamma0: float
    gamma: float
    zeta: float
    group_size: int

    def __post_init__(self) -> None:
        _check_common(self, ("d_in", "n_enc_layers", "n_dec_layers", "group_size"))
        bits = self.s1_bits + self.s2_bits
        _require(
            bits % self.group_size == 0,
            f"{bits} bits cannot be split into groups of {self.group_size}.",
        )


@dataclass(frozen=True, slots=True)
class ModelConfig(_Config):
    """Autoregressive model over pairs of tokens.

    Attributes:
        s1_bits: Bits of the coarse token; its vocabulary is 2**s1_bits.
        s2_bits: Bits of the fine token.
        learn_te: Whether the calendar embeddings are learned (else fixed sinusoids).
        n_event_channels: Event channels the model reads beside its tokens: `N_EVENT_CHANNELS`,
            or 0 for a model without an event embedding, such as the published ones.
    """

    s1_bits: int
    s2_bits: int
    n_layers: int
    d_model: int
    n_heads: int
    ff_dim: int
    ffn_dropout_p: float
    attn_dropout_p: float
    resid_dropout_p: float
    token_dropout_p: float
    learn_te: bool
    n_event_channels: int = 0

    def __post_init__(self) -> None:
        _check_common(self, ("n_layers",))
        n_channels = self.n_event_channels
        _require(
            type(n_channels) is int and n_channels in (0, N_EVENT_CHANNELS),
            f"n_event_channels must be {N_EVENT_CHANNELS}, or 0 for a model that reads no events; "
            f"found {n_channels!r}.",
        )
        _require(
            self.d_model % 8 == 0,
            f"d_model {self.d_model} is no multiple of 8: the dependency-aware layer has 4 heads.",
        )


def _model(layers: int, width: int, heads: int, ff: int, drop: tuple[float, ...]) -> ModelConfig:
    ffn, attention, residual, token = drop
    return ModelConfig(
        s1_bits=10,
        s2_bits=10,
        n_layers=layers,
        d_model=width,
        n_heads=heads,
        ff_dim=ff,
        ffn_dropout_p=ffn,
        attn_dropout_p=attention,
        resid_dropout_p=residual,
        token_dropout_p=token,
        learn_te=True,
    )


SIZES: dict[str, ModelConfig] = {
    "mini": _model(4, 256, 4, 512, (0.2, 0.0, 0.2, 0.0)),
    "small": _model(8, 512, 8, 1024, (0.25, 0.1, 0.25, 0.1)),
    "base": _model(12, 832, 16, 2048, (0.2, 0.0, 0.2, 0.0)),
    "large": _model(18, 1664, 32, 3072, (0.0, 0.0, 0.0, 0.0)),
}
"""The published model sizes."""


def published_tokenizer(group_size: int = 4) -> TokenizerConfig:
    """Kronos-Tokenizer-base (group_size 4) or Kronos-Tokenizer-2k (group_size 5)."""
    return TokenizerConfig(
        d_in=6,
        d_model=256,
        n_heads=4,
        ff_dim=512,
        n_enc_layers=4,
        n_dec_layers=4,
        ffn_dropout_p=0.0,
        attn_dropout_p=0.0,
        resid_dropout_p=0.0,
        s1_bits=10,
        s2_bits=10,
        beta=0.05,
        gamma0=1.0,
        gamma=1.1,
        zeta=0.05,
        group_size=group_size,
    )
