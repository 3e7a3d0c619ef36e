"""Training windows: drawn from a corpus, normalised, and batched.

A window is a context of C bars and F future bars, normalised as a forecast is: by the mean and
standard deviation of the context alone, or bar by bar (`kronos.normalisation`). A batch depends on
(seed, step, part) only, so a resumed run continues exactly, and any number of processes can share
the parts of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kronos.context import column_scale
from kronos.errors import InvalidRequest
from kronos.events import Alignment
from kronos.nn.config import NORMALISATIONS, Normalisation
from kronos.normalisation import return_features
from kronos.training.corpus import Corpus, CorpusEvents


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How windows are drawn.

    Attributes:
        contexts: Context lengths C, one drawn per batch.
        future: Bars F after the context.
        bars_per_batch: Bars of a batch, which holds as many whole windows.
        drop_volume: Share of windows whose volume and amount are set to 0.
        group_power: A sampling cell's weight is its number of bars to this power.
        clip: Normalised values are clipped to +-clip.
        replay: Share of windows drawn from series marked as replay, if there are any.
        event_weight: Factor on the probability of windows whose future holds an event.
        drop_events: Share of steps without event channels, so that a model which learns them still
            forecasts without.
    """

    contexts: tuple[int, ...] = (64, 96, 128, 192, 256, 448)
    future: int = 64
    bars_per_batch: int = 8192
    drop_volume: float = 0.05
    group_power: float = 0.25
    clip: float = 5.0
    replay: float = 0.2
    event_weight: float = 1.0
    drop_events: float = 0.25

    def __post_init__(self) -> None:
        if not self.contexts or min(self.contexts) < 2 or self.future < 1:
            raise InvalidRequest(
                f"Context lengths of at least 2 and a future of at least 1 bar are needed, found "
                f"{self.contexts} and {self.future}."
            )
        if not 0.0 <= self.replay < 1.0 or self.event_weight < 1.0:
            raise InvalidRequest(
                "The share of replay lies in [0, 1) and the weight of events is at least 1, "
                f"found {self.replay} and {self.event_weight}."
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised windows.

    Attributes:
        x: (B, L, 6) float32, clipped.
        stamp: (B, L, 5) int64 calendar fields.
        n_context: Context length C, the same for the whole batch.
        inside: (B, L) bool, False after the first future bar whose prices were clipped: from there
            on the true path is out of the range of the tokens. All True for "returns".
        bar_sigma: (B, 1, 1) standard deviation of the context's close-to-close changes, in
            normalised units; 1 for "returns".
        events: (B, L, 20) event channels, or None for a step without.
    """

    x: Tensor
    stamp: Tensor
    n_context: int
    inside: Tensor
    bar_sigma: Tensor
    events: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same windows on a device."""
        return Batch(
            self.x.to(device),
            self.stamp.to(device),
            self.n_context,
            self.inside.to(device),
            self.bar_sigma.to(device),
            None if self.events is None else self.events.to(device),
        )


class WindowSampler:
    """Draws batches from a corpus."""

    def __init__(
        self,
        corpus: Corpus,
        plan: WindowPlan,
        *,
        seed: int,
        events: CorpusEvents | None = None,
        with_channels: bool = True,
        alignment: Alignment = "bar",
        normalisation: Normalisation = NORMALISATIONS[0],
    ) -> None:
        """Args:
        corpus: The bars.
        plan: How windows are drawn.
        seed: Seed of the windows.
        events: Events of the corpus, for `WindowPlan.event_weight`.
        with_channels: Whether batches have the channels of `events`.
        alignment: That of the channels, as in the configuration of the model.
        normalisation: That of the tokenizer.
        """
        self.corpus = corpus
        self.plan = plan
        self.seed = seed
        self._normalisation = normalisation
        self._events, self._with_channels, self._alignment = events, with_channels, alignment
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
            w = _with_replay(weights * usable, corpus, plan.replay)
            self._by_context[C] = (starts, lengths, w / w.sum())

    def batch(self, step: int, part: int = 0) -> Batch:
        """One of the batches of a step."""
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, part, step])))
        # Every part has the same context length, so that no process waits for a longer one.
        shared = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, step])))
        C = int(shared.choice(self.plan.contexts))
        B = max(1, self.plan.bars_per_batch // (C + self.plan.future))
        chosen, begin = self._draw(rng, C, B)
        rows = begin[:, None] + np.arange(C + self.plan.future)
        silent = rng.random(B) < self.plan.drop_volume
        batch = self._normalise(rows, C, silent)
        if self._events is None or not self._with_channels:
            return batch
        if shared.random() < self.plan.drop_events:
            return batch
        channels = [
            self._events.channels(self.corpus.series[s], row, C, self._alignment)
            for s, row in zip(chosen, rows, strict=True)
        ]
        return replace(batch, events=torch.from_numpy(np.stack(channels)))

    def _draw(self, rng: np.random.Generator, C: int, B: int) -> tuple[np.ndarray, np.ndarray]:
        """Series (B,) and first bars (B,) of the windows of a batch."""
        chosen, begin = self._uniform(rng, C, B)
        weight = self.plan.event_weight
        if self._events is None or weight == 1.0:
            return chosen, begin
        accepted, future = np.zeros(B, dtype=bool), self.plan.future
        while not accepted.all():
            # Quiet windows are accepted one time in `weight`, those with an event always.
            has_event = self._events.any_between(begin + C, begin + C + future)
            accepted |= has_event | (rng.random(B) < 1.0 / weight)
            again = np.flatnonzero(~accepted)
            chosen[again], begin[again] = self._uniform(rng, C, len(again))
        return chosen, begin

    def _uniform(self, rng: np.random.Generator, C: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        starts, lengths, p = self._by_context[C]
        chosen = rng.choice(len(starts), n, p=p)
        room = lengths[chosen] - C - self.plan.future
        return chosen, starts[chosen] + (rng.random(n) * (room + 1)).astype(np.int64)

    def _normalise(self, rows: np.ndarray, C: int, silent: np.ndarray) -> Batch:
        values = self.corpus.values[rows].astype(np.float64)
        values[silent, :, 4:] = 0.0
        if self._normalisation == "returns":
            x, _ = return_features(values, self.plan.clip)
            return self._batch(rows, C, x, np.ones(rows.shape, dtype=bool), np.ones(len(rows)))
        mean = values[:, :C].mean(axis=1, keepdims=True)
        scale = column_scale(values[:, :C])[:, None]
        z = (values - mean) / scale
        clip = self.plan.clip
        left = (np.abs(z[:, :, :4]) > clip).any(axis=2)
        left[:, :C] = False
        # The first clipped bar still counts: without it the tails would be cut.
        gone = np.cumsum(left, axis=1) - left > 0
        x = np.clip(z, -clip, clip)
        sigma = np.diff(x[:, :C, 3], axis=1).std(axis=1) + 1e-3
        return self._batch(rows, C, x, ~gone, sigma)

    def _batch(
        self, rows: np.ndarray, C: int, x: np.ndarray, inside: np.ndarray, sigma: np.ndarray
    ) -> Batch:
        return Batch(
            x=torch.from_numpy(x.astype(np.float32)),
            stamp=torch.from_numpy(self.corpus.stamps[rows].astype(np.int64)),
            n_context=C,
            inside=torch.from_numpy(inside),
            bar_sigma=torch.from_numpy(sigma.astype(np.float32))[:, None, None],
        )


def _series_weights(corpus: Corpus, lengths: np.ndarray, power: float) -> np.ndarray:
    """Square root of the bars within a cell; a cell weighs bars**power."""
    groups = np.array([s.group for s in corpus.series])
    weights = np.sqrt(lengths.astype(np.float64))
    for group in np.unique(groups):
        cell = groups == group
        weights[cell] *= lengths[cell].sum() ** power / weights[cell].sum()
    return weights


def _with_replay(weights: np.ndarray, corpus: Corpus, share: float) -> np.ndarray:
    """Weights with a given share for replay series, where both kinds are usable."""
    older = np.array([s.is_replay for s in corpus.series])
    sums = weights[older].sum(), weights[~older].sum()
    if not all(sums):
        return weights
    return np.where(older, share * weights / sums[0], (1.0 - share) * weights / sums[1])
