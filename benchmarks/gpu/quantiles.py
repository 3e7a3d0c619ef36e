"""The quantiles of a fan in bfloat16 against those in float32.

Of the paths in bfloat16, the share at or below a quantile in float32 should be that quantile's
level. How far it may be off is known without any assumption on the fan: both shares are counts of
independent paths, so the difference has the variance 2 p (1 - p) / N. The paths of both formats are
drawn from the same noise; a fan in float32 from other noise shows what the sampling error looks
like.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.draws import load
from benchmarks.gpu.results import Found, Work
from benchmarks.speed.workload import Checkpoint, Workload, prepare
from kronos.context import CLOSE, as_times, calendar_fields, read_context
from kronos.forecast import SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.nn.checkpoint import load_tokenizer
from kronos.system import asset_path

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
FALSE_ALARM = 0.001
"""Chance that any of the differences of a unit exceeds its limit although the formats agree."""


def models(is_dry: bool) -> list[str]:
    """What is checked: the units of the part."""
    return ["bundled"] if is_dry else ["bundled", "base"]


def check(work: Work) -> None:
    """Looks for every unit of `models`."""
    for name in models(work.is_dry):
        work.look(name, lambda name=name: _compare(name, work))  # type: ignore[misc]


def _compare(name: str, work: Work) -> Found:
    n_paths, n_bars, horizon = (128, 48, 3) if work.is_dry else (4096, 128, 24)
    if name == "bundled":
        tokenizer = asset_path("bundled", "tokenizer")
        checkpoint = Checkpoint(name, "", asset_path("bundled", "model"), tokenizer, 512)
    else:
        checkpoint = prepare(name, work.scratch)
    workload = Workload(checkpoint, n_bars, n_paths, horizon, work.device)
    (bars,) = workload.series()
    context = read_context(bars, as_times(bars.index, "index"), len(bars))
    future = calendar_fields(workload.future(bars))

    def closes(dtype: torch.dtype, seed: int) -> np.ndarray:
        predictor = KronosPredictor(
            load(name, work.scratch),
            load_tokenizer(checkpoint.tokenizer),
            work.device,
            checkpoint.max_context,
            dtype=dtype,
        )
        sampling = SamplingParameters(sample_count=n_paths, seed=seed)
        paths, _ = predictor.sample([context], [future], sampling)
        return paths[0, ..., CLOSE]

    exact = closes(torch.float32, seed=1)
    rounded, other = closes(torch.bfloat16, seed=1), closes(torch.float32, seed=2)
    return judge(exact, rounded, other)


def judge(exact: np.ndarray, rounded: np.ndarray, other: np.ndarray) -> Found:
    """Compares closes (N, H): of float32, of bfloat16, and of float32 from other noise."""
    found, control = scores(exact, rounded), scores(exact, other)
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / 2 / found.size)
    worst = float(np.abs(found).max())
    figures: dict[str, Any] = {
        "worst": worst,
        "root mean square": float(np.sqrt((found**2).mean())),
        "worst of other noise": float(np.abs(control).max()),
        "limit": limit,
        "same first closes": float((exact[:, 0] == rounded[:, 0]).mean()),
    }
    text = (
        f"{found.size} quantiles of {len(exact):,} paths: off by {worst:.1f} standard errors at "
        f"most, {figures['root mean square']:.2f} in the root mean square (other noise in float32: "
        f"{figures['worst of other noise']:.1f} at most; limit {limit:.1f}); "
        f"{figures['same first closes']:.0%} of the first closes are the same"
    )
    if worst <= limit:
        return Found(True, text, figures)
    step, level = np.unravel_index(np.abs(found).argmax(), found.shape)
    return Found(False, f"{text}. Worst: the {LEVELS[level]:.0%} of step {step + 1}", figures)


def scores(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Differences (H, levels) of the shares of paths below a quantile, in standard errors.

    Args:
        expected: (N, H), whose quantiles are taken.
        found: (N, H).
    """
    levels, n = np.asarray(LEVELS), len(found)
    quantiles = np.quantile(expected, LEVELS, axis=0, method="inverted_cdf")  # (levels, H)

    def shares(paths: np.ndarray) -> np.ndarray:
        # Tokens are discrete: equal values count half.
        below = (paths[None] < quantiles[:, None]).mean(axis=1)
        equal = (paths[None] == quantiles[:, None]).mean(axis=1)
        return below + equal / 2

    differences: np.ndarray = (shares(found) - shares(expected)).T
    return differences / np.sqrt(2 * levels * (1 - levels) / n)
