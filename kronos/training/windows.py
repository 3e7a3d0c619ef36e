"""Drawing training windows: which series, where, how much of it is context.

A window is a context of C bars and F future bars. Both are normalised by the mean and standard
deviation of the context alone, as a forecast is. Batch i depends on (seed, rank, i) only, so a
resumed run continues exactly, and no two workers draw the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronos.context import STD_FLOOR
from kronos.errors import InvalidRequest
from kronos.training.corpus import Corpus


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How windows are drawn.

    Attributes:
        contexts: Context lengths C, one drawn per batch.
        future: Bars F after the context.
        bars_per_batch: A batch holds as many windows as fit into this many bars.
        drop_volume: Share of windows whose volume and amount are zeroed.
        group_power: A sampling cell's weight is its number of bars to this power.
        clip: Normalised values are clipped to +-clip.
    """

    contexts: tuple[int, ...] = (64, 96, 128, 192, 256, 448)
    future: int = 64
    bars_per_batch: int = 8192
    drop_volume: float = 0.05
    group_power: float = 0.25
    clip: float = 5.0

    def __post_init__(self) -> None:
        if not self.contexts or min(self.contexts) < 2 or self.future < 1:
            raise InvalidRequest(
                f"Context lengths of at least 2 and a future of at least 1 bar are needed, found "
                f"{self.contexts} and {self.future}."
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised windows.

    Attributes:
        x: (B, L, 6) float32, clipped.
        stamp: (B, L, 5) int64 calendar fields.
        n_context: Context length C, the same for the whole batch.
        inside: (B, L) bool, False from the second future bar on whose prices were clipped: the
            true path has left what tokens can say.
        bar_sigma: (B, 1, 1) standard deviation of the context's close-to-close changes, in
            normalised units.
    """

    x: Tensor
    stamp: Tensor
    n_context: int
    inside: Tensor
    bar_sigma: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same windows on a device."""
        return Batch(
            self.x.to(device),
            self.stamp.to(device),
            self.n_context,
            self.inside.to(device),
            self.bar_sigma.to(device),
        )


class WindowSampler:
    """Draws batches from a corpus."""

    def __init__(self, corpus: Corpus, plan: WindowPlan, *, seed: int, rank: int = 0) -> None:
        self.corpus = corpus
        self.plan = plan
        self.seed, self.rank = seed, rank
        starts = np.array([s.start for s in corpus.series])
        lengths = np.array([s.n_bars for s in corpus.series])
        weights = _series_weights(corpus, lengths, plan.group_power)
        self._by_context = {}
        for C in plan.contexts:
            usable = lengths >= C + plan.future
            if not usable.any():
                raise InvalidRequest(
                    f"No series has the {C + plan.future} bars that a context of {C} and a "
                    f"future of {plan.future} need; choose shorter ones."
                )
            w = weights * usable
            self._by_context[C] = (starts, lengths, w / w.sum())

    def batch(self, index: int) -> Batch:
        """The index-th batch of this rank."""
        rng = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self.seed, self.rank, index]))
        )
        # Every rank draws the same context length, so that none waits for a longer one.
        shared = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, index])))
        C = int(shared.choice(self.plan.contexts))
        L = C + self.plan.future
        B = max(1, self.plan.bars_per_batch // L)
        starts, lengths, p = self._by_context[C]
        chosen = rng.choice(len(starts), B, p=p)
        room = lengths[chosen] - L
        begin = starts[chosen] + (rng.random(B) * (room + 1)).astype(np.int64)
        rows = begin[:, None] + np.arange(L)
        silent = rng.random(B) < self.plan.drop_volume
        return self._normalise(rows, C, silent)

    def _normalise(self, rows: np.ndarray, C: int, silent: np.ndarray) -> Batch:
        values = self.corpus.values[rows].astype(np.float64)
        values[silent, :, 4:] = 0.0
        mean = values[:, :C].mean(axis=1, keepdims=True)
        scale = values[:, :C].std(axis=1, keepdims=True) + STD_FLOOR
        z = (values - mean) / scale
        clip = self.plan.clip
        left = (np.abs(z[:, :, :4]) > clip).any(axis=2)
        left[:, :C] = False
        # The bar that leaves is still learned: without it the tails would be cut.
        gone = np.cumsum(left, axis=1) - left > 0
        x = np.clip(z, -clip, clip)
        sigma = np.diff(x[:, :C, 3], axis=1).std(axis=1) + 1e-3
        return Batch(
            x=torch.from_numpy(x.astype(np.float32)),
            stamp=torch.from_numpy(self.corpus.stamps[rows].astype(np.int64)),
            n_context=C,
            inside=torch.from_numpy(~gone),
            bar_sigma=torch.from_numpy(sigma.astype(np.float32))[:, None, None],
        )


def _series_weights(corpus: Corpus, lengths: np.ndarray, power: float) -> np.ndarray:
    """Square root of the bars inside a cell; the cell itself weighs bars**power."""
    groups = np.array([s.group for s in corpus.series])
    weights = np.sqrt(lengths.astype(np.float64))
    for group in np.unique(groups):
        cell = groups == group
        weights[cell] *= lengths[cell].sum() ** power / weights[cell].sum()
    return weights
