"""Hyper-parameters of tokenizer and model, under upstream's names.

A `config.json` of a published checkpoint holds exactly the fields without a default; an unknown
field fails. A field at its default is not written, so that published files stay as they are.
Source: the configuration files of the NeoQuasar checkpoints and the paper, arXiv 2508.02739.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from kronos.errors import CheckpointInvalid
from kronos.nn.header import Header, n_blocks, read_header
from kronos.system import printable, read_json, shown

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

N_EVENT_CHANNELS = 20
"""Event channels of a bar; `kronos.events` says what they mean."""
EventAlignment = Literal["bar", "ahead"]
EVENT_ALIGNMENTS: tuple[EventAlignment, ...] = ("bar", "ahead")
"""Which schedule the event row of a bar holds: that of the bar itself, or of the next one."""
Normalisation = Literal["window", "returns"]
NORMALISATIONS: tuple[Normalisation, ...] = ("window", "returns")
"""What a tokenizer reads of candles; `kronos.normalisation` says what they are."""

MOST = {
    "d_in": 64, "d_model": 8192, "n_heads": 256, "ff_dim": 32768, "s1_bits": 16, "s2_bits": 16,
    "n_layers": 128, "n_enc_layers": 128, "n_dec_layers": 128, "group_size": 16,
}  # fmt: skip
"""Largest value of every count in a configuration. The largest published model has 18 layers of
width 1,664, 32 heads and 3,072 inner units, and tokens of 10 and 10 bits."""


_BUFFERS = "tokenizer.bsq."
"""What the names of whole numbers begin with, which follow from the configuration."""


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
        unknown = [printable(name, 40) for name in sorted(set(values) - known)[:9]]
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
        _require(
            type(value) is int and 1 <= value <= MOST[name],
            f"{name} must be a whole number from 1 to {MOST[name]:,}, found {shown(value)}.",
        )
    for name in ("ffn_dropout_p", "attn_dropout_p", "resid_dropout_p"):
        _require_share(config, name)
    _require(
        config.d_model % (2 * config.n_heads) == 0,
        f"d_model {config.d_model} must be a multiple of twice n_heads {config.n_heads}: rotary "
        "positions turn pairs of channels.",
    )


def _require_share(config: TokenizerConfig | ModelConfig, name: str) -> None:
    value = getattr(config, name)
    _require(
        type(value) in (int, float) and 0 <= value < 1,
        f"{name} must be from 0 to below 1, found {shown(value)}.",
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
        normalisation: One of `NORMALISATIONS`; "window" is the published one.
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
    normalisation: Normalisation = NORMALISATIONS[0]

    def __post_init__(self) -> None:
        _check_common(self, ("d_in", "n_enc_layers", "n_dec_layers", "group_size"))
        for name in ("beta", "gamma0", "gamma", "zeta"):
            value = getattr(self, name)
            _require(
                type(value) in (int, float) and -1e6 < value < 1e6 and math.isfinite(value),
                f"{name} must be a number of less than 1,000,000, found {shown(value)}.",
            )
        bits = self.s1_bits + self.s2_bits
        _require(
            bits % self.group_size == 0,
            f"{bits} bits cannot be split into groups of {self.group_size}.",
        )
        _require(
            self.normalisation in NORMALISATIONS,
            f"normalisation must be {' or '.join(NORMALISATIONS)}, found "
            f"{shown(self.normalisation)}.",
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
        event_alignment: One of `EVENT_ALIGNMENTS`: the rows that the model was trained with.
            "bar" is what every model has that was made before there was a choice.
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
    event_alignment: EventAlignment = EVENT_ALIGNMENTS[0]

    def __post_init__(self) -> None:
        _check_common(self, ("n_layers",))
        _require_share(self, "token_dropout_p")
        _require(
            type(self.learn_te) is bool,
            f"learn_te must be true or false, found {shown(self.learn_te)}.",
        )
        n_channels = self.n_event_channels
        _require(
            type(n_channels) is int and n_channels in (0, N_EVENT_CHANNELS),
            f"n_event_channels must be {N_EVENT_CHANNELS}, or 0 for a model that reads no events; "
            f"found {shown(n_channels)}.",
        )
        _require(
            self.event_alignment in EVENT_ALIGNMENTS,
            f"event_alignment must be {' or '.join(EVENT_ALIGNMENTS)}, found "
            f"{shown(self.event_alignment)}.",
        )
        _require(
            self.d_model % 8 == 0,
            f"d_model {self.d_model} is no multiple of 8: the dependency-aware layer has 4 heads.",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The JSON object in the `config.json` of a checkpoint folder, not checked further.

    Raises:
        CheckpointInvalid: It is missing or no such object.
    """
    path = folder / CONFIG_NAME
    try:
        config = read_json(path)
    except FileNotFoundError as exc:
        raise CheckpointInvalid(
            f"{path} is missing. A checkpoint folder holds {CONFIG_NAME} and {WEIGHTS_NAME}."
        ) from exc
    except (OSError, ValueError) as exc:
        raise CheckpointInvalid(
            f"{path} is not valid JSON that can be read: {printable(exc)}. Restore the file, or "
            "choose another model."
        ) from exc
    if not isinstance(config, dict):
        raise CheckpointInvalid(f"{path} must hold a JSON object, found {type(config).__name__}.")
    return config


def read_weights_header(folder: Path) -> Header:
    """The header of the weights of a checkpoint folder.

    Raises:
        CheckpointInvalid: It cannot be read.
    """
    path = folder / WEIGHTS_NAME
    try:
        return read_header(path)
    except (OSError, ValueError) as exc:
        raise CheckpointInvalid(
            f"{path} cannot be read as safetensors: {printable(exc)}. Copy or download the file "
            "again."
        ) from exc


def require_same_sizes(config: ModelConfig | TokenizerConfig, header: Header, folder: Path) -> None:
    """Compare layers, widths and vocabularies of a configuration with those of the weights.

    Raises:
        CheckpointInvalid: They differ.
    """
    if isinstance(config, ModelConfig):
        blocks = {"transformer": ("n_layers", config.n_layers)}
        matrices = {
            "embedding.emb_s1.weight": (2**config.s1_bits, config.d_model),
            "embedding.emb_s2.weight": (2**config.s2_bits, config.d_model),
        }
    else:
        blocks = {
            "encoder": ("n_enc_layers", config.n_enc_layers - 1),
            "decoder": ("n_dec_layers", config.n_dec_layers - 1),
        }
        matrices = {
            "embed.weight": (config.d_model, config.d_in),
            "quant_embed.weight": (config.s1_bits + config.s2_bits, config.d_model),
        }
    faults = []
    for stem, (name, n_wanted) in blocks.items():
        if (n := n_blocks(header, stem)) != n_wanted:
            faults.append(f"{name} means {n_wanted} blocks {stem}.N, the weights have {n}")
        if n_wanted:
            matrices[f"{stem}.0.ffn.w1.weight"] = (config.ff_dim, config.d_model)
    for name, shape in matrices.items():
        facts = header.tensors.get(name)
        if facts is None:
            faults.append(f"missing {name}")
        elif facts.shape != shape:
            faults.append(f"{name} is {facts.shape}, expected {shape}")
    faults += [
        f"{name} has the type {facts.dtype}, which is no type of parameters"
        for name, facts in header.tensors.items()
        if not facts.is_float and not name.startswith(_BUFFERS)
    ]
    if faults:
        raise misfit(folder, faults)


def misfit(folder: Path, faults: list[str]) -> CheckpointInvalid:
    """The error for weights that do not fit their configuration."""
    shown = "; ".join(printable(each, 160) for each in faults[:6])
    more = "; ..." if len(faults) > 6 else ""
    return CheckpointInvalid(
        f"{folder / WEIGHTS_NAME} does not fit its {CONFIG_NAME} ({len(faults)} faults): "
        f"{shown}{more}. Use the two files of one checkpoint."
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
