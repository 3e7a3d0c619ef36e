"""Statistics of a record of forecasts: calibration, skill, correlation, volatility, worst misses.

A record is a table of `kronos.store.record.read_record`: a row for each forecast and step with a
bar. Quantiles are (rows, L), in the order of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.evaluation.scores import Z80
from kronos.evaluation.significance import block_bootstrap, diebold_mariano, newey_west

__all__ = [
    "Correlation",
    "Skill",
    "VolatilityScores",
    "coverage_by",
    "crps_skill",
    "information_coefficient",
    "pit_shares",
    "reliability",
    "volatility_scores",
    "worst_misses",
]

PAIRED = ("instrument", "source", "interval", "origin", "step")
"""Columns that two compared forecasts share."""
_N_DRAWS = 1000
_FEWEST_DATES = 8
"""Fewest origin dates for an interval: fewer do not show how they vary."""
_FEWEST = 5
"""Fewest instruments of one date for a correlation."""


@dataclass(frozen=True, slots=True)
class Skill:
    """Skill of a model against another on the same windows.

    Attributes:
        n_windows: Windows (instrument and origin) that both forecast.
        n_dates: Dates of their origins.
        skill: 1 - CRPS / CRPS of the other, both over the volatility at the origin; above 0 is
            better.
        low: Lower end of the 95% confidence interval; NaN with too few dates.
        high: Upper end.
        statistic: Of the test of Diebold and Mariano; below 0 where the model lost less.
        p: Its two-sided probability.
    """

    n_windows: int
    n_dates: int
    skill: float
    low: float
    high: float
    statistic: float
    p: float


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
        r2: Share of the variance explained; below 0 where the mean is better.
        n: Number of forecasts with a bar at every step.
    """

    mae: float
    r2: float
    n: int


def reliability(actual: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> pd.DataFrame:
    """Share of outcomes at or below each quantile, which a calibrated forecast has at its level.

    Args:
        actual: (n,) actual log-returns.
        quantiles: (n, L), NaN where unknown.
        levels: (L,).

    Returns:
        Columns level, share and n; a row for each level.
    """
    known = np.isfinite(quantiles).all(axis=1) & np.isfinite(actual)
    below = actual[known, None] <= quantiles[known]
    share = below.mean(axis=0) if known.any() else np.full(len(levels), np.nan)
    return pd.DataFrame({"level": list(levels), "share": share, "n": int(known.sum())})


def pit_shares(pit: np.ndarray, n_bins: int = 10) -> np.ndarray:
    """(n_bins,) shares of the probability integral transforms; each 1 / n_bins if calibrated."""
    counts, _ = np.histogram(pit, bins=n_bins, range=(0.0, 1.0))
    return counts / max(counts.sum(), 1)


def coverage_by(record: pd.DataFrame, key: pd.Series | str) -> pd.DataFrame:
    """Share of outcomes within the 80% band, for each value of a key.

    Returns:
        Columns coverage, error (standard error with forecasts of one origin date counted as one)
        and n, indexed by the key.
    """
    dates = record["origin"].dt.floor("D")
    named = pd.Series(key if isinstance(key, pd.Series) else record[key]).rename("key")
    table = pd.DataFrame({"key": named, "date": dates, "inside": record["inside"]})
    by_date = table.groupby(["key", "date"], observed=True)["inside"].agg(["sum", "count"])
    rows = {}
    for value, part in by_date.groupby(level="key", observed=True):
        n = part["count"].sum()
        coverage = part["sum"].sum() / n
        # The error of a ratio of sums over clusters.
        spread = np.square(part["sum"] - coverage * part["count"]).sum()
        rows[value] = {"coverage": coverage, "error": np.sqrt(spread) / n, "n": n}
    columns = ["coverage", "error", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("key")


def crps_skill(
    record: pd.DataFrame, other: pd.DataFrame, *, n_draws: int = _N_DRAWS, seed: int = 0
) -> Skill | None:
    """Compares the forecasts of two records wherever both have an instrument, origin and step.

    Forecasts of one date are dependent, and so are those whose horizons overlap: the interval is
    from a bootstrap over blocks of dates as long as the mean forecast, and the test allows for
    dependence over the longest one.

    Args:
        record: Forecasts of the model.
        other: Those of its rival.
        n_draws: Draws of the bootstrap.
        seed: Its seed.

    Returns:
        The comparison; None without a common forecast.
    """
    ours, theirs = _scaled(record), _scaled(other)
    both = ours.merge(theirs, on=list(PAIRED), suffixes=("", "_other"))
    if both.empty:
        return None
    both["date"] = both["origin"].dt.floor("D")
    by_date = both.groupby("date").agg(
        ours=("crps", "sum"),
        theirs=("crps_other", "sum"),
        n=("crps", "size"),
    )
    skill = 1.0 - by_date["ours"].sum() / by_date["theirs"].sum()
    spans = _spans(both, pd.DatetimeIndex(by_date.index))
    low = high = statistic = p = float("nan")
    if len(by_date) >= _FEWEST_DATES:
        # Blocks as long as the mean forecast: with the longest one there may be too few blocks.
        drawn = block_bootstrap(len(by_date), int(np.ceil(spans.mean())), n_draws, seed)
        sums = drawn @ by_date[["ours", "theirs"]].to_numpy()
        low, high = np.quantile(1.0 - sums[:, 0] / sums[:, 1], (0.025, 0.975))
        # Dates with many forecasts weigh more, as they do in the skill.
        difference = (by_date["ours"] - by_date["theirs"]) / by_date["n"].mean()
        tested = diebold_mariano(difference.to_numpy(), int(spans.max()))
        statistic, p = tested.statistic, tested.p
    windows = both.drop_duplicates(list(PAIRED[:-1]))
    return Skill(len(windows), len(by_date), float(skill), float(low), float(high), statistic, p)


def worst_misses(record: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The forecasts with the largest CRPS of a step, over the volatility at their origin.

    Returns:
        The row of the worst step of each, and its `miss`, the largest first.
    """
    table = record.assign(miss=record["crps"] / record["scale"])
    table = table[np.isfinite(table["miss"])].sort_values("miss", ascending=False, kind="stable")
    return table.drop_duplicates("prediction_id").head(n).reset_index(drop=True)


def information_coefficient(
    record: pd.DataFrame, median: np.ndarray, *, ranked: bool = False
) -> Correlation:
    """Correlation of the median with the outcome at the last step, date by date.

    Args:
        record: Forecasts of one model.
        median: (rows,) medians, log-returns from the origin.
        ranked: Whether to correlate ranks (RankIC).
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
    """Half the width of the 80% band as a volatility, against the realised one.

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


def _scaled(record: pd.DataFrame) -> pd.DataFrame:
    """CRPS over the scale, one row for each window and step: the mean where there are several."""
    table = record.loc[record["scale"] > 0, [*PAIRED, "timestamp"]]
    table = table.assign(crps=record["crps"] / record["scale"])
    if table.duplicated(list(PAIRED)).any():
        grouped = table.groupby(list(PAIRED), as_index=False)
        table = grouped.agg(timestamp=("timestamp", "first"), crps=("crps", "mean"))
    return table


def _spans(both: pd.DataFrame, dates: pd.DatetimeIndex) -> pd.Series:
    """Number of origin dates within each forecast's horizon, its own included."""
    windows = both.groupby(list(PAIRED[:-1]), sort=False)
    first, last = windows["date"].first(), windows["timestamp"].max()
    return pd.Series(
        dates.searchsorted(pd.DatetimeIndex(last), side="right")
        - dates.searchsorted(pd.DatetimeIndex(first))
    )
