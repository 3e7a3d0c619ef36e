"""Realised volatility: the sum of squared log-returns of a horizon, against simple rivals.

One path (the published task) is scored by mean absolute error and R2. Many paths are scored by
QLIKE of their mean realised variance (Patton 2011), which the true variance minimises; losses are
log(F / E) + RV / F with E the forecast of EWMA, so that instruments count alike. Differences of it
are exactly those of QLIKE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kronos.context import CLOSE
from kronos.errors import InvalidCandles
from kronos.evaluation.cone import ewma_volatility
from kronos.forecasters.baselines.garch import fit_garch
from kronos.tasks.windows import Estimate, Window, by_date, estimate
from kronos.training.corpus import Corpus

__all__ = [
    "RIVALS", "garch_variance", "har_variance", "qlike", "qlike_table", "realised", "rivals",
    "volatility_scores",
]  # fmt: skip

RIVALS = ("EWMA", "GARCH-t", "HAR", "log-HAR")
HISTORY, HISTORY_DAYS = 1000, 90
"""Bars that rivals read; days of bars for a day ahead of intraday bars."""
_PARTS = (1, 5, 22)
_FEWEST_ROWS = 30
_FLOOR = 1e-4  # of the forecast of EWMA: a path that never moves has no logarithm


def realised(closes: np.ndarray, last: float) -> np.ndarray:
    """Sums of squared log-returns of closes (..., H) from `last` on, up to every step: (..., H)."""
    logs = np.log(np.maximum(closes, 1e-12) / last)
    moves = np.diff(logs, axis=-1, prepend=0.0)
    return np.asarray(np.cumsum(np.square(moves), axis=-1))


def volatility_scores(
    actual: np.ndarray, forecast: np.ndarray, windows: Sequence[Window], overlap: int
) -> tuple[Estimate, Estimate]:
    """Mean absolute error, and R2 (1 less squared errors over squares about the mean).

    Args:
        actual: (n,) sums of squared log-returns.
        forecast: (n,) their forecasts.
        windows: The windows.
        overlap: Dates within a horizon.

    Returns:
        MAE and R2, each a share of means by date, whose interval is that of the linearised ratio.
    """
    error, spread = np.square(actual - forecast), np.square(actual - actual.mean())
    mae = estimate(by_date(np.abs(actual - forecast), windows), overlap)
    if not spread.sum() > 0:
        return mae, estimate(np.full(1, np.nan))
    ratio = error.sum() / spread.sum()
    terms = by_date((error - ratio * spread) / spread.mean(), windows)
    spread_of = estimate(terms, overlap)
    half = (spread_of.high - spread_of.low) / 2
    r2 = 1.0 - ratio
    return mae, Estimate(
        r2, r2 / (half / 1.96) if half > 0 else np.nan, r2 - half, r2 + half, mae.n
    )


def rivals(
    corpus: Corpus, window: Window, horizons: Sequence[int], unit: int = 1
) -> dict[str, np.ndarray] | None:
    """Variance of every rival over each horizon, from bars before the origin; None if one cannot.

    Args:
        corpus: The bars.
        window: The origin.
        horizons: Horizons in bars.
        unit: Bars of a day.
    """
    n = HISTORY if unit == 1 else max(HISTORY, HISTORY_DAYS * unit)
    first = max(window.series.start, window.origin - n)
    bars = corpus.values[first : window.origin, :4].astype(np.float64)
    returns = np.diff(np.log(bars[:, CLOSE]))
    try:
        sigma = ewma_volatility(bars[-500:, CLOSE])
        garch = [garch_variance(returns[-HISTORY:], h) for h in horizons]
    except InvalidCandles:
        return None
    # The range of a day says more of its variance than its close does.
    proxy = _ranges(bars) if unit == 1 else np.square(returns)
    har = [har_variance(returns, proxy, h, unit=unit) for h in horizons]
    logs = [har_variance(returns, proxy, h, unit=unit, is_log=True) for h in horizons]
    found = {
        "EWMA": sigma**2 * np.array(horizons, dtype=float),
        "GARCH-t": np.array(garch),
        "HAR": np.array(har),
        "log-HAR": np.array(logs),
    }
    return found if all((np.nan_to_num(v) > 0).all() for v in found.values()) else None


def garch_variance(returns: np.ndarray, horizon: int) -> float:
    """Variance of the next H returns by a GARCH(1,1) with Student t shocks."""
    fit = fit_garch(returns)
    persistence = fit.alpha + fit.beta
    level = fit.omega / (1.0 - persistence)
    faded = persistence ** np.arange(horizon)
    return float(np.sum(level + faded * (fit.variances[-1] - level)))


def har_variance(
    returns: np.ndarray, proxy: np.ndarray, horizon: int, *, unit: int = 1, is_log: bool = False
) -> float:
    """Variance of the next H returns by the HAR regression on 1, 5 and 22 days (Corsi 2009).

    Args:
        returns: (T,) log-returns.
        proxy: (T,) variance of every bar, on any scale.
        horizon: H.
        unit: Bars of a day.
        is_log: Regress logarithms; the mean is corrected by the residuals.

    Returns:
        The variance, within the range of those seen; NaN with too few bars.
    """
    T, longest = len(returns), _PARTS[-1] * unit
    sums = np.concatenate([[0.0], np.cumsum(proxy)])
    places = np.arange(longest, T - horizon + 1, max(1, unit // 4))
    if len(places) < _FEWEST_ROWS:
        return float("nan")

    def rows(at: np.ndarray) -> np.ndarray:
        return np.stack([(sums[at] - sums[at - p * unit]) / (p * unit) for p in _PARTS], axis=1)

    target = (sums[places + horizon] - sums[places]) / horizon
    x, now = rows(places), rows(np.array([T]))
    least = 1e-3 * float(proxy.mean())
    if is_log:
        x, now = np.log(np.maximum(x, least)), np.log(np.maximum(now, least))
    y = np.log(np.maximum(target, least)) if is_log else target
    x = np.column_stack([np.ones(len(x)), x])
    weights, *_ = np.linalg.lstsq(x, y, rcond=None)
    expected = float(weights[0] + now[0] @ weights[1:])
    if is_log:
        # Smearing (Duan 1983): squares of returns are far from lognormal.
        expected = float(np.exp(expected) * np.mean(np.exp(y - x @ weights)))
    seen = np.clip(expected, max(float(target.min()), least), float(target.max()))
    scale = float(np.square(returns).sum() / proxy.sum()) if proxy.sum() > 0 else float("nan")
    return float(seen) * scale * horizon


def qlike(actual: np.ndarray, forecast: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(n,) log(F / E) + RV / F.

    Args:
        actual: (n,) realised variances.
        forecast: (n,) forecasts F.
        unit: (n,) variances E that make instruments alike.
    """
    forecast = np.maximum(forecast, _FLOOR * unit)
    return np.asarray(np.log(forecast / unit) + actual / forecast)


def qlike_table(
    actual: np.ndarray,
    forecasts: dict[str, np.ndarray],
    windows: Sequence[Window],
    overlap: int,
) -> dict[str, Estimate]:
    """QLIKE of every forecaster less that of EWMA, and of the first less that of every rival.

    Args:
        actual: (n,) realised variances.
        forecasts: (n,) variances by name, the model's first.
        windows: The windows.
        overlap: Dates within a horizon.

    Returns:
        By "name" and "name - rival"; below 0 where the loss is less.
    """
    unit = forecasts["EWMA"]
    losses = {name: qlike(actual, values, unit) for name, values in forecasts.items()}
    model = next(iter(losses))
    pairs = {name: losses[name] - losses["EWMA"] for name in losses if name != "EWMA"}
    pairs |= {
        f"{model} - {name}": losses[model] - losses[name] for name in losses
        if name not in (model, "EWMA")
    }  # fmt: skip
    return {name: estimate(by_date(each, windows), overlap) for name, each in pairs.items()}


def _ranges(bars: np.ndarray) -> np.ndarray:
    """(T - 1,) variance of Garman and Klass of every bar after the first, with its gap."""
    opens, high, low, close = np.log(bars[1:]).T
    before = np.log(bars[:-1, CLOSE])
    within = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - opens) ** 2
    return np.asarray(np.maximum(within, 0.0) + (opens - before) ** 2)
