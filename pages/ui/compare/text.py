"""The tables of a comparison, and its result in words. Pure: no page in here."""

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
from pages.ui.fan.readouts import outcome_count
from pages.ui.frame.excel import workbook
from pages.ui.frame.text import DISCLAIMER, counted, size_text


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of a model.

    Attributes:
        n_parameters: Learned parameters of a model; estimated ones of a baseline.
        n_bytes: Size of its weights; 0 for a baseline.
    """

    n_parameters: int
    n_bytes: int


def horizon_table(
    candles: Candles, contenders: Sequence[Contender], bars: Sequence[int]
) -> pd.DataFrame:
    """One row per fan and bar: quantiles of the close, width of the 80% band, P(up).

    The width is in percent of the last close, P(up) in percent. Where actual bars are known, the
    row has the actual close and whether it is inside the band.
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
    """One row per fan: its cost and, where actual bars are known, its scores.

    CRPS is the fair estimator on log-returns from the origin, over sigma * sqrt(bars) with the
    EWMA volatility at the origin, averaged over the known bars; lower is better. Beside it stands
    how many of these bars closed inside the 80% band, and the plausible numbers.
    """
    rows = []
    for contender, cost in zip(contenders, costs, strict=True):
        forecast = contender.forecast
        row: dict[str, object] = {
            "model": contender.label,
            "seconds": forecast.seconds,
            "parameters": cost.n_parameters,
            "memory": size_text(cost.n_bytes) if cost.n_bytes else "–",
            "bars read": forecast.n_context,
        }
        scores = past_scores(candles, forecast)
        if scores is not None:
            row["CRPS"], row["known bars"] = scores
            row["inside 80%"] = _count_text(candles, forecast)
        rows.append(row)
    return pd.DataFrame(rows)


def compare_workbook(
    candles: Candles, contenders: Sequence[Contender], costs: Sequence[Cost]
) -> bytes:
    """Cost and scores, settings, and the quantiles of every bar as an Excel workbook."""
    first = contenders[0].forecast
    bars = horizon_table(candles, contenders, range(1, first.horizon + 1))
    times = dict(enumerate(first.timestamps, 1))
    bars.insert(1, "time", pd.DatetimeIndex([times[bar] for bar in bars["bar"]]))
    bars = bars.rename(columns={"width": "width (% of last close)", "P(up)": "P(up) (%)"})
    facts = {name: getattr(candles, name) for name in ("symbol", "interval", "zone", "source")}
    settings = facts | {contender.label: contender.forecast.metadata() for contender in contenders}
    tables = {"Cost and scores": model_table(candles, contenders, costs), "Quantiles": bars}
    return workbook(tables, settings | {"note": DISCLAIMER})


def past_scores(candles: Candles, forecast: Forecast) -> tuple[float, int] | None:
    """Mean CRPS, and the number of known bars.

    Returns:
        None if no bar is known. The CRPS is NaN where the bars before the origin have no
        volatility.
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
    return crps, int(known.sum())


def _count_text(candles: Candles, forecast: Forecast) -> str:
    """Closes inside the 80% band and the plausible numbers; empty where nothing can be said."""
    found = outcome_count(candles, forecast)
    if found is None:
        return ""
    return f"{found.n_inside} ({found.low} to {found.high} plausible)"


def verdict_text(rows: pd.DataFrame) -> str | None:
    """The fan with the lowest CRPS; None without actual bars."""
    if "CRPS" not in rows or rows["CRPS"].isna().any():
        return None
    best = rows.iloc[int(rows["CRPS"].to_numpy().argmin())]
    n_known = int(best["known bars"])
    return (
        f"Lowest CRPS from this origin: {best['model']}, {best['CRPS']:.3f} over "
        f"{counted(n_known, 'known bar')}. One origin is a single sample; a ranking needs many."
    )


def _verdict(low: float, close: float, high: float) -> str:
    if not np.isfinite(close):
        return "unknown"
    return "inside" if low <= close <= high else "outside"
