"""Logits to draws: temperature, top-k, top-p, then inverse-CDF sampling.

Axes: R rows (paths of any number of series), V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronos.forecast import SamplingParameters


def divisor(parameters: SamplingParameters) -> float:
    """The divisor of logits: the temperature, at least 1e-30 for float32; 1 if greedy."""
    return max(parameters.T, 1e-30) if parameters.T else 1.0


@dataclass(frozen=True, slots=True)
class RowFilters:
    """Temperature and filters, one of each for every row of logits, or one for all rows.

    Attributes:
        T: (R, 1) or (1, 1) float32 temperature; 1 where greedy.
        top_k: (R, 1) int64, from 1 to V.
        top_p: (R, 1) float32; infinite where everything is kept.
        greedy: (R, 1) bool, true where the temperature is 0.
        sorts: Whether any row needs its logits in order. The result of a row does not depend
            on it: where only a neighbour needs the order, nothing is removed.
        any_greedy: Whether any row is greedy.
        any_tempered: Whether any row has another temperature than 1.
    """

    T: Tensor
    top_k: Tensor
    top_p: Tensor
    greedy: Tensor
    sorts: bool
    any_greedy: bool
    any_tempered: bool

    @classmethod
    def of(
        cls,
        parameters: Sequence[SamplingParameters],
        n_tokens: int,
        device: torch.device | str = "cpu",
        *,
        prepared: bool = False,
    ) -> RowFilters:
        """Filters of rows with these parameters (one: of all rows), for logits over `n_tokens`.

        `prepared` filters do the work of any setting, for rows that `copy_` sets later.
        """
        ks = [p.top_k if 0 < p.top_k < n_tokens else n_tokens for p in parameters]
        # A running sum of float32 can exceed 1 by rounding; nothing exceeds infinity.
        ps = [p.top_p if p.top_p < 1.0 else float("inf") for p in parameters]
        return cls(
            T=torch.tensor([[divisor(p)] for p in parameters], device=device),
            top_k=torch.tensor([[k] for k in ks], device=device),
            top_p=torch.tensor([[p] for p in ps], device=device),
            greedy=torch.tensor([[p.T == 0.0] for p in parameters], device=device),
            sorts=prepared or any(k < n_tokens for k in ks) or any(p < 1.0 for p in ps),
            any_greedy=prepared or any(p.T == 0.0 for p in parameters),
            any_tempered=prepared or any(p.T not in (0.0, 1.0) for p in parameters),
        )

    def copy_(self, other: RowFilters) -> None:
        """Copies the settings of filters for as many rows into the same memory."""
        for name in ("T", "top_k", "top_p", "greedy"):
            getattr(self, name).copy_(getattr(other, name))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities after temperature, then top-k, then top-p, each renormalising.

        Top-p keeps the smallest set of most likely tokens that reaches the mass, at least one
        token. Ties with the last one of the set stay too. Greedy rows put all mass on the largest
        logit, the first of equals.

        Args:
            logits: (R, V); left unchanged.

        Returns:
            (R, V) float32.
        """
        logits = logits.float()
        # Measured from the largest: the division cannot overflow, however small T is.
        scaled = logits - logits.amax(dim=-1, keepdim=True)
        if self.any_tempered:
            scaled.div_(self.T)
        if self.sorts:
            scaled = self._without_tail(scaled)
        probabilities = scaled.softmax(-1)
        if not self.any_greedy:
            return probabilities
        top = logits.argmax(dim=-1, keepdim=True)
        greedy = torch.zeros_like(scaled).scatter_(-1, top, 1.0)
        return torch.where(self.greedy, greedy, probabilities)

    def _without_tail(self, scaled: Tensor) -> Tensor:
        """Logits with -inf for the tokens that top-k, and then top-p, remove."""
        removed = float("-inf")
        ordered = _descending(scaled)
        kth = ordered.gather(-1, (self.top_k - 1).expand(len(ordered), 1))
        ordered = ordered.masked_fill(ordered < kth, removed)
        mass = ordered.softmax(-1).cumsum(-1)
        # A token goes when the tokens before it already exceed top_p; the first one never does.
        n_kept = 1 + (mass[..., :-1] <= self.top_p).sum(-1, keepdim=True)
        least = torch.maximum(kth, ordered.gather(-1, n_kept - 1))
        return scaled.masked_fill(scaled < least, removed)


def _descending(logits: Tensor) -> Tensor:
    """The logits of every row, largest first."""
    if logits.device.type == "cpu":
        # Eighteen times as fast as torch's sort, which also returns indices.
        return torch.from_numpy(np.sort(logits.numpy(), axis=-1)[..., ::-1].copy())
    return logits.sort(dim=-1, descending=True).values


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse-CDF draws: probabilities (..., V) and uniforms (...,) in [0, 1) -> ids (...,).

    Sums run in float64, so that rounding of the sum itself never moves a draw. The result is on
    the device of the probabilities.
    """
    home = probabilities.device
    if home.type == "mps":  # which has no float64
        probabilities = probabilities.cpu()
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    total = cumulative[..., -1:]
    # A product with a uniform next to 1 can be rounded up to the total, where trailing tokens
    # without mass lie too; just below it lies the last token with mass.
    below = torch.nextafter(total, torch.zeros_like(total))
    target = torch.minimum(uniforms.to(cumulative).unsqueeze(-1) * total, below)
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).to(home)
