"""Kronos: a causal transformer over pairs of tokens, s1 first, then s2 given s1."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.errors import InvalidRequest
from kronos.nn.config import EVENT_ALIGNMENTS, N_EVENT_CHANNELS, EventAlignment, ModelConfig
from kronos.nn.layers import (
    Attend,
    Attention,
    RMSNorm,
    Rotation,
    TransformerBlock,
    rotate,
    rotation_table,
)

DEPENDENCY_HEADS = 4


class S2Attention(Enum):
    """How the dependency-aware layer sees the history when it conditions s2 on s1.

    Both are causal. ROTATED carries rotary positions: how the published weights were trained.
    UNROTATED carries none: what the published sampler computes, because it has one query at a
    time and a table of one position rotates nothing. Sampling always uses UNROTATED.
    """

    ROTATED = "rotated"
    UNROTATED = "unrotated"


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """Cross-entropies in nats per token; `total` is the mean of the two."""

    total: Tensor
    s1: Tensor
    s2: Tensor


class HierarchicalEmbedding(nn.Module):
    """Embeds a pair of ids as one vector."""

    def __init__(self, s1_bits: int, s2_bits: int, width: int) -> None:
        super().__init__()
        self.scale = math.sqrt(width)
        self.emb_s1 = nn.Embedding(1 << s1_bits, width)
        self.emb_s2 = nn.Embedding(1 << s2_bits, width)
        self.fusion_proj = nn.Linear(2 * width, width)

    def forward(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Ids (..., T) -> (..., T, D)."""
        pair = torch.cat((self.emb_s1(s1), self.emb_s2(s2)), dim=-1)
        return self.fusion_proj(pair * self.scale)


def _sinusoids(size: int, width: int) -> Tensor:
    position = torch.arange(size).float().unsqueeze(1)
    frequency = torch.exp(torch.arange(0, width, 2).float() * -(math.log(10_000.0) / width))
    table = torch.zeros(size, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


class _FixedEmbedding(nn.Module):
    """A table of sinusoids that is stored but not trained (learn_te = False)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(size, width)
        self.emb.weight = nn.Parameter(_sinusoids(size, width), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.emb(ids)


class TemporalEmbedding(nn.Module):
    """Sum of the embeddings of minute, hour, weekday, day and month."""

    def __init__(self, width: int, learned: bool) -> None:
        super().__init__()
        make = nn.Embedding if learned else _FixedEmbedding
        self.minute_embed = make(60, width)
        self.hour_embed = make(24, width)
        self.weekday_embed = make(7, width)
        self.day_embed = make(32, width)
        self.month_embed = make(13, width)

    def forward(self, stamp: Tensor) -> Tensor:
        """Stamps (..., T, 5), integers in any numeric type -> (..., T, D)."""
        minute, hour, weekday, day, month = stamp.long().unbind(-1)
        # The order of the sum is upstream's: float addition is not associative.
        return (
            self.hour_embed(hour)
            + self.weekday_embed(weekday)
            + self.day_embed(day)
            + self.month_embed(month)
            + self.minute_embed(minute)
        )


class EventEmbedding(nn.Module):
    """Embeds the event channels of a bar; adds nothing until it has been trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(N_EVENT_CHANNELS, width)
        # A random start would disturb a trained model as soon as it reads events.
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, events: Tensor) -> Tensor:
        """Channels (..., 20) in any numeric type -> (..., D)."""
        return self.proj(events.to(self.proj.weight.dtype))


class DependencyAwareLayer(nn.Module):
    """Cross-attention from the chosen s1 to the hidden states, added to them and normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cross_attn = Attention(width, DEPENDENCY_HEADS)
        self.norm = RMSNorm(width)

    def forward(self, hidden: Tensor, sibling: Tensor, mode: S2Attention) -> Tensor:
        """Every position at once, causally: two (B, T, D) -> (B, T, D)."""
        attention = self.cross_attn
        q = attention.heads(attention.q_proj(sibling))
        k = attention.heads(attention.k_proj(hidden))
        v = attention.heads(attention.v_proj(hidden))
        if mode is S2Attention.ROTATED:
            rotation = rotation_table(attention.head_width, q.shape[-2], q.device)
            q, k = rotate(q, rotation), rotate(k, rotation)
        return self.norm(hidden + attention.output(attention.causal(q, k, v)))


class DualHead(nn.Module):
    """Logits of s1 from the hidden state, of s2 from the dependency-aware layer."""

    def __init__(self, s1_bits: int, s2_bits: int, width: int) -> None:
        super().__init__()
        self.proj_s1 = nn.Linear(width, 1 << s1_bits)
        self.proj_s2 = nn.Linear(width, 1 << s2_bits)


class Kronos(nn.Module):
    """Predicts the next pair of tokens from all pairs before it.

    Attributes:
        event_emb: Embedding of event channels; None in published checkpoints.
    """

    event_emb: EventEmbedding | None

    def __init__(self, **config: Any) -> None:
        """Takes the fields of `ModelConfig` as keywords, as upstream does."""
        super().__init__()
        c = self.config = ModelConfig.from_dict(config)
        self.token_drop = nn.Dropout(c.token_dropout_p)
        self.embedding = HierarchicalEmbedding(c.s1_bits, c.s2_bits, c.d_model)
        self.time_emb = TemporalEmbedding(c.d_model, c.learn_te)
        self.transformer = nn.ModuleList(
            TransformerBlock(
                c.d_model,
                c.n_heads,
                c.ff_dim,
                c.ffn_dropout_p,
                c.attn_dropout_p,
                c.resid_dropout_p,
            )
            for _ in range(c.n_layers)
        )
        self.norm = RMSNorm(c.d_model)
        self.dep_layer = DependencyAwareLayer(c.d_model)
        self.head = DualHead(c.s1_bits, c.s2_bits, c.d_model)
        self.apply(self._initialise)
        # Last, so that all other weights are those that a model without it begins with.
        self.event_emb = EventEmbedding(c.d_model) if c.n_event_channels else None
        if self.event_emb is not None:
            # Trained from the start, it begins at the size of the other embeddings.
            self._initialise(self.event_emb.proj)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding) and module.weight.requires_grad:
            nn.init.normal_(module.weight, std=self.config.d_model**-0.5)

    def add_event_embedding(
        self, alignment: EventAlignment = EVENT_ALIGNMENTS[0]
    ) -> EventEmbedding:
        """Gives the model an event embedding, which adds nothing until it has been trained.

        Args:
            alignment: That of the rows that it will read, one of `EVENT_ALIGNMENTS`.

        Returns:
            The new block, also to be found as `event_emb`.

        Raises:
            InvalidRequest: There is one already, which would be lost.
        """
        if self.event_emb is not None:
            raise InvalidRequest(
                "This model has an event embedding already. Train that one further, or start from "
                "a checkpoint without."
            )
        like = self.norm.weight
        self.event_emb = EventEmbedding(self.config.d_model).to(like.device, like.dtype)
        self.config = replace(
            self.config, n_event_channels=N_EVENT_CHANNELS, event_alignment=alignment
        )
        return self.event_emb

    @property
    def n_base_parameters(self) -> int:
        """Parameters without an event embedding.

        A choice by size goes by these, so that a model which is given one computes as before.
        """
        return sum(p.numel() for n, p in self.named_parameters() if not n.startswith("event_emb."))

    def rotation(self, length: int, device: torch.device) -> Rotation:
        """Rotary tables of the blocks for positions 0 .. length - 1."""
        return rotation_table(self.config.d_model // self.config.n_heads, length, device)

    def embed(
        self, s1: Tensor, s2: Tensor, stamp: Tensor | None, events: Tensor | None = None
    ) -> Tensor:
        """Block inputs (..., T, D).

        Args:
            s1: (..., T) coarse ids.
            s2: (..., T) fine ids.
            stamp: (..., T, 5) calendar fields; None adds no calendar.
            events: (..., T, 20) event channels; None adds nothing.

        Raises:
            InvalidRequest: Events are given to a model without an event embedding.
        """
        x = self.embedding(s1, s2)
        if stamp is not None:
            x = x + self.time_emb(stamp)
        if events is not None:
            x = x + self.embed_events(events)
        return self.token_drop(x)

    def embed_events(self, events: Tensor) -> Tensor:
        """Event channels (..., 20) -> (..., D).

        Raises:
            InvalidRequest: The model has no event embedding.
        """
        if self.event_emb is None:
            raise InvalidRequest(
                "This model has no event embedding: it was never trained with events. Leave them "
                "out, or give it one (add_event_embedding) and train it."
            )
        return self.event_emb(events)

    def run_blocks(
        self, x: Tensor, rotation: Rotation, attend: list[Attend] | None = None
    ) -> Tensor:
        """Blocks and final norm: (..., T, D) -> (..., T, D)."""
        for i, block in enumerate(self.transformer):
            x = block(x, rotation, attend[i] if attend else None)
        return self.norm(x)

    def hidden(
        self,
        s1: Tensor,
        s2: Tensor,
        stamp: Tensor | None = None,
        events: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, T), stamps (B, T, 5), events (B, T, 20) -> normalised hidden states (B, T, D)."""
        x = self.embed(s1, s2, stamp, events)
        return self.run_blocks(x, self.rotation(x.shape[-2], x.device))

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., 2**s1_bits)."""
        return self.head.proj_s1(hidden)

    def s2_logits_last(self, hidden: Tensor, s1: Tensor) -> Tensor:
        """Logits of s2 after the last position, as the published sampler computes them.

        One query, built from the chosen s1, sees the whole history without rotary positions.

        Args:
            hidden: (B, T, D) hidden states of the history.
            s1: (B,) chosen coarse ids.

        Returns:
            (B, 2**s2_bits).
        """
        attention = self.dep_layer.cross_attn
        q = attention.heads(attention.q_proj(self.embedding.emb_s1(s1)).unsqueeze(-2))
        k = attention.heads(attention.k_proj(hidden))
        v = attention.heads(attention.v_proj(hidden))
        mixed = attention.output(F.scaled_dot_product_attention(q, k, v)).squeeze(-2)
        return self.head.proj_s2(self.dep_layer.norm(hidden[:, -1] + mixed))

    def forward(
        self,
        s1: Tensor,
        s2: Tensor,
        stamp: Tensor | None = None,
        events: Tensor | None = None,
        *,
        s1_targets: Tensor,
        s2_attention: S2Attention = S2Attention.ROTATED,
    ) -> tuple[Tensor, Tensor]:
        """Teacher-forced logits of every next pair; causal in training and evaluation alike.

        Args:
            s1: (B, T) coarse ids read.
            s2: (B, T) fine ids read.
            stamp: (B, T, 5) minute, hour, weekday, day, month; None adds no calendar.
            events: (B, T, 20) event channels; None adds nothing.
            s1_targets: (B, T) next coarse ids, which s2 is conditioned on.
            s2_attention: How the dependency-aware layer sees the history.

        Returns:
            Logits (B, T, 2**s1_bits) and (B, T, 2**s2_bits).
        """
        hidden = self.hidden(s1, s2, stamp, events)
        sibling = self.embedding.emb_s1(s1_targets)
        dependent = self.dep_layer(hidden, sibling, s2_attention)
        return self.head.proj_s1(hidden), self.head.proj_s2(dependent)


def token_loss(
    s1_logits: Tensor, s2_logits: Tensor, s1: Tensor, s2: Tensor, weight: Tensor | None = None
) -> TokenLoss:
    """Cross-entropy of both tokens: logits (B, T, V), targets (B, T), weights (B, T) or None.

    With weights the means are weighted; without, they are upstream's plain means.
    """

    def mean(logits: Tensor, target: Tensor) -> Tensor:
        flat = F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none")
        if weight is None:
            return flat.mean()
        w = weight.flatten()
        return (flat * w).sum() / w.sum()

    loss_s1, loss_s2 = mean(s1_logits, s1), mean(s2_logits, s2)
    return TokenLoss((loss_s1 + loss_s2) / 2, loss_s1, loss_s2)
