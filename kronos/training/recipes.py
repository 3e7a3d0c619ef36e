"""The recipe of the bundled checkpoint: sizes, windows, losses and rates of its two stages.

Departures from upstream, each because a small model with a few hours of training needs it:
prices count in units of one bar's movement (TokenizerObjective.price_weight); the model learns
mostly the bars after the context (ModelObjective.context_weight); and its dependency-aware
layer is trained as the sampler computes it (S2Attention.UNROTATED).
"""

from __future__ import annotations

from dataclasses import replace

from kronos.nn.config import SIZES, published_tokenizer
from kronos.nn.model import S2Attention
from kronos.training.loop import LoopConfig
from kronos.training.objectives import ModelObjective, TokenizerObjective
from kronos.training.windows import WindowPlan

BUNDLED_TOKENIZER = replace(
    published_tokenizer(), d_model=128, ff_dim=256, n_enc_layers=3, n_dec_layers=3
)

BUNDLED_MODEL = replace(
    SIZES["mini"],
    n_layers=4,
    d_model=192,
    n_heads=4,
    ff_dim=384,
    ffn_dropout_p=0.0,
    resid_dropout_p=0.0,
)

BUNDLED_WINDOWS = WindowPlan(contexts=(64, 96, 128, 128, 192, 448), bars_per_batch=6144)

BUNDLED_TOKENIZER_OBJECTIVE = TokenizerObjective(
    price_weight=0.2, coarse_weight=0.5, quantization_weight=0.3
)

BUNDLED_MODEL_OBJECTIVE = ModelObjective(context_weight=0.1, s2_attention=S2Attention.UNROTATED)

BUNDLED_TOKENIZER_LOOP = LoopConfig(steps=2600, lr=2e-3, weight_decay=0.01, grad_clip=2.0)

BUNDLED_MODEL_LOOP = LoopConfig(steps=2000, lr=2e-3)

UPSTREAM_TOKENIZER_LOOP = LoopConfig(steps=2000, lr=2e-4)

UPSTREAM_MODEL_LOOP = LoopConfig(steps=2000, lr=4e-5)
