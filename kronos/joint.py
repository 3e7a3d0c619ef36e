"""Joint futures of several instruments: whole paths are moved, no marginal changes.

Fans of single instruments do not say which of their paths happen together. Here they are matched
to futures simulated from common history: blocks of past bars, the same bars for every instrument,
in units of each one's volatility at the time (filtered historical simulation of the cross-section;
Barone-Adesi, Giannopoulos and Vosper 1999). The paths of an instrument are permuted so that their
ranks follow those of its simulated futures, at the last step above all, then at the first and two
between: finitely many paths cannot follow at every step. For one step this is the Schaake shuffle
(Clark and others 2004). A fan keeps exactly its paths, and so every quantile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kronos.candles import Candles, shared_times
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import DECAY, WARMUP
from kronos.forecast import Forecast

__all__ = [
    "MATCHED_STEPS",
    "MIN_COMMON_BARS",
    "JointForecast",
    "Member",
    "PortfolioFan",
    "join",
    "match",
]

MIN_COMMON_BARS = 60
"""Fewest common returns from which ranks are learned."""
MAX_COMMON_BARS = 1000
"""Most common returns that are read: what moved together years ago need not do so now."""
MATCHED_STEPS = {0.0: 0.7, 1 / 3: 0.5, 2 / 3: 0.5, 1.0: 1.5}
"""Share of the horizon -> weight of the ranks there; benchmarks/joint.py compares with others."""
_BLOCK = 5
"""Bars drawn together, so that a market that follows another a bar later goes on doing so."""
_AT_ONCE = 1000
"""Paths matched at once: the time of a matching grows with the cube of their number."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """What a joint forecast needs of one instrument.

    Attributes:
        closes: Closes up to the origin, indexed by times that instruments share: see
            `kronos.candles.shared_times`.
        times: (H,) times of the forecast bars, likewise.
        paths: (N, H) closes of every path.
        interval: Width of a bar.
    """

    closes: pd.Series
    times: pd.DatetimeIndex
    paths: np.ndarray
    interval: str

    @classmethod
    def of(cls, candles: Candles, forecast: Forecast) -> Member:
        """The part of a forecast; bars after its origin are not read."""
        known = candles.at_origin(forecast.origin, n_actuals=0).history
        known = known.slice(-2 * MAX_COMMON_BARS)  # enough where others have fewer bars in a day
        stamps = forecast.timestamps
        stamps = stamps.tz_localize(candles.zone) if stamps.tz is None else stamps
        closes = pd.Series(
            known.frame["close"].to_numpy(), shared_times(known.local_index, candles.interval)
        )
        times = shared_times(stamps.tz_convert(candles.zone), candles.interval)
        # A copy: a view of the closes would keep the other five columns in memory.
        paths = np.ascontiguousarray(forecast.column("close"))
        return cls(closes, times, paths, candles.interval)

    @property
    def last_close(self) -> float:
        return float(self.closes.iloc[-1])


@dataclass(frozen=True, slots=True, eq=False)
class JointForecast:
    """Paths of several instruments that happen together.

    Attributes:
        order: By name, K of them: (N,) the path of each instrument in every joint future.
        growth: (N, S, K) close over the last close, in every joint future, at the common times.
        times: (S,) common times without a zone: open times in UTC, or dates for bars of a day or
            more.
        correlation: (K, K) correlation of one-bar returns in common history, each in units of
            its volatility at the time.
        n_common: Common returns that were read.
    """

    order: dict[str, np.ndarray]
    growth: np.ndarray
    times: pd.DatetimeIndex
    correlation: pd.DataFrame
    n_common: int

    @property
    def names(self) -> list[str]:
        return list(self.order)

    def moved(self, name: str, forecast: Forecast) -> Forecast:
        """A forecast with its paths in the joint order."""
        return replace(forecast, paths=forecast.paths[self.order[name]])

    def portfolio(self, weights: Mapping[str, float]) -> PortfolioFan:
        """A portfolio that is bought at the last closes and held.

        Args:
            weights: Share of the capital by name, negative for a short position; a name that is
                left out has none. What they leave of 1 is cash, or debt, without interest.

        Raises:
            InvalidRequest: A name is unknown, a weight is not a finite number, or all are 0.
        """
        unknown = [name for name in weights if name not in self.order]
        if unknown:
            raise InvalidRequest(
                f"No forecast of {', '.join(unknown)}; there are those of {', '.join(self.names)}."
            )
        shares = np.array([float(weights.get(name, 0.0)) for name in self.names])
        if not np.isfinite(shares).all() or not shares.any():
            raise InvalidRequest(
                "The weights of a portfolio must be finite and not all 0, found "
                f"{', '.join(f'{each:g}' for each in shares)}."
            )
        growth = 1.0 + (self.growth - 1.0) @ shares
        return PortfolioFan(dict(zip(self.names, shares.tolist(), strict=True)), self.times, growth)


@dataclass(frozen=True, slots=True, eq=False)
class PortfolioFan:
    """Sampled values of a portfolio.

    Attributes:
        weights: Share of the capital by name.
        times: (S,) as in `JointForecast`.
        growth: (N, S) value over that at the origin.
    """

    weights: dict[str, float]
    times: pd.DatetimeIndex
    growth: np.ndarray

    def quantile(self, levels: Sequence[float]) -> np.ndarray:
        """Quantiles of the return from the origin at every step: (len(levels), S)."""
        return np.quantile(self.growth - 1.0, levels, axis=0)


def join(
    members: Mapping[str, Member],
    *,
    seed: int = 0,
    weights: Mapping[float, float] = MATCHED_STEPS,
) -> JointForecast:
    """Permutes the paths of every instrument so that path i of all of them belongs together.

    Args:
        members: The instruments by name, with the same number of paths.
        seed: Seed of the simulated common futures.
        weights: See `MATCHED_STEPS`; empty leaves the instruments independent.

    Raises:
        InvalidRequest: There are fewer than two instruments, their intervals or numbers of paths
            differ, the forecasts have no time in common, or there are fewer than
            `MIN_COMMON_BARS` common returns.
    """
    if len(members) < 2:
        raise InvalidRequest(f"A joint forecast needs 2 instruments or more, found {len(members)}.")
    intervals = {name: member.interval for name, member in members.items()}
    if len(set(intervals.values())) > 1:
        found = ", ".join(f"{name} {interval}" for name, interval in intervals.items())
        raise InvalidRequest(
            f"A joint forecast needs bars of one interval, found {found}. Choose those of one."
        )
    counts = sorted({len(member.paths) for member in members.values()})
    if len(counts) > 1:
        raise InvalidRequest(f"The forecasts must have the same number of paths, found {counts}.")
    closes = pd.concat(
        {name: _unique(member.closes) for name, member in members.items()}, axis=1, join="inner"
    ).sort_index()
    if len(closes) <= MIN_COMMON_BARS:
        raise InvalidRequest(
            f"A joint forecast needs {MIN_COMMON_BARS + 1} bars that all instruments have in "
            f"common, found {len(closes)}. Load more bars, or leave out the instrument with the "
            "fewest."
        )
    times = _common_times(members)
    standard = _standard_returns(closes.iloc[-MAX_COMMON_BARS - 1 :].to_numpy())
    rng = np.random.default_rng([seed, 4])
    futures = _simulated(standard, counts[0], len(times), rng)
    order, growth = {}, []
    for k, (name, member) in enumerate(members.items()):
        paths = member.paths[:, member.times.get_indexer(times)]
        order[name] = match(paths, futures[:, :, k], rng, weights)
        growth.append(paths[order[name]] / member.last_close)
    names = list(members)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN beside a price that never moves
        correlation = pd.DataFrame(np.corrcoef(standard, rowvar=False), names, names)
    return JointForecast(order, np.stack(growth, axis=-1), times, correlation, len(standard))


def match(
    paths: np.ndarray,
    futures: np.ndarray,
    rng: np.random.Generator,
    weights: Mapping[float, float] = MATCHED_STEPS,
) -> np.ndarray:
    """(N,) the path that goes with each simulated future, by their ranks.

    Args:
        paths: (N, S) closes.
        futures: (N, S) simulated returns of the same instrument, from the origin.
        rng: Draws the order of equal paths, and the groups that are matched at once.
        weights: See `MATCHED_STEPS`.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    last = paths.shape[1] - 1
    by_step: dict[int, float] = {}
    for share, weight in weights.items():
        step = round(share * last)
        by_step[step] = max(by_step.get(step, 0.0), weight)
    steps, scale = list(by_step), np.array(list(by_step.values()))
    # Paths come in the order of their seeds, which all instruments share.
    shuffled = rng.permutation(len(paths))
    if not steps:
        return shuffled
    order = np.empty(len(paths), int)
    for group in np.array_split(np.arange(len(paths)), -(-len(paths) // _AT_ONCE)):
        members = shuffled[group]
        wanted = _normal_scores(futures[group][:, steps]) * scale
        held = _normal_scores(paths[members][:, steps]) * scale
        order[group] = members[linear_sum_assignment(cdist(wanted, held, "sqeuclidean"))[1]]
    return order


def _unique(closes: pd.Series) -> pd.Series:
    return closes[~closes.index.duplicated(keep="last")]


def _common_times(members: Mapping[str, Member]) -> pd.DatetimeIndex:
    times = None
    for member in members.values():
        times = member.times if times is None else times.intersection(member.times)
    assert times is not None
    if not len(times):
        spans = ", ".join(
            f"{name} from {each.times[0]:%Y-%m-%d %H:%M} to {each.times[-1]:%Y-%m-%d %H:%M}"
            for name, each in members.items()
        )
        raise InvalidRequest(
            f"The forecasts have no time in common: {spans}. Forecast them from one origin."
        )
    return times.sort_values()


def _standard_returns(closes: np.ndarray) -> np.ndarray:
    """(T - 1, K) log-returns of closes (T, K), in units of the EWMA volatility before each."""
    returns = np.diff(np.log(closes), axis=0)
    variance = np.empty_like(returns)
    current = np.mean(returns[:WARMUP] ** 2, axis=0)
    for t, row in enumerate(returns):
        variance[t] = current
        current = DECAY * current + (1.0 - DECAY) * row**2
    return returns / np.sqrt(np.where(variance > 0.0, variance, 1.0))


def _simulated(
    standard: np.ndarray, n_paths: int, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """(N, S, K) cumulated returns of blocks of common bars, circular at the ends."""
    n = len(standard)
    starts = rng.integers(n, size=(n_paths, -(-horizon // _BLOCK), 1))
    rows = (starts + np.arange(_BLOCK)).reshape(n_paths, -1)[:, :horizon] % n
    return np.cumsum(standard[rows], axis=1)


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """(N, S) ranks of each column as quantiles of the standard normal."""
    from scipy.special import ndtri

    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return np.asarray(ndtri((ranks + 0.5) / len(values)))
