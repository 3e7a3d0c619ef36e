"""How real series look: their returns, the memory of their size, and their volume.

Every measure is taken of the source's own bars as well, and of many block bootstraps of them, as
long as the synthetic series are: their 95% band says how much a measure varies by chance alone. A
series outside the band differs from the source; one inside is not shown to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import path_uniforms
from kronos.forecasters.baselines.bootstrap import block_rows

__all__ = ["LAGS", "LEVELS", "Measure", "Realism", "realism"]

LAGS = tuple(range(1, 21))
LEVELS = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
MIN_BARS = 60
N_RESAMPLED = 200
_BLOCK = 50.0
"""Mean length of a block: the memory of 20 bars is to survive in them."""
DISTANCE = "KS distance"
_BAND = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of the synthetic series beside the source's.

    Attributes:
        name: What it is called.
        source: Of the source's bars; NaN where it is not defined.
        synthetic: Of the synthetic bars, the mean over the series.
        low: 2.5% of what bootstraps of the source show.
        high: 97.5% of it.
    """

    name: str
    source: float
    synthetic: float
    low: float
    high: float

    @property
    def is_inside(self) -> bool:
        """Whether the synthetic series lie within what chance alone makes of the source."""
        return bool(self.low <= self.synthetic <= self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Realism:
    """The report.

    Attributes:
        measures: One for every number, by name: quantiles in units of the source's standard
            deviation, spread, kurtosis, distance of the distributions, volume.
        memory: Autocorrelation of absolute returns at `LAGS`, as measures.
        n_source: Returns of the source.
        n_synthetic: Returns of one synthetic series.
        n_series: Synthetic series.
    """

    measures: dict[str, Measure]
    memory: tuple[Measure, ...]
    n_source: int
    n_synthetic: int
    n_series: int

    @property
    def n_inside(self) -> int:
        """Measures within their band."""
        return sum(each.is_inside for each in (*self.measures.values(), *self.memory))

    @property
    def n_measures(self) -> int:
        """Measures in all."""
        return len(self.measures) + len(self.memory)


def realism(source: Candles, series: Sequence[Candles], *, seed: int = 0) -> Realism:
    """Compares synthetic series with the bars they were made from.

    Args:
        source: The bars, as many as are to count as real.
        series: Synthetic series of one length.
        seed: Of the bootstrap.

    Raises:
        InvalidRequest: There is too little to compare.
    """
    n = len(series[0]) - 1 if series else 0
    if len(source) < MIN_BARS or n < MIN_BARS - 1:
        raise InvalidRequest(
            f"How real series look can be said of {MIN_BARS} bars and more, found {len(source)} "
            f"real and {n + 1} synthetic ones. Choose longer ones."
        )
    real = _moves(source)
    rows = block_rows(len(real), path_uniforms(seed, N_RESAMPLED, n), _BLOCK)
    made = _numbers(np.stack([_moves(each) for each in series]), real[:, 0])
    own, resampled = _numbers(real[None], real[:, 0])[0], _numbers(real[rows], real[:, 0])
    names = _names(has_volume=source.has_volume)
    low, high = np.nanquantile(resampled[:, : len(names)], _BAND, axis=0)
    low[names.index(DISTANCE)] = 0.0  # nothing can be too near
    found = [
        Measure(name, float(own[i]), float(np.nanmean(made[:, i])), float(low[i]), float(high[i]))
        for i, name in enumerate(names)
    ]
    n_memory = len(LAGS)
    return Realism(
        {each.name: each for each in found[n_memory:]},
        tuple(found[:n_memory]),
        len(real),
        n,
        len(series),
    )


def _moves(candles: Candles) -> np.ndarray:
    """(T, 2) log-returns of the close, and logarithms of the volume, NaN where there is none."""
    frame = candles.frame
    volume = frame["volume"].to_numpy()[1:]
    logs = np.full(len(volume), np.nan)
    np.log(volume, out=logs, where=volume > 0)
    return np.stack([np.diff(np.log(frame["close"].to_numpy())), logs], axis=1)


def _names(*, has_volume: bool) -> list[str]:
    names = [f"memory {lag}" for lag in LAGS]
    names += ["standard deviation", *(f"quantile {level:g}" for level in LEVELS)]
    names += ["kurtosis", DISTANCE]
    return [*names, "volume and |return|", "volume spread"] if has_volume else names


def _numbers(moves: np.ndarray, real: np.ndarray) -> np.ndarray:
    """All measures of S series of moves (S, T, 2) against real returns: (S, M) as in `_names`."""
    from scipy.stats import ks_2samp, kurtosis

    returns, volume = moves[..., 0], moves[..., 1]
    size, unit = np.abs(returns), float(real.std()) or 1.0
    numbers = [_correlation(size[:, lag:], size[:, :-lag]) for lag in LAGS]
    numbers += [returns.std(axis=1) / unit, *(np.quantile(returns, LEVELS, axis=1) / unit)]
    with np.errstate(invalid="ignore", divide="ignore"):
        numbers += [kurtosis(returns, axis=1, fisher=False)]
    numbers += [np.array([ks_2samp(row, real, method="asymp").statistic for row in returns])]
    numbers += [_correlation(size, volume), _spread(volume)]
    return np.stack(numbers, axis=1)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of every row of x (S, T) with that of y, over what is known of both: (S,)."""
    known = np.isfinite(x) & np.isfinite(y)
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    x = np.where(known, x - x.sum(axis=1, keepdims=True) / n, 0.0)
    y = np.where(known, y - y.sum(axis=1, keepdims=True) / n, 0.0)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), scale, out=np.full(len(x), np.nan), where=scale > 0)


def _spread(x: np.ndarray) -> np.ndarray:
    """Standard deviation of every row (S, T) over what is known of it; NaN where nothing is."""
    return np.sqrt(np.clip(_mean(x * x) - _mean(x) ** 2, 0.0, None))


def _mean(x: np.ndarray) -> np.ndarray:
    known = np.isfinite(x)
    n = known.sum(axis=1)
    total = np.where(known, x, 0.0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(x), np.nan), where=n > 0)
