"""What the middle and the width of forecasts are worth: order across instruments, volatility.

The tables are those of `kronos.evaluation.track_record`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.evaluation.scores import Z80
from kronos.evaluation.significance import newey_west

__all__ = ["Correlation", "VolatilityScores", "information_coefficient", "volatility_scores"]

_FEWEST = 5
"""Instruments of one date without which their order says nothing."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of forecast and outcome across instruments, the mean over dates.

    Attributes:
        mean: The mean; NaN without a date.
        t: The mean over its Newey-West standard error; NaN with fewer than 3 dates.
        n_dates: Dates with enough instruments.
    """

    mean: float
    t: float
    n_dates: int


@dataclass(frozen=True, slots=True)
class VolatilityScores:
    """Forecast against realised volatility over the horizon, both over that at the origin.

    Attributes:
        mae: Mean absolute error.
        r2: Share of the variance explained; below 0 where the mean would have done better.
        n: Forecasts whose every step came.
    """

    mae: float
    r2: float
    n: int


def information_coefficient(
    record: pd.DataFrame, median: np.ndarray, *, ranked: bool = False
) -> Correlation:
    """Correlation of the median with what happened at the last step, date by date.

    Args:
        record: Forecasts of one model.
        median: (rows,) medians, log-returns from the origin.
        ranked: Whether of ranks (RankIC).
    """
    table = record.assign(median=median, date=record["origin"].dt.floor("D"))
    table = table[table["step"] == table["horizon"]].dropna(subset=["median", "actual_return"])
    # One instrument may have several origins a day.
    keys = ["interval", "date", "instrument"]
    table = table.groupby(keys, as_index=False)[["median", "actual_return"]].mean()
    found: dict[pd.Timestamp, list[float]] = {}
    for (_, date), part in table.groupby(["interval", "date"]):
        pair = part[["median", "actual_return"]]
        if len(pair) < _FEWEST or (pair.nunique() < 2).any():
            continue
        pair = pair.rank() if ranked else pair
        found.setdefault(pd.Timestamp(str(date)), []).append(
            float(np.corrcoef(pair.to_numpy().T)[0, 1])
        )
    values = np.array([np.mean(found[date]) for date in sorted(found)])
    n = len(values)
    if not n:
        return Correlation(float("nan"), float("nan"), 0)
    # The usual rule for the number of lags.
    variance = newey_west(values, int(4 * (n / 100) ** (2 / 9))) if n >= 3 else 0.0
    t = float(values.mean() / np.sqrt(variance / n)) if variance > 0 else float("nan")
    return Correlation(float(values.mean()), t, n)


def volatility_scores(record: pd.DataFrame) -> VolatilityScores:
    """Half the width of the 80% band as a volatility, against the moves that came.

    Realised volatility is the root of the summed squares of one-bar returns up to the last step.
    """
    table = record[record["scale"] > 0].sort_values(["prediction_id", "step"])
    grouped = table.groupby("prediction_id", sort=True)
    moves = grouped["actual_return"].diff().fillna(table["actual_return"])
    realised = np.sqrt(np.square(moves).groupby(table["prediction_id"], sort=True).sum())
    last = grouped.tail(1).set_index("prediction_id").sort_index()
    whole = grouped.size() == last["horizon"]
    forecast = (last["width"] / (2.0 * Z80) / last["scale"])[whole]
    found = (realised / last["scale"])[whole]
    if found.empty:
        return VolatilityScores(float("nan"), float("nan"), 0)
    error = found - forecast
    spread = float(np.square(found - found.mean()).sum())
    r2 = 1.0 - float(np.square(error).sum()) / spread if spread > 0 else float("nan")
    return VolatilityScores(float(error.abs().mean()), r2, len(found))
