"""Synthetic series: whether a discriminator tells them from real ones, and what is learned on them.

The discriminative score is |accuracy - .5| on windows of instruments (or times) it was not trained
on: 0 where it cannot tell, .5 where it always can. Train on synthetic, test on real: a predictor
of the next bar's return is scored by RankIC on real windows, beside one that was trained on real
ones. Both are LSTMs of two layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from kronos.context import CLOSE, VOLUME, Context
from kronos.forecast import path_uniforms
from kronos.forecasters.baselines.bootstrap import block_bootstrap
from kronos.forecasters.baselines.history import History, candles_of
from kronos.tasks.direction import rank_correlation
from kronos.tasks.windows import Estimate, Window, estimate
from kronos.training.corpus import Corpus

__all__ = ["bootstrap_series", "discriminative_score", "features", "split", "train_on_synthetic"]

_HIDDEN, _BATCH, _RATE, _CLIP = 32, 128, 3e-3, 20.0
_TEST_SHARE = 0.3


def features(context: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """Bars in units of their context, whatever the instrument.

    Args:
        context: (T, 6) bars before.
        bars: (H, 6) bars.

    Returns:
        (H, 5): log of open, high, low and close over the close before, in standard deviations of
        a return of the context; log of 1 + volume over its mean.
    """
    closes = np.concatenate([context[-1:, CLOSE], bars[:, CLOSE]])
    sigma = max(float(np.std(np.diff(np.log(context[:, CLOSE])))), 1e-6)
    moves = np.log(bars[:, :4] / closes[:-1, None]) / sigma
    volume = np.log1p(bars[:, VOLUME] / (float(context[:, VOLUME].mean()) or 1.0))
    return np.clip(np.column_stack([moves, volume]), -_CLIP, _CLIP)


def bootstrap_series(
    corpus: Corpus, windows: Sequence[Window], lookback: int, horizon: int, seed: int
) -> list[np.ndarray]:
    """One block bootstrap (H, 6) of the context of every window."""
    noise = path_uniforms(seed, len(windows), horizon)
    found = []
    for i, window in enumerate(windows):
        rows = slice(window.origin - lookback, window.origin)
        fields = corpus.stamps[rows].astype(np.int64)
        history = History.of(Context(corpus.values[rows].astype(np.float64), fields))
        found.append(candles_of(history, block_bootstrap(history, noise[i : i + 1]))[0])
    return found


def split(windows: Sequence[Window]) -> np.ndarray:
    """(n,) whether a window is for the test: the last series, or the last times of a single one."""
    names = [window.series.name for window in windows]
    order = sorted(set(names))
    if len(order) < 3:
        place = np.argsort(np.argsort([window.origin for window in windows], kind="stable"))
        return np.asarray(place >= (1 - _TEST_SHARE) * len(windows))
    counts = np.cumsum([names.count(name) for name in order]) / len(names)
    last = {name for name, share in zip(order, counts, strict=True) if share > 1 - _TEST_SHARE}
    return np.array([name in last for name in names])


def discriminative_score(
    real: np.ndarray, made: np.ndarray, is_test: np.ndarray, *, seed: int = 0, steps: int = 400
) -> Estimate:
    """|accuracy - .5| of a discriminator on windows it was not trained on.

    Args:
        real: (n, H, C) features of real windows.
        made: (n, H, C) those of synthetic ones, in the same order.
        is_test: (n,) windows of the test.
        seed: Seed of the training.
        steps: Batches of 128 windows.
    """
    x = np.concatenate([real[~is_test], made[~is_test]])
    y = np.concatenate([np.ones(int((~is_test).sum())), np.zeros(int((~is_test).sum()))])
    fitted = _fit(x, y[:, None], seed, steps, each_step=False)
    hits = [(_apply(fitted, x[is_test])[:, 0] > 0) == (x is real) for x in (real, made)]
    right = np.mean(np.stack(hits), axis=0)  # a real window and its synthetic one are one term
    found = estimate(right - 0.5)
    if found.value >= 0:
        return found
    return Estimate(-found.value, -found.t, -found.high, -found.low, found.n)


def train_on_synthetic(
    real: np.ndarray, made: np.ndarray, is_test: np.ndarray, *, seed: int = 0, steps: int = 400
) -> Estimate:
    """RankIC of a predictor of the next return, trained on `made` and tested on real windows.

    Args:
        real: (n, H, C) features of real windows; those of the test are the test.
        made: (n, H, C) windows of the training: synthetic, or real for the comparison.
        is_test: (n,) windows of the test.
        seed: Seed of the training.
        steps: Batches of 128 windows.
    """
    train, test = made[~is_test], real[is_test]
    fitted = _fit(train[:, :-1], train[:, 1:, CLOSE], seed, steps, each_step=True)
    expected = _apply(fitted, test[:, :-1])
    values = [rank_correlation(a, b) for a, b in zip(expected, test[:, 1:, CLOSE], strict=True)]
    return estimate(np.array(values))


class _Reader(nn.Module):
    """Two layers of LSTM and a number, for the whole window or after every bar."""

    def __init__(self, x: torch.Tensor, *, each_step: bool) -> None:
        super().__init__()
        self.mean, self.scale = x.mean((0, 1)), x.std((0, 1)) + 1e-6
        self.lstm = nn.LSTM(x.shape[-1], _HIDDEN, num_layers=2, batch_first=True)
        self.head = nn.Linear(_HIDDEN, 1)
        self.each_step = each_step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.lstm((x - self.mean) / self.scale)[0]
        # A window is judged by the mean of its bars: the last one alone learns slowly.
        out: torch.Tensor = self.head(h)[..., 0] if self.each_step else self.head(h.mean(1))
        return out


def _fit(x: np.ndarray, y: np.ndarray, seed: int, steps: int, *, each_step: bool) -> _Reader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs, wanted = torch.tensor(x).float(), torch.tensor(y).float()
        reader = _Reader(inputs, each_step=each_step)
        optimizer = torch.optim.Adam(reader.parameters(), lr=_RATE)
        loss_of = nn.functional.mse_loss if each_step else _binary
        for _ in range(steps):
            rows = torch.randint(len(inputs), (_BATCH,))
            loss = loss_of(reader(inputs[rows]), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return reader.eval()


def _binary(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(found, wanted)


@torch.inference_mode()
def _apply(reader: _Reader, x: np.ndarray) -> np.ndarray:
    parts = [reader(part) for part in torch.tensor(x).float().split(512)]
    return np.asarray(torch.cat(parts).numpy())
