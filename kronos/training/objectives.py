"""Training losses: upstream's, with weights that a small model needs.

The defaults are upstream's objectives, up to one thing: bars after the first whose price was
clipped do not count for the model (Batch.inside). `price_weight` and `context_weight` depart from
upstream; the model card of a checkpoint trained with them says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.context import CLOSE
from kronos.errors import InvalidRequest
from kronos.nn.model import S2Attention, token_loss
from kronos.nn.tokenizer import KronosTokenizer
from kronos.training.state import Losses
from kronos.training.windows import Batch

DRIFT_BARS = 24
"""Bars over which `ModelObjective.drift_weight` adds up the expected returns."""
_OUTLIER = 8.0
"""Returns are cut off here, in sigmas, before their mean by token is taken."""


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
        drift_weight: Weight of the squared drift of DRIFT_BARS bars: their expected returns, added
            up, in units of the spread that so many bars have. An error of one bar's mean that
            stays for many bars costs likelihood by its square, bar by bar, and a fan by its sum.
            Needs a tokenizer of "returns".
    """

    context_weight: float = 1.0
    s2_attention: S2Attention = S2Attention.ROTATED
    drift_weight: float = field(default=0.0, repr=False)  # a run without one is known as before

    def __post_init__(self) -> None:
        if not 0.0 <= self.drift_weight < math.inf:
            raise InvalidRequest(
                f"The weight of the drift must be at least 0, found {self.drift_weight}."
            )

    def with_tokenizer(
        self, tokenizer: KronosTokenizer, returns: Tensor | None = None
    ) -> Callable[[nn.Module, Batch], Losses]:
        """The losses of a model on the tokens of a frozen tokenizer.

        Args:
            tokenizer: The tokenizer.
            returns: (2**s1_bits,) of `returns_by_token`, which a drift weight needs.

        Raises:
            InvalidRequest: A drift weight without them.
        """
        if self.drift_weight and returns is None:
            raise InvalidRequest("A weight of the drift needs the returns of the coarse tokens.")

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
            found = {"loss": loss.total + _nothing(model), "s1": loss.s1, "s2": loss.s2}
            if self.drift_weight and returns is not None:
                drift = squared_drift(logits[0], returns)
                found["loss"] = found["loss"] + self.drift_weight * drift
                found["drift"] = drift.detach()
            return found

        return losses


@torch.no_grad()
def returns_by_token(tokenizer: KronosTokenizer, batches: Iterable[Batch]) -> Tensor:
    """Mean return of the bars of every coarse token, in sigmas: (2**s1_bits,), 0 where unseen.

    Args:
        tokenizer: One of "returns"; the tokens of one that reads windows are levels.
        batches: Bars that the means are taken of.
    """
    device = next(tokenizer.parameters()).device
    shape = 2, 1 << tokenizer.config.s1_bits
    sums, counts = torch.zeros(shape, dtype=torch.float64, device=device)
    for batch in batches:
        s1 = tokenizer.encode(batch.x)[0].flatten()
        moves = batch.x[..., CLOSE].double().sinh().clamp(-_OUTLIER, _OUTLIER).flatten()
        sums.index_add_(0, s1, moves)
        counts.index_add_(0, s1, torch.ones_like(moves))
    return (sums / counts.clamp(min=1.0)).float()


def squared_drift(s1_logits: Tensor, returns: Tensor) -> Tensor:
    """Mean square of the expected return of `DRIFT_BARS` bars over their spread.

    Args:
        s1_logits: (B, T, 2**s1_bits) of every next bar, each given the true bars before it.
        returns: (2**s1_bits,) mean return of each token, in sigmas.

    Returns:
        A scalar; runs of bars overlap, and shorter windows count as one run.
    """
    expected = s1_logits.softmax(-1) @ returns
    runs = expected.unfold(1, min(DRIFT_BARS, expected.shape[1]), 1)
    return (runs.sum(-1) / math.sqrt(runs.shape[-1])).square().mean()


def _nothing(model: nn.Module) -> Tensor | float:
    """A zero that depends on the event embedding, if it is trained: processes that share a run wait
    for a gradient of every parameter, also in a step without events."""
    block = getattr(getattr(model, "module", model), "event_emb", None)
    if block is None:
        return 0.0
    parts = [p.sum() for p in block.parameters() if p.requires_grad]
    return 0.0 * torch.stack(parts).sum() if parts else 0.0
