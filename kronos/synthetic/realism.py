"""The realism of synthetic series: returns, autocorrelation of their size, and volume.

Every measure is computed for the source's own bars as well, and for many block bootstraps of them
of the length of the synthetic series: their 95% band is how much a measure varies by chance. A
series outside the band differs from the source; for one inside, no difference is shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, path_uniforms
from kronos.forecasters.baselines.bootstrap import block_rows

__all__ = ["LAGS", "LEVELS", "Measure", "Realism", "realism", "report_json", "report_text"]

LAGS = tuple(range(1, 21))
LEVELS = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
MIN_BARS = 60
N_RESAMPLED = 200
_BLOCK = 50.0
"""Mean length of a block, in which the autocorrelation up to lag 20 survives."""
DISTANCE = "KS distance"
_BAND = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of the synthetic series and of the source.

    Attributes:
        name: Name of the measure.
        source: Value for the source's bars; NaN if undefined.
        synthetic: Mean value over the synthetic series.
        low: 2.5% quantile over bootstraps of the source.
        high: 97.5% quantile.
    """

    name: str
    source: float
    synthetic: float
    low: float
    high: float

    @property
    def is_inside(self) -> bool:
        """Whether the synthetic series lie within the band of the source."""
        return bool(self.low <= self.synthetic <= self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Realism:
    """The comparison of synthetic series with their source.

    Attributes:
        measures: Measures by name: quantiles in units of the source's standard deviation, spread,
            kurtosis, distance of the distributions, volume.
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
        """Number of measures within their band."""
        return sum(each.is_inside for each in (*self.measures.values(), *self.memory))

    @property
    def n_measures(self) -> int:
        """Number of measures."""
        return len(self.measures) + len(self.memory)


def realism(source: Candles, series: Sequence[Candles], *, seed: int = 0) -> Realism:
    """Compare synthetic series with the bars that they continue.

    Args:
        source: The real bars.
        series: Synthetic series of one length.
        seed: Seed of the bootstrap.

    Raises:
        InvalidRequest: The source or the series are too short.
    """
    n = len(series[0]) - 1 if series else 0
    if len(source) < MIN_BARS or n < MIN_BARS - 1:
        raise InvalidRequest(
            f"A comparison needs at least {MIN_BARS} bars, found {len(source)} real and {n + 1} "
            "synthetic ones. Choose longer series."
        )
    real = _moves(source)
    rows = block_rows(len(real), path_uniforms(seed, N_RESAMPLED, n), _BLOCK)
    synthetic = _numbers(np.stack([_moves(each) for each in series]), real[:, 0])
    own, resampled = _numbers(real[None], real[:, 0])[0], _numbers(real[rows], real[:, 0])
    names = _names(has_volume=source.has_volume)
    low, high = np.nanquantile(resampled[:, : len(names)], _BAND, axis=0)
    low[names.index(DISTANCE)] = 0.0  # no distance is too small
    measures = [
        Measure(
            name, float(own[i]), float(np.nanmean(synthetic[:, i])), float(low[i]), float(high[i])
        )
        for i, name in enumerate(names)
    ]
    n_memory = len(LAGS)
    return Realism(
        {each.name: each for each in measures[n_memory:]},
        tuple(measures[:n_memory]),
        len(real),
        n,
        len(series),
    )


def report_json(report: Realism, forecast: Forecast) -> str:
    """Every measure with its band, and the metadata of the series, as JSON."""
    measures = (*report.measures.values(), *report.memory)
    values = {
        **forecast.metadata(),
        "n_source": report.n_source,
        "n_synthetic": report.n_synthetic,
        "n_series": report.n_series,
        "n_inside": report.n_inside,
        "measures": [_finite(asdict(each)) | {"is_inside": each.is_inside} for each in measures],
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def report_text(report: Realism) -> str:
    """A table for a terminal."""
    lines = [
        f"{report.n_series} series of {report.n_synthetic} returns against {report.n_source} of "
        f"the source: {report.n_inside} of {report.n_measures} measures lie within the 95% band "
        "of its block bootstrap",
        "",
        f"{'':22}{'source':>10}{'synthetic':>11}{'band':>20}",
    ]
    lines += map(_line, (*report.measures.values(), *report.memory))
    return "\n".join(lines) + "\n"


def _moves(candles: Candles) -> np.ndarray:
    """(T, 2) log-returns of the close, and logarithms of the volume, NaN without volume."""
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
    """Correlation of every row of x (S, T) with that of y, over the finite values: (S,)."""
    known = np.isfinite(x) & np.isfinite(y)
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    x = np.where(known, x - x.sum(axis=1, keepdims=True) / n, 0.0)
    y = np.where(known, y - y.sum(axis=1, keepdims=True) / n, 0.0)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), scale, out=np.full(len(x), np.nan), where=scale > 0)


def _spread(x: np.ndarray) -> np.ndarray:
    """Standard deviation of every row (S, T) over its finite values; NaN without any."""
    return np.sqrt(np.clip(_mean(x * x) - _mean(x) ** 2, 0.0, None))


def _mean(x: np.ndarray) -> np.ndarray:
    known = np.isfinite(x)
    n = known.sum(axis=1)
    total = np.where(known, x, 0.0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(x), np.nan), where=n > 0)


def _line(each: Measure) -> str:
    band = f"{each.low:.3f} to {each.high:.3f}"
    mark = "" if each.is_inside else "  outside"
    return f"{each.name:22}{each.source:>10.3f}{each.synthetic:>11.3f}{band:>20}{mark}"


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with null for NaN, which JSON does not have."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in facts.items()
    }
