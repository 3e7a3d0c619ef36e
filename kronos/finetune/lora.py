"""Low-rank adapters by peft: added to a model, and their tensors.

The query and value projections of the transformer's blocks are adapted, or all of their matrices,
and the event embedding if events are learned. Tokenizer, embeddings and heads stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from kronos.errors import InvalidRequest
from kronos.extras import require
from kronos.finetune.settings import ADAPTER_RANK
from kronos.nn.model import Kronos

__all__ = ["LoraSettings", "Targets", "add_lora", "lora_tensors", "n_trained"]

Targets = Literal["attention", "blocks"]

# A plain list of names would also match the dependency-aware layer.
_PATTERNS: dict[Targets, str] = {
    "attention": r"transformer\.\d+\.self_attn\.(q_proj|v_proj)",
    "blocks": r"transformer\.\d+\.(self_attn\.(q|k|v|out)_proj|ffn\.w[123])",
}


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Size of an adapter.

    Attributes:
        rank: Rank of the added products.
        alpha: They are multiplied by alpha / rank.
        dropout: Share of their inputs left out in training.
        targets: Matrices they are added to: the query and value projections ("attention"), or all
            of the blocks ("blocks"), which is slower and can change a model further.
    """

    rank: int = ADAPTER_RANK
    alpha: int = 16
    dropout: float = 0.05
    targets: Targets = "attention"

    def __post_init__(self) -> None:
        if self.targets not in _PATTERNS:
            raise InvalidRequest(
                f"An adapter's targets are {' or '.join(get_args(Targets))}, found "
                f"{self.targets!r}."
            )
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise InvalidRequest(
                "An adapter needs a rank from 1, an alpha above 0 and a dropout in [0, 1), found "
                f"{self.rank}, {self.alpha} and {self.dropout}."
            )


def add_lora(model: Kronos, settings: LoraSettings, *, events: bool, seed: int = 0) -> Kronos:
    """Add an adapter to a model, in place, and freeze the rest of it.

    The adapter starts as the identity: outputs are those of the model.

    Args:
        model: The base.
        settings: Size of the adapter.
        events: Whether an event embedding is learned; it is added if the base has none.
        seed: Seed of the initial matrices.
    """
    # A second to import, and needed in training only.
    require("peft", "finetune", "Fine-tuning by an adapter")
    from peft import LoraConfig, inject_adapter_in_model

    model.requires_grad_(False)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_PATTERNS[settings.targets],
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    if events:
        add_events(model)
    return model


def add_events(model: Kronos) -> None:
    """Make the event embedding of a model trainable; it is added if there is none.

    A new one learns rows that tell of the next bar. One that is there goes on with its own.
    """
    block = model.event_emb or model.add_event_embedding("ahead")
    block.requires_grad_(True)


def lora_tensors(model: Kronos) -> dict[str, Tensor]:
    """The trained tensors of a model with an adapter, by their names in the adapter's file."""
    return {
        name.replace(".default.", "."): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def n_trained(model: Kronos) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
