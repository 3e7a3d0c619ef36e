"""What each token contributes to a step, worked out once for all tokens instead of every time.

Axes: V tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronos.nn.model import Kronos


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables (V, D) float32.

    Attributes:
        pair: Of coarse and of fine ids: the sum of a row of each is the embedding of a pair.
        queries: Of coarse ids, scaled queries of the dependency-aware layer.
    """

    pair: tuple[np.ndarray, np.ndarray]
    queries: np.ndarray


class TokenTables:
    """The tables of a model; made anew when its weights were changed."""

    def __init__(self, model: Kronos) -> None:
        embedding, attention = model.embedding, model.dep_layer.cross_attn
        fusion, q = embedding.fusion_proj, attention.q_proj
        self._scales = embedding.scale, attention.head_width**-0.5
        # At hand: asking modules for them at every step takes longer than a kernel.
        self._parameters: tuple[Tensor, ...] = (
            embedding.emb_s1.weight, embedding.emb_s2.weight,
            fusion.weight, fusion.bias, q.weight, q.bias,
        )  # fmt: skip
        self._made: tuple[list[int], Tables] | None = None

    def current(self) -> Tables:
        versions = [_version(p) for p in self._parameters]
        made = self._made
        if made is None or made[0] != versions:
            made = self._made = (versions, self._make())
        return made[1]

    def _make(self) -> Tables:
        s1, s2, fusion, fusion_bias, q, q_bias = (p.detach() for p in self._parameters)
        (scale, query_scale), D = self._scales, s1.shape[1]
        of_s1 = torch.addmm(fusion_bias, s1 * scale, fusion[:, :D].t())
        of_s2 = (s2 * scale) @ fusion[:, D:].t()
        queries = torch.addmm(q_bias, s1, q.t()) * query_scale
        return Tables((of_s1.numpy(), of_s2.numpy()), queries.numpy())


def _version(parameter: Tensor) -> int:
    """Counts changes in place; inference tensors, which cannot be trained, count none."""
    return -1 if parameter.is_inference() else parameter._version
