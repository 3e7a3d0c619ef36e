"""A comparison in numbers. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.evaluation.cone import WARMUP, cone_scale, ewma_volatility
from kronos.evaluation.scores import score_paths
from kronos.forecast import Forecast
from pages.ui.chart.panels import Contender
from pages.ui.chart.scene import actual_bars


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model takes.

    Attributes:
        n_parameters: Numbers learned, or estimated from the bars.
        n_bytes: Memory of its weights.
    """

    n_parameters: int
    n_bytes: int


def horizon_table(
    candles: Candles, contenders: Sequence[Contender], bars: Sequence[int]
) -> pd.DataFrame:
    """One row a fan and bar: quantiles of the close, width of the 80% band, P(up).

    Width and P(up) are in percent, the width of the last close. Where real bars are known, the
    close that came and whether the band held it.
    """
    rows = []
    for bar in bars:
        for contender in contenders:
            forecast = contender.forecast
            low, median, high = forecast.quantile((0.10, 0.50, 0.90))[:, bar - 1]
            row = {
                "bar": bar,
                "model": contender.label,
                "p10": low,
                "p50": median,
                "p90": high,
                "width": 100.0 * (high - low) / forecast.last_close,
                "P(up)": 100.0 * forecast.probability_up()[bar - 1],
            }
            actual = actual_bars(candles, forecast)
            if actual is not None:
                close = float(actual["close"].iloc[bar - 1])
                row["actual"] = close
                row["80% band"] = _verdict(low, close, high)
            rows.append(row)
    return pd.DataFrame(rows)


def model_table(
    candles: Candles, contenders: Sequence[Contender], costs: Sequence[Cost]
) -> pd.DataFrame:
    """One row a fan: what it took and, where real bars are known, how it fared.

    CRPS is the fair estimator on log-returns from the origin, over sigma * sqrt(bars) with the
    EWMA volatility at the origin, averaged over the bars that are known: below, better. Coverage
    is the share of these bars, in percent, that closed inside the 80% band.
    """
    rows = []
    for contender, cost in zip(contenders, costs, strict=True):
        forecast = contender.forecast
        row: dict[str, object] = {
            "model": contender.label,
            "seconds": forecast.seconds,
            "parameters": cost.n_parameters,
            "memory": cost.n_bytes / 1e6,
            "bars read": forecast.n_context,
        }
        scores = past_scores(candles, forecast)
        if scores is not None:
            row["CRPS"], row["coverage"], row["bars known"] = scores
        rows.append(row)
    return pd.DataFrame(rows)


def past_scores(candles: Candles, forecast: Forecast) -> tuple[float, float, int] | None:
    """Mean CRPS, coverage of the 80% band in percent, and how many bars of the horizon are known.

    Returns:
        None if no bar is known. The CRPS is NaN where the bars before the origin have no
        volatility to measure it in.
    """
    actual = actual_bars(candles, forecast)
    if actual is None:
        return None
    closes = actual["close"].to_numpy(dtype=float)
    known = np.isfinite(closes)
    frame = candles.frame
    before = frame["close"][frame.index <= forecast.origin].to_numpy()
    sigma = ewma_volatility(before) if len(before) > WARMUP else 0.0
    scale = cone_scale(sigma or 1.0, forecast.horizon)[known]
    returns = np.log(closes[known] / forecast.last_close)
    scores = score_paths(returns, forecast.log_returns()[:, known], scale)
    crps = float(scores.crps.mean()) if sigma > 0 else float("nan")
    return crps, 100.0 * float(scores.inside.mean()), int(known.sum())


def verdict_text(rows: pd.DataFrame) -> str | None:
    """Which fan fared best by CRPS from this origin, and why that proves little."""
    if "CRPS" not in rows or rows["CRPS"].isna().any():
        return None
    best = rows.iloc[int(rows["CRPS"].to_numpy().argmin())]
    n_known = int(best["bars known"])
    bars = "1 bar" if n_known == 1 else f"{n_known} bars"
    return (
        f"From this origin {best['model']} has the lowest CRPS, {best['CRPS']:.3f}, over the "
        f"{bars} known. One origin is one throw: only many of them tell models apart."
    )


def _verdict(low: float, close: float, high: float) -> str:
    if not np.isfinite(close):
        return "unknown"
    return "inside" if low <= close <= high else "outside"
