"""The recipe of the bundled checkpoint: sizes, windows, losses and rates of its two stages.

Departures from upstream, each because a small model with a few hours of training needs it:
bars are read in units of the volatility before them (`kronos.normalisation`), so that every bar
of a window teaches the model; prices count more than volume (TokenizerObjective.price_weight); and
the dependency-aware layer is trained as the sampler computes it (S2Attention.UNROTATED).
"""

from __future__ import annotations

from dataclasses import replace

from kronos.nn.config import SIZES, Normalisation, published_tokenizer
from kronos.nn.model import S2Attention
from kronos.training.loop import LoopConfig
from kronos.training.objectives import ModelObjective, TokenizerObjective
from kronos.training.windows import WindowPlan

BUNDLED_TOKENIZER = replace(
    published_tokenizer(),
    d_model=128,
    ff_dim=256,
    n_enc_layers=3,
    n_dec_layers=3,
    s1_bits=8,
    s2_bits=8,
    normalisation="returns",
)

BUNDLED_MODEL = replace(
    SIZES["mini"],
    s1_bits=8,
    s2_bits=8,
    n_layers=4,
    d_model=192,
    n_heads=4,
    ff_dim=384,
    ffn_dropout_p=0.0,
    resid_dropout_p=0.0,
)

BUNDLED_WINDOWS = WindowPlan(
    contexts=(64, 128, 192, 256, 448), bars_per_batch=6144, event_weight=3.0, drop_events=0.15
)

_TOKENIZER = TokenizerObjective(price_weight=2.0, coarse_weight=0.5, quantization_weight=0.3)

BUNDLED_TOKENIZER_OBJECTIVE: dict[Normalisation, TokenizerObjective] = {
    "returns": _TOKENIZER,
    "window": replace(_TOKENIZER, price_weight=0.2),
}
"""By the normalisation of the tokenizer: that of the checkpoint's first edition is "window"."""

_MODEL = ModelObjective(s2_attention=S2Attention.UNROTATED)

BUNDLED_MODEL_OBJECTIVE: dict[Normalisation, ModelObjective] = {
    "returns": _MODEL,
    "window": replace(_MODEL, context_weight=0.1),
}


def tokenizer_objective(normalisation: Normalisation, *, is_published: bool) -> TokenizerObjective:
    """The loss of a tokenizer: upstream's own for a published one, which reads whole windows."""
    if is_published and normalisation == "window":
        return TokenizerObjective()
    return BUNDLED_TOKENIZER_OBJECTIVE[normalisation]


def model_objective(normalisation: Normalisation, *, is_published: bool) -> ModelObjective:
    """The loss of a model: upstream's own for a published one, which reads whole windows."""
    if is_published and normalisation == "window":
        return ModelObjective()
    return BUNDLED_MODEL_OBJECTIVE[normalisation]


BUNDLED_TOKENIZER_LOOP = LoopConfig(steps=1600, lr=2e-3, weight_decay=0.01, grad_clip=2.0)

BUNDLED_MODEL_LOOP = LoopConfig(steps=4600, lr=2e-3)

UPSTREAM_TOKENIZER_LOOP = LoopConfig(steps=2000, lr=2e-4)

UPSTREAM_MODEL_LOOP = LoopConfig(steps=2000, lr=4e-5)
