"""Training losses: upstream's, with weights that a small model needs.

The defaults are upstream's objectives, up to one thing: bars after the first whose price was
clipped do not count for the model (Batch.inside). `price_weight` and `context_weight` depart from
upstream; the model card of a checkpoint trained with them says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.nn.model import S2Attention, token_loss
from kronos.nn.tokenizer import KronosTokenizer
from kronos.training.state import Losses
from kronos.training.windows import Batch


@dataclass(frozen=True, slots=True)
class TokenizerObjective:
    """Reconstruction from the coarse bits and from all bits, plus the quantization loss.

    Attributes:
        price_weight: Weight of the price error measured in standard deviations of one bar's
            close change. Plain squared error in normalised units neglects it: one bar moves
            little against the spread of a whole context.
        coarse_weight: Weight of the reconstruction from the coarse bits.
        quantization_weight: Weight of the quantization loss.
    """

    price_weight: float = 0.0
    coarse_weight: float = 1.0
    quantization_weight: float = 1.0

    def __call__(self, tokenizer: nn.Module, batch: Batch) -> Losses:
        decoded = tokenizer(batch.x)
        full, error = self._reconstruction(decoded.full, batch)
        coarse, _ = self._reconstruction(decoded.coarse, batch)
        loss = full + self.coarse_weight * coarse + self.quantization_weight * decoded.loss
        return {"loss": loss, "full": full, "coarse": coarse, "error_in_sigmas": error}

    def _reconstruction(self, decoded: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        difference = decoded.float() - batch.x
        in_sigmas = difference[..., :4] / batch.bar_sigma
        loss = difference.pow(2).mean()
        if self.price_weight:
            zero = torch.zeros_like(in_sigmas)
            loss = loss + self.price_weight * F.smooth_l1_loss(in_sigmas, zero)
        return loss, in_sigmas[..., 3].detach().abs().mean()


@dataclass(frozen=True, slots=True)
class ModelObjective:
    """Cross-entropy of the next pair of tokens.

    Attributes:
        context_weight: Weight of positions inside the context. Upstream's 1 trains on all
            alike, but a context is normalised with its own later bars: inside it the path is
            tied to mean 0 and deviation 1, after it no longer. A small weight makes the model
            learn what it forecasts, the bars after the context.
        s2_attention: How the dependency-aware layer sees the history; UNROTATED trains what
            the sampler computes.
    """

    context_weight: float = 1.0
    s2_attention: S2Attention = S2Attention.ROTATED

    def with_tokenizer(self, tokenizer: KronosTokenizer) -> Callable[[nn.Module, Batch], Losses]:
        """The losses of a model on the tokens of a frozen tokenizer."""

        def losses(model: nn.Module, batch: Batch) -> Losses:
            # In full precision for every loop: inference reads fp32 tokens.
            with torch.no_grad(), torch.autocast(batch.x.device.type, enabled=False):
                s1, s2 = tokenizer.encode(batch.x)
            events = {} if batch.events is None else {"events": batch.events[:, :-1]}
            logits = model(
                s1[:, :-1],
                s2[:, :-1],
                batch.stamp[:, :-1],
                s1_targets=s1[:, 1:],
                s2_attention=self.s2_attention,
                **events,
            )
            logits = (logits[0].float(), logits[1].float())
            weight = batch.inside[:, 1:].float()
            weight[:, : batch.n_context - 1] *= self.context_weight
            loss = token_loss(*logits, s1[:, 1:], s2[:, 1:], weight)
            return {"loss": loss.total + _nothing(model), "s1": loss.s1, "s2": loss.s2}

        return losses


def _nothing(model: nn.Module) -> Tensor | float:
    """A zero that depends on the event embedding, if it is trained: processes that share a run wait
    for a gradient of every parameter, also in a step without events."""
    block = getattr(getattr(model, "module", model), "event_emb", None)
    if block is None:
        return 0.0
    parts = [p.sum() for p in block.parameters() if p.requires_grad]
    return 0.0 * torch.stack(parts).sum() if parts else 0.0
