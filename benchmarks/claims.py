"""How often a claim "better than the cone" is false, and how soon a true one is made.

    python -m benchmarks.claims [--records 1000] [--blocks 250]

Simulates records of daily origins whose forecasts of 8 bars overlap, for 3 instruments that move
together, and watches each record after every block of outcomes. A claim is made by the e-process
of `kronos.evaluation.evidence`; beside it stands the fixed-sample 95% interval of the same blocks,
from mean and standard error: watched after every block from the tenth on (which it is not made
for), and read once. The second table says how many blocks each of the two needs.

Ties, in which no origin has an expected gain:

  narrow     ours is 25% too narrow, the rival as much too wide as costs the same: many small gains,
             few large losses
  wide       the same, turned around
  errors     both misjudge the volatility, by equally much
  shifted    ours has the median too high, the rival too low

Gains, as shares of the rival's score: ours is right, and the rival misjudges the volatility by as
much as costs it so much. Errors of the volatility are drawn anew every 8 days and are the same for
all instruments.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from benchmarks.revision import revision
from kronos.evaluation.evidence import ENOUGH, evidence, quantile_gains
from kronos.evaluation.scores import LEVELS, crps_of_errors

HORIZON, INSTRUMENTS, TOGETHER, FIRST_LOOK = 8, 3, 0.5, 10
TIES = ("narrow", "wide", "errors", "shifted")
GAINS = (0.01, 0.03, 0.05)
_LEVELS = np.array(LEVELS)
_NORMAL = ndtri(_LEVELS)
_GRID = np.linspace(-9.0, 9.0, 4001)
_DENSITY = np.exp(-0.5 * _GRID**2) / np.sqrt(2 * np.pi) * (_GRID[1] - _GRID[0])


def expected_score(width: float) -> float:
    """Score of a normal forecast of that width, of outcomes of width 1."""
    return float(crps_of_errors(_GRID[:, None] - width * _NORMAL, _LEVELS) @ _DENSITY)


def equal_width(narrow: float) -> float:
    """The width above 1 that scores like one below."""
    target = expected_score(narrow)
    return float(brentq(lambda width: expected_score(width) - target, 1.0, 3.0))


def spread_of(gain: float) -> float:
    """Standard deviation of the log of the rival's widths at which it scores 1 / (1 - gain)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()

    def excess(spread: float) -> float:
        scores = [expected_score(float(np.exp(spread * node))) for node in nodes]
        return float(1.0 - expected_score(1.0) / (weights @ scores)) - gain

    return float(brentq(excess, 0.01, 1.5))


def simulated(case: str | float, n_blocks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Pairs for `evidence` of one record: a tie by its name, or a gain."""
    n_dates = n_blocks * HORIZON
    common = rng.normal(size=(n_dates + HORIZON, 1))
    own = rng.normal(size=(n_dates + HORIZON, INSTRUMENTS))
    walks = np.cumsum(np.sqrt(TOGETHER) * common + np.sqrt(1 - TOGETHER) * own, axis=0)
    steps = np.arange(1, HORIZON + 1)
    date, step, place = np.meshgrid(
        np.arange(n_dates), steps, np.arange(INSTRUMENTS), indexing="ij"
    )
    # The outcome of a step over the root of the step has width 1; bar 0 is the origin of date 0.
    at = np.concatenate([np.zeros((1, INSTRUMENTS)), walks])
    actual = ((at[date + step, place] - at[date, place]) / np.sqrt(step)).ravel()
    ours, theirs = _widths(case, date, rng)
    shift = 0.25 if case == "shifted" else 0.0
    gain, bound = quantile_gains(
        actual, ours[:, None] * _NORMAL + shift, theirs[:, None] * _NORMAL - shift, _LEVELS
    )
    first = np.datetime64("2020-01-01", "ns")
    day = np.timedelta64(1, "D")
    return pd.DataFrame(
        {
            "begin": first + date.ravel() * day,
            "end": first + (date + step).ravel() * day,
            "gain": gain,
            "bound": bound,
        }
    )


def _widths(
    case: str | float, date: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n = date.size
    if case in ("narrow", "wide"):
        pair = np.full(n, 0.75), np.full(n, equal_width(0.75))
        return pair if case == "narrow" else pair[::-1]

    def errors(spread: float) -> np.ndarray:
        drawn = rng.normal(size=date.shape[0])
        return np.asarray(np.exp(spread * drawn)[date // HORIZON].ravel())

    if case == "errors":
        return errors(0.3), errors(0.3)
    return np.ones(n), np.ones(n) if case == "shifted" else errors(spread_of(float(case)))


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What one record showed after each of its blocks, by both ways.

    Attributes:
        claimed: (n,) whether the e-process has claimed a gain by then.
        above: (n,) whether the interval lies above 0 then.
    """

    claimed: np.ndarray
    above: np.ndarray


def watch(pairs: pd.DataFrame) -> Watched:
    """Look at a record after each of its blocks."""
    found = evidence(pairs)
    gains = _block_gains(pairs, found.times)
    n = np.arange(1, len(gains) + 1)
    mean = np.cumsum(gains) / n
    variance = np.maximum(np.cumsum(gains**2) / n - mean**2, 0.0) * n / np.maximum(n - 1, 1)
    above = (mean > 1.96 * np.sqrt(variance / n)) & (n >= FIRST_LOOK)
    return Watched(np.maximum.accumulate(found.better >= np.log(ENOUGH)), above)


def _block_gains(pairs: pd.DataFrame, times: pd.DatetimeIndex) -> np.ndarray:
    """Mean gain of the outcomes that ended by each block, after the one before."""
    block = np.searchsorted(times.tz_localize(None).to_numpy(), pairs["end"].to_numpy(), "left")
    means = pairs["gain"].groupby(block).mean()
    return means[means.index < len(times)].to_numpy()


def tables(n_records: int, n_blocks: int) -> str:
    """The two tables, as Markdown."""
    lines = [
        "| truth | claims by e-values, watched | interval, watched | interval, read at the end |",
        "| --- | ---: | ---: | ---: |",
    ]
    looks = [n for n in (25, 50, 100, 200, 400, 800) if n <= n_blocks]
    later = [
        f"| truth | {' | '.join(f'{n} blocks' for n in looks)} |",
        f"| --- |{' ---: |' * len(looks)}",
    ]
    for number, case in enumerate((*TIES, *GAINS)):
        seeds = np.random.SeedSequence([45, number]).spawn(n_records)
        seen = [watch(simulated(case, n_blocks, np.random.default_rng(seed))) for seed in seeds]
        claimed = np.array([one.claimed[:n_blocks] for one in seen])
        above = np.array([one.above[:n_blocks] for one in seen])
        title = f"tie, {case}" if isinstance(case, str) else f"gain of {case:.0%}"
        ever, once = above.any(axis=1).mean(), above[:, -1].mean()
        lines.append(f"| {title} | {claimed[:, -1].mean():.1%} | {ever:.1%} | {once:.1%} |")
        if not isinstance(case, str):
            shares = [(claimed[:, n - 1].mean(), above[:, n - 1].mean()) for n in looks]
            cells = [f"{evident:.0%} (interval {interval:.0%})" for evident, interval in shares]
            later.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *later])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=250)
    given = parser.parse_args()
    started = time.perf_counter()
    print(tables(given.records, given.blocks))
    print(
        f"\n{given.records:,} records of {given.blocks} blocks each; {platform.machine()}, code "
        f"{revision()}, {time.perf_counter() - started:.0f} s."
    )
