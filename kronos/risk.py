"""Risk of a position, read from sampled paths; every figure with its sampling error.

Losses and gains are shares of the last close, without costs. Paths are weighted alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from kronos.errors import InvalidRequest

__all__ = [
    "CONFIDENCE",
    "FEWEST_WORST",
    "Estimate",
    "FirstTouch",
    "ImpliedView",
    "RiskRow",
    "Side",
    "corridor",
    "drawdowns",
    "expected_shortfall",
    "first_touch",
    "implied_cone",
    "implied_scale",
    "implied_view",
    "position_size",
    "quantile_of",
    "share_of",
    "value_at_risk",
]

Side = Literal["long", "short"]
CONFIDENCE = (0.95, 0.99)
"""Levels of value at risk and shortfall that are shown."""
FEWEST_WORST = 10
"""Paths beyond a level below which its figures, and their errors, say little."""
_LEFT_OUT_BELOW = 200
"""Paths below which each is judged by a band of the others."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of sampled paths, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class RiskRow:
    """A figure with its name.

    Attributes:
        measure: What it is, such as "Value at risk 95%".
        side: Of the position; "" where the figure is of the fan.
        estimate: Value and standard error; shares, unless the measure says bars.
    """

    measure: str
    side: Side | Literal[""]
    estimate: Estimate


def share_of(hits: np.ndarray) -> Estimate:
    """The share of paths (N,) of which something is true.

    Where it is of none or of all, the error is that of a share with two more hits and two more
    misses (Agresti and Coull 1998): N paths do not show that something cannot happen.
    """
    n, share = len(hits), float(np.mean(hits))
    spread = share * (1.0 - share) / n
    if share in (0.0, 1.0):
        spread = 2.0 * (n + 2.0) / (n + 4.0) ** 3
    return Estimate(share, float(np.sqrt(spread)))


def quantile_of(values: np.ndarray, level: float) -> Estimate:
    """A quantile of samples (N,).

    Its error is half the distance between the quantiles one binomial standard error below and above
    the level, which needs no density; beyond the last sample, the larger of the two distances.

    Raises:
        InvalidRequest: The level is not between 0 and 1.
    """
    _require_level(level)
    step = np.sqrt(level * (1.0 - level) / len(values))
    low, value, high = np.quantile(values, np.clip([level - step, level, level + step], 0.0, 1.0))
    room = 1.0 / len(values)
    is_cut = level - step < room or level + step > 1.0 - room
    error = max(high - value, value - low) if is_cut else (high - low) / 2.0
    return Estimate(float(value), float(error))


def value_at_risk(returns: np.ndarray, level: float = 0.95, side: Side = "long") -> Estimate:
    """The loss that is exceeded with probability 1 - level.

    Args:
        returns: (N,) returns of the instrument, 0.02 for 2% up.
        level: Confidence, such as .95.
        side: Of the position.

    Raises:
        InvalidRequest: The level is not between 0 and 1.
    """
    return quantile_of(_losses(returns, side), level)


def expected_shortfall(returns: np.ndarray, level: float = 0.95, side: Side = "long") -> Estimate:
    """The mean of the losses beyond the value at risk; arguments as there.

    The worst share 1 - level of the paths counts, the path at its border in part (Acerbi and Tasche
    2002). The error is that of its asymptotic variance, with the sample variance of the worst
    paths; NaN with fewer than two of them. With fewer than `FEWEST_WORST` it is too small.
    """
    _require_level(level)
    losses = np.sort(_losses(returns, side))[::-1]
    n_worst = (1.0 - level) * len(losses)
    whole = int(n_worst)
    weights = np.zeros(len(losses))
    weights[:whole] = 1.0
    if whole < len(losses):
        weights[whole] = n_worst - whole
    weights /= n_worst
    mean = float(weights @ losses)
    border = float(np.quantile(losses, level))
    spread = float(weights @ (losses - mean) ** 2)
    if n_worst < 2.0:
        return Estimate(mean, float("nan"))
    spread *= n_worst / (n_worst - 1.0)
    variance = (spread + level * (mean - border) ** 2) / n_worst
    return Estimate(mean, float(np.sqrt(variance)))


def drawdowns(
    opens: np.ndarray, highs: np.ndarray, lows: np.ndarray, start: float, side: Side = "long"
) -> np.ndarray:
    """The largest fall from a peak within the horizon, of every path: (N,) shares of the peak.

    The peak is the start, the high of an earlier bar, or the open of the bar itself: whether its
    own high came before its low is not known, and not assumed. For a short position it is the
    largest rise from a trough, likewise.

    Args:
        opens: (N, H) opens.
        highs: (N, H) highs.
        lows: (N, H) lows.
        start: The last close.
        side: Of the position.
    """
    first = np.full((len(opens), 1), start)
    if side == "long":
        peaks = np.maximum.accumulate(np.concatenate([first, highs], axis=1), axis=1)[:, :-1]
        return np.asarray((1.0 - lows / np.maximum(peaks, opens)).max(axis=1).clip(0.0))
    troughs = np.minimum.accumulate(np.concatenate([first, lows], axis=1), axis=1)[:, :-1]
    return np.asarray((highs / np.minimum(troughs, opens) - 1.0).max(axis=1).clip(0.0))


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """Which of a stop and a target is reached first.

    Attributes:
        stop: Probability that the stop is reached first.
        target: Probability that the target is.
        neither: Probability that neither is within the horizon.
        both: Probability that one bar reaches both; it counts as the stop, for the order within a
            bar is not known.
        bars_to_stop: Mean number of bars to the stop, where it is first; NaN where it never is.
        bars_to_target: Likewise.
    """

    stop: Estimate
    target: Estimate
    neither: Estimate
    both: Estimate
    bars_to_stop: Estimate
    bars_to_target: Estimate


def first_touch(
    highs: np.ndarray, lows: np.ndarray, start: float, stop: float, target: float
) -> FirstTouch:
    """Stop before target, of a long position where the stop is below, else of a short one.

    Args:
        highs: (N, H) highs.
        lows: (N, H) lows.
        start: The last close.
        stop: Price at which the position is closed with a loss.
        target: Price at which it is closed with a gain.

    Raises:
        InvalidRequest: The last close is not between the two.
    """
    if not (0.0 < min(stop, target) < start < max(stop, target) < np.inf):
        raise InvalidRequest(
            f"The last close, {start:g}, must be between stop and target, found a stop of {stop:g} "
            f"and a target of {target:g}."
        )
    low, high = lows <= min(stop, target), highs >= max(stop, target)
    at_stop, at_target = (low, high) if stop < target else (high, low)
    never = at_stop.shape[1]
    to_stop, to_target = (
        np.where(each.any(axis=1), each.argmax(axis=1), never) for each in (at_stop, at_target)
    )
    is_stop = (to_stop <= to_target) & (to_stop < never)
    is_target = to_target < to_stop
    return FirstTouch(
        share_of(is_stop),
        share_of(is_target),
        share_of(~is_stop & ~is_target),
        share_of((to_stop == to_target) & (to_stop < never)),
        _mean_of(to_stop[is_stop] + 1.0),
        _mean_of(to_target[is_target] + 1.0),
    )


def years_of(interval_days: float, *, bars_a_day: float, is_open_always: bool) -> float:
    """Length of a bar in years of trading: 365 days round the clock, else 252 sessions.

    Args:
        interval_days: Width of a bar in days.
        bars_a_day: Bars of a session; counts for bars of less than a day.
        is_open_always: Whether the market has no sessions.
    """
    days = 365.0 if is_open_always else 252.0
    if interval_days < 1.0:
        return 1.0 / (days * bars_a_day)
    # A week has five sessions, a month 21.
    return interval_days / 365.0 if is_open_always or interval_days > 1.0 else 1.0 / days


def position_size(start: float, stop: float, budget: float) -> float:
    """Share of the capital in a position that loses the budget at its stop.

    A gap beyond the stop loses more.

    Args:
        start: The last close.
        stop: The stop.
        budget: Share of the capital that may be lost, .01 for 1%.

    Raises:
        InvalidRequest: The stop is the last close, or the budget is not between 0 and 1.
    """
    if not 0.0 < budget < 1.0:
        raise InvalidRequest(f"The risk budget must be between 0 and 1, found {budget:g}.")
    distance = abs(stop / start - 1.0)
    if not distance > 0.0:
        raise InvalidRequest(f"The stop must differ from the last close, found {stop:g} for both.")
    return budget / distance


def corridor(closes: np.ndarray, share: float = 0.8) -> np.ndarray:
    """A band that holds whole paths: (2, H) its lower and upper edge.

    The pointwise 80% band, widened about the median by one factor at all steps, so that the share
    of the paths is inside at all of them. A factor for all needs few paths, where quantiles of
    their extremes would need many.

    Args:
        closes: (N, H) closes, above 0.
        share: Share of the paths, between 0 and 1.

    Raises:
        InvalidRequest: The share is not between 0 and 1, or there are fewer than 3 paths.
    """
    _require_level(share)
    logs = np.log(closes)
    n = len(logs)
    if n < 3:
        raise InvalidRequest(f"A corridor needs 3 paths or more, found {n}.")
    band = _band(logs)
    if n < _LEFT_OUT_BELOW:
        distance = np.array(
            [_distance(logs[i : i + 1], _band(np.delete(logs, i, axis=0)))[0] for i in range(n)]
        )
    else:
        distance = _distance(logs, band)
    # As of one path more, which is the one to come.
    factor = np.quantile(distance, min(1.0, share * (n + 1) / n))
    median, below, above = band
    return np.exp(np.stack([median - factor * below, median + factor * above]))


def _band(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median of log-closes (N, H), and the distances of p10 and p90 from it: three (H,)."""
    low, median, high = np.quantile(logs, (0.1, 0.5, 0.9), axis=0)
    return median, np.maximum(median - low, 1e-12), np.maximum(high - median, 1e-12)


def _distance(logs: np.ndarray, band: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """(N,) the largest distance of each path from the median, in distances of the band."""
    median, below, above = band
    return np.asarray(np.maximum((logs - median) / above, (median - logs) / below).max(axis=1))


def implied_scale(volatility: float, years: np.ndarray | Sequence[float]) -> np.ndarray:
    """Standard deviations of log-returns after some times, at an annual volatility: (H,).

    Args:
        volatility: Annual, .62 for 62%.
        years: (H,) times from the origin.

    Raises:
        InvalidRequest: The volatility is not above 0.01%, or is above 1,000%.
    """
    if not 1e-4 < volatility <= 10.0:
        raise InvalidRequest(
            f"An implied volatility must be above 0.01% and at most 1,000%, found {volatility:.4g} "
            "(1 is 100%)."
        )
    return volatility * np.sqrt(np.asarray(years, float))


def implied_cone(
    start: float,
    volatility: float,
    years: np.ndarray | Sequence[float],
    levels: Sequence[float] = (0.1, 0.5, 0.9),
) -> np.ndarray:
    """Quantiles of the log-normal prices of an implied volatility: (L, H).

    The price is a martingale: the mean of its logarithm lies half the variance below the start.

    Args:
        start: The last close.
        volatility: Annual, .62 for 62%.
        years: (H,) times from the origin.
        levels: (L,) levels, each between 0 and 1.

    Raises:
        InvalidRequest: The volatility or a level is out of range.
    """
    for level in levels:
        _require_level(level)
    scale = implied_scale(volatility, years)
    z = np.array([NormalDist().inv_cdf(level) for level in levels])[:, None]
    return np.asarray(start * np.exp(-(scale**2) / 2.0 + z * scale))


@dataclass(frozen=True, slots=True)
class ImpliedView:
    """The fan beside the cone of an implied volatility, at the horizon.

    Attributes:
        own: Annualised volatility of the paths.
        low: The implied p10, a price.
        high: The implied p90.
        beyond_implied: Share of the paths outside the implied 80% range; .2 where both agree.
        beyond_fan: Implied probability of a close outside the paths' 80% range; .2 likewise.
    """

    own: float
    low: float
    high: float
    beyond_implied: Estimate
    beyond_fan: Estimate


def implied_view(closes: np.ndarray, start: float, volatility: float, years: float) -> ImpliedView:
    """Compare the paths at the horizon with an implied volatility.

    Args:
        closes: (N,) closes at the horizon.
        start: The last close.
        volatility: Annual, .62 for 62%.
        years: Length of the horizon.

    Raises:
        InvalidRequest: The volatility is out of range.
    """
    low, high = implied_cone(start, volatility, [years], (0.1, 0.9))[:, 0]
    scale = float(implied_scale(volatility, [years])[0])
    implied = NormalDist(np.log(start) - scale**2 / 2.0, scale)
    below, above = (quantile_of(np.log(closes), level) for level in (0.1, 0.9))
    # The error of a probability is that of its edge times the density there.
    errors = [implied.pdf(edge.value) * edge.error for edge in (below, above)]
    beyond = implied.cdf(below.value) + 1.0 - implied.cdf(above.value)
    return ImpliedView(
        float(np.std(np.log(closes / start)) / np.sqrt(years)),
        float(low),
        float(high),
        share_of((closes < low) | (closes > high)),
        Estimate(beyond, math.hypot(*errors)),
    )


def _losses(returns: np.ndarray, side: Side) -> np.ndarray:
    return -returns if side == "long" else returns


def _mean_of(values: np.ndarray) -> Estimate:
    if not len(values):
        return Estimate(float("nan"), float("nan"))
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Estimate(float(values.mean()), error)


def _require_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise InvalidRequest(f"A level must be between 0 and 1, found {level:g}.")
