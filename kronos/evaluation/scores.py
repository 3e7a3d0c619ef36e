"""Scores of one forecast against its outcomes, step by step, in log-returns from the origin.

A forecast with paths is scored by them. One with quantiles alone is scored by these, and its CRPS
is then an approximation, as `StepScores.crps_estimator` states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.errors import InvalidRequest

__all__ = [
    "BAND",
    "LEVELS",
    "Z80",
    "Z95",
    "FanScores",
    "StepScores",
    "crps_of_errors",
    "energy_score",
    "fair_crps",
    "level_weights",
    "log_score",
    "pinball",
    "qlike",
    "score_cone",
    "score_paths",
    "score_steps",
    "variogram_score",
]

LEVELS = (
    *(0.025, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.975),
)
"""Levels of the quantiles that are stored and learned from: the median, seven central intervals."""
BAND = (0.1, 0.9)
"""Levels of the band whose coverage is scored."""
Z80, Z95 = 1.2815515655446004, 1.959963984540054
"""Half widths of the central 80% and 95% of a standard normal."""


@dataclass(frozen=True, slots=True, eq=False)
class StepScores:
    """Scores at every step, each (H,), in log-returns.

    Attributes:
        crps: Continuous ranked probability score.
        crps_estimator: "fair" (by paths, unbiased in their number), "point" (one path: its
            absolute error) or "quantiles" (the pinball loss integrated over the levels).
        pinball: Pinball loss, the mean over all levels.
        interval_score: Weighted interval score of the median and the central intervals.
        inside: 1 where the outcome lies within `BAND`, else 0.
        width: Width of `BAND`.
        pit: Probability integral transform: the share of the forecast below the outcome, in
            (0, 1), uniform for a calibrated forecast.
        absolute_error: Distance of the median.
        direction: 1 where median and outcome have the same sign, 0 for opposite signs, NaN
            where one of them is 0.
        log_score: As of `log_score`; NaN without paths or where they are alike.
    """

    crps: np.ndarray
    crps_estimator: str
    pinball: np.ndarray
    interval_score: np.ndarray
    inside: np.ndarray
    width: np.ndarray
    pit: np.ndarray
    absolute_error: np.ndarray
    direction: np.ndarray
    log_score: np.ndarray


def score_steps(
    actual: np.ndarray,
    quantiles: np.ndarray,
    levels: np.ndarray,
    paths: np.ndarray | None = None,
) -> StepScores:
    """Scores quantiles, and paths where available.

    The tests compare the scores with those of the scoringrules library, which is not used here
    because it compiles for ten seconds in every process that imports it.

    Args:
        actual: (H,) actual log-returns from the origin.
        quantiles: (H, L) log-returns from the origin, ascending in the level.
        levels: (L,) levels, ascending, symmetric about the median and including it; L odd and at
            least 3, with both levels of `BAND`.
        paths: (N, H) sampled log-returns from the origin.

    Raises:
        InvalidRequest: The levels are others.
    """
    middle = len(levels) // 2
    places = [int(np.argmin(np.abs(levels - level))) for level in BAND]
    symmetric = len(levels) >= 3 and np.allclose(levels + levels[::-1], 1.0, atol=1e-9)
    if not symmetric or not np.allclose(levels[places], BAND) or len(levels) % 2 == 0:
        raise InvalidRequest(
            f"Levels must be symmetric about .5 and contain {BAND}, found {levels.tolist()}."
        )
    median, low, high = quantiles[:, middle], *(quantiles[:, place] for place in places)
    losses = pinball(actual[:, None] - quantiles, levels)
    crps, estimator = _crps(actual, losses, levels, paths)
    pit = _pit_of_quantiles(actual, quantiles, levels) if paths is None else _pit(actual, paths)
    return StepScores(
        crps=crps,
        crps_estimator=estimator,
        pinball=losses.mean(axis=1),
        # With the usual weights of median and intervals it is twice the mean pinball loss.
        interval_score=2 * losses.mean(axis=1),
        inside=((actual >= low) & (actual <= high)).astype(float),
        width=high - low,
        pit=pit,
        absolute_error=np.abs(actual - median),
        direction=np.where(actual * median != 0, np.sign(actual) == np.sign(median), np.nan),
        log_score=np.full(len(actual), np.nan) if paths is None else log_score(actual, paths),
    )


@dataclass(frozen=True, slots=True, eq=False)
class FanScores:
    """Scores of one forecast at every step, each (H,).

    Attributes:
        crps: Continuous ranked probability score over sigma * sqrt(h).
        inside: Whether the outcome lay between p10 and p90.
        inside95: Whether it lay between p2.5 and p97.5.
        width: p90 - p10 over sigma * sqrt(h).
        error: Distance of the outcome from the median, over sigma * sqrt(h).
    """

    crps: np.ndarray
    inside: np.ndarray
    inside95: np.ndarray
    width: np.ndarray
    error: np.ndarray


def score_paths(actual: np.ndarray, paths: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores sampled log-returns.

    Args:
        actual: (H,) actual log-returns from the origin.
        paths: (N, H) sampled log-returns from the origin; N at least 2.
        scale: (H,) sigma * sqrt(h), which makes assets and horizons comparable.
    """
    crps = fair_crps(actual, paths)
    lowest, low, median, high, highest = np.quantile(paths, (0.025, 0.1, 0.5, 0.9, 0.975), axis=0)
    return FanScores(
        crps / scale,
        (actual >= low) & (actual <= high),
        (actual >= lowest) & (actual <= highest),
        (high - low) / scale,
        np.abs(actual - median) / scale,
    )


def score_cone(actual: np.ndarray, scale: np.ndarray) -> FanScores:
    """Scores the normal cone of standard deviation `scale` in closed form: all (H,)."""
    from scipy.special import ndtr

    z = actual / scale
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    crps = z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)
    z = np.abs(z)
    return FanScores(crps, z <= Z80, z <= Z95, np.full(len(scale), 2 * Z80), z)


def fair_crps(actual: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """CRPS of samples (N, H) against outcomes (H,): (H,), in their units; N at least 2.

    The fair estimator, which does not favour small ensembles, in the form of probability-weighted
    moments: N log N, where comparing all pairs takes N * N memory.
    """
    n = len(paths)
    weights = 2.0 * np.arange(1, n + 1) - n - 1.0
    spread = weights @ np.sort(paths, axis=0) / (n * (n - 1))
    return np.asarray(np.abs(paths - actual).mean(axis=0) - spread)


def log_score(actual: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Negative log density of outcomes under samples, in nats; lower is better.

    The density is that of Gaussian kernels with Silverman's bandwidth, .9 min(s, IQR / 1.349) /
    N^(1/5), and of one Cauchy distribution with the samples' median and quartiles, which weighs as
    much as one sample. Without it, one outcome beyond all samples would decide the mean. The normal
    density of mean and variance (Dawid and Sebastiani) is steadier with few samples and blind to
    fat tails. Few samples cost a forecast some hundredths of a nat, so that scores are compared
    between forecasts of about as many.

    Args:
        actual: (H,) outcomes.
        paths: (N, H) samples.

    Returns:
        (H,), NaN with fewer than 3 samples or where half of them are alike. It depends on the unit:
        that of returns over a scale is the score of returns less log(scale).
    """
    n = len(paths)
    if n < 3:
        return np.full(len(actual), np.nan)
    low, median, high = np.quantile(paths, (0.25, 0.5, 0.75), axis=0)
    half = (high - low) / 2
    spread = np.minimum(paths.std(axis=0, ddof=1), (high - low) / 1.349)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = 0.9 * spread * n**-0.2
        kernels = np.exp(-0.5 * ((actual - paths) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        wide = 1.0 / (np.pi * half * (1.0 + ((actual - median) / half) ** 2))
        found = -np.log((kernels.sum(axis=0) + wide) / (n + 1))
    return np.where(spread > 0, found, np.nan)


def qlike(actual: np.ndarray, paths: np.ndarray) -> float:
    """QLIKE of the variance over the horizon; 0 is perfect.

    RV / F - log(RV / F) - 1, with the sum of squared one-bar returns RV and its mean over the
    samples F, which the true expectation minimises. Source: Patton 2011.

    Args:
        actual: (H,) log-returns from the origin.
        paths: (N, H) sampled ones.

    Returns:
        The loss; NaN where one of the two does not move.
    """
    expected = float(np.square(np.diff(paths, axis=1, prepend=0.0)).sum(axis=1).mean())
    realised = float(np.square(np.diff(actual, prepend=0.0)).sum())
    if not (expected > 0.0 and realised > 0.0):
        return float("nan")
    ratio = realised / expected
    return ratio - float(np.log(ratio)) - 1.0


def energy_score(actual: np.ndarray, paths: np.ndarray) -> float:
    """Energy score of whole paths, unbiased in their number.

    Args:
        actual: (H,) actual log-returns from the origin.
        paths: (N, H) sampled ones.
    """
    from scipy.spatial.distance import pdist

    distance = float(np.linalg.norm(paths - actual, axis=1).mean())
    return distance if len(paths) == 1 else distance - float(pdist(paths).mean()) / 2


def variogram_score(actual: np.ndarray, paths: np.ndarray, power: float = 0.5) -> float:
    """Variogram score of joint samples, which energy scores see poorly: dependence alone.

    The mean over all pairs of the squared error of E|X_i - X_j|^p. Source: Scheuerer and Hamill
    2015, with equal weights.

    Args:
        actual: (K,) outcomes.
        paths: (N, K) joint samples.
        power: p.
    """
    i, j = np.triu_indices(len(actual), 1)
    expected = (np.abs(paths[:, i] - paths[:, j]) ** power).mean(axis=0)
    return float(((np.abs(actual[i] - actual[j]) ** power - expected) ** 2).mean())


def level_weights(levels: np.ndarray) -> np.ndarray:
    """(L,) share of (0, 1) that is nearer to each level than to any other."""
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(borders)


def crps_of_errors(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """CRPS of quantiles, approximated by their pinball losses.

    Args:
        errors: (..., L) outcome minus quantile.
        levels: (L,) levels, ascending.

    Returns:
        (...,) in the units of the errors.
    """
    return 2.0 * pinball(errors, levels) @ level_weights(levels)


def pinball(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(..., L) pinball losses.

    Args:
        errors: (..., L) outcome minus quantile.
        levels: (L,) levels.
    """
    return np.asarray(np.maximum(levels * errors, (levels - 1.0) * errors))


def _crps(
    actual: np.ndarray, losses: np.ndarray, levels: np.ndarray, paths: np.ndarray | None
) -> tuple[np.ndarray, str]:
    if paths is None:
        return 2 * losses @ level_weights(levels), "quantiles"
    if len(paths) == 1:
        return np.abs(paths[0] - actual), "point"
    return fair_crps(actual, paths), "fair"


def _pit(actual: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Rank of the outcome among the paths, in the middle of equal ones."""
    below, equal = (paths < actual).sum(axis=0), (paths == actual).sum(axis=0)
    return (below + equal / 2 + 0.5) / (len(paths) + 1)


def _pit_of_quantiles(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Level of the outcome between the quantiles; beyond them, the middle of the rest."""
    ends = levels[0] / 2, (1 + levels[-1]) / 2
    found = [
        np.interp(value, row, levels, left=ends[0], right=ends[1])
        for value, row in zip(actual, quantiles, strict=True)
    ]
    return np.array(found)
