"""Turning logits into draws: temperature, top-k, top-p, and noise that belongs to a path."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def filtered_probabilities(
    logits: Tensor, *, T: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """Probabilities after temperature, then top-k, then top-p; each renormalises what is left.

    Args:
        logits: (..., V); left unchanged.
        T: Temperature; 0 puts all mass on the largest logit (the first of equals).
        top_k: Tokens kept; ties with the k-th are kept too. 0 or at least V keeps all.
        top_p: The smallest set of most likely tokens that reaches this mass is kept, and
            always the first one. 1 keeps all.

    Returns:
        (..., V) float32.
    """
    logits = logits.float()
    if T == 0.0:
        top = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, top, 1.0)
    # Measured from the largest: the division cannot overflow, however small T is.
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / T
    if 0 < top_k < logits.shape[-1]:
        threshold = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < threshold, float("-inf"))
    if top_p < 1.0:
        ordered, order = logits.sort(dim=-1, descending=True)
        mass = ordered.softmax(-1).cumsum(-1)
        # A token goes when the tokens before it already exceed top_p; the first one never does.
        exceeded = torch.zeros_like(mass, dtype=torch.bool)
        exceeded[..., 1:] = mass[..., :-1] > top_p
        removed = torch.zeros_like(exceeded).scatter_(-1, order, exceeded)
        logits = logits.masked_fill(removed, float("-inf"))
    return logits.softmax(-1)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse-CDF draws: probabilities (..., V) and uniforms (...,) in [0, 1) -> ids (...,).

    Sums run in float64, so that rounding of the sum itself never moves a draw. The result is on
    the device of the probabilities.
    """
    home = probabilities.device
    if home.type == "mps":  # which has no float64
        probabilities = probabilities.cpu()
    cumulative = probabilities.double().cumsum(-1)
    target = uniforms.to(cumulative).unsqueeze(-1) * cumulative[..., -1:]
    ids = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    # A uniform next to 1 can land on the flat end of the sum, where no token has mass.
    V = probabilities.shape[-1]
    last = ((probabilities > 0) * torch.arange(V, device=probabilities.device)).amax(-1)
    return torch.minimum(ids, last).to(home)


def path_uniforms(seed: int, n_paths: int, horizon: int) -> Tensor:
    """The noise of every path: (n_paths, horizon, 2) float64 in [0, 1), for s1 and s2.

    Path i draws from its own counter-based stream keyed by (seed, i). So a path does not
    change with the number of paths, with the horizon, or with what else is in the batch.
    """
    streams = (
        np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
        for i in range(n_paths)
    )
    return torch.from_numpy(np.stack([stream.random((horizon, 2)) for stream in streams]))
