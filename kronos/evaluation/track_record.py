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
    "Gain",
    "Skill",
    "VolatilityScores",
    "coverage_by",
    "crps_skill",
    "information_coefficient",
    "mean_gain",
    "pit_shares",
    "reliability",
    "smoothed_coverage",
    "volatility_scores",
    "worst_misses",
]

PAIRED = ("instrument", "source", "interval", "origin", "step")
"""Columns that two compared forecasts share."""
_N_DRAWS = 1000
_FEWEST_DATES = 8
"""Fewest origin dates for an interval: fewer do not show how they vary."""
_NEIGHBOURS = 10
"""Fewest dates of a smoothed share."""
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
class Gain:
    """How much less a model lost than another, by a score whose differences have a unit of meaning.

    Attributes:
        n_windows: Windows that both have scores of.
        mean: Score of the other less that of the model; above 0 is better.
        low: Lower end of the 95% confidence interval; NaN with too few dates.
        high: Upper end.
    """

    n_windows: int
    mean: float
    low: float
    high: float


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


def smoothed_coverage(record: pd.DataFrame, n_points: int = 80) -> pd.DataFrame:
    """Share of outcomes within the 80% band as it changes with time.

    At each time, a mean over the outcomes around it, weighed by a tricube kernel that reaches over
    a twelfth of the record and at least `_NEIGHBOURS` dates. The interval counts the outcomes of
    one date as one and allows for dependence over the mean forecast's span (Newey and West 1987).

    Args:
        record: Rows with outcomes.
        n_points: Times, evenly spaced.

    Returns:
        Columns coverage, low and high (95%), indexed by time, UTC: NaN where no outcome is within a
        twelfth of the record.
    """
    dates = record["timestamp"].dt.floor("D")
    table = pd.DataFrame({"date": dates, "inside": record["inside"]}).dropna()
    sums = table.groupby("date")["inside"].agg(["sum", "count"])
    columns = ["coverage", "low", "high"]
    if sums.empty:
        return pd.DataFrame(columns=columns, index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    stamps = pd.DatetimeIndex(sums.index)
    days = np.asarray((stamps - stamps[0]) / pd.Timedelta("1D"), dtype=float)
    inside, n = sums["sum"].to_numpy(float), sums["count"].to_numpy(float)
    spans = _spans(record.assign(date=record["origin"].dt.floor("D")), stamps)
    lag = int(np.ceil(spans.mean())) - 1
    at = np.linspace(0.0, days[-1], n_points if len(days) > 1 else 1)
    rows = [_around(time, days, inside, n, lag) for time in at]
    index = stamps[0] + pd.to_timedelta(at, unit="D")
    return pd.DataFrame(rows, columns=columns, index=index)


def _around(
    time: float, days: np.ndarray, inside: np.ndarray, n: np.ndarray, lag: int
) -> tuple[float, float, float]:
    """Coverage around a time, with its interval; NaN far from all dates."""
    distance = np.abs(days - time)
    reach = days[-1] / 12
    if distance.min() > reach:
        return float("nan"), float("nan"), float("nan")
    nearest = np.sort(distance)[min(_NEIGHBOURS, len(days)) - 1]
    width = max(reach, float(nearest)) * 1.001 or 1.0
    weights = np.clip(1.0 - (distance / width) ** 3, 0.0, None) ** 3
    total = float(weights @ n)
    coverage = float(weights @ inside) / total
    terms = weights * (inside - coverage * n)
    near = np.flatnonzero(weights)
    terms = terms[near[0] : near[-1] + 1]
    error = np.sqrt(newey_west(terms, lag) * len(terms)) / total if len(terms) > 1 else np.nan
    reach95 = 1.96 * float(error)
    return coverage, max(coverage - reach95, 0.0), min(coverage + reach95, 1.0)


def mean_gain(
    record: pd.DataFrame, other: pd.DataFrame, score: str, *, n_draws: int = _N_DRAWS, seed: int = 0
) -> Gain | None:
    """Compares two records by a score of lower is better, where both have it.

    Log scores are kept to forecasts of about as many paths: at most twice as many.

    Args:
        record: Forecasts of the model.
        other: Those of its rival.
        score: "log_score", of every step, or "qlike", of whole paths.
        n_draws: Draws of the bootstrap, which is that of `crps_skill`.
        seed: Its seed.

    Returns:
        The comparison; None without a common score.
    """
    keys = list(PAIRED[:-1] if score == "qlike" else PAIRED)
    ours, theirs = _means(record, keys, score), _means(other, keys, score)
    both = ours.merge(theirs, on=keys, suffixes=("", "_other"))
    ratio = both["n_paths"] / both["n_paths_other"]
    both = both[(ratio >= 0.5) & (ratio <= 2.0)]
    if both.empty:
        return None
    both["date"] = both["origin"].dt.floor("D")
    both["gain"] = both[f"{score}_other"] - both[score]
    by_date = both.groupby("date")["gain"].agg(["sum", "count"])
    low = high = float("nan")
    if len(by_date) >= _FEWEST_DATES:
        spans = _spans(both, pd.DatetimeIndex(by_date.index))
        drawn = block_bootstrap(len(by_date), int(np.ceil(spans.mean())), n_draws, seed)
        sums = drawn @ by_date.to_numpy(float)
        low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    windows = both.drop_duplicates(list(PAIRED[:-1]))
    return Gain(len(windows), float(both["gain"].mean()), float(low), float(high))


def _means(record: pd.DataFrame, keys: list[str], score: str) -> pd.DataFrame:
    """The score of each key, the mean over several forecasts of it."""
    table = record.loc[np.isfinite(record[score]), [*keys, "timestamp", "n_paths", score]]
    return table.groupby(keys, as_index=False).agg(
        timestamp=("timestamp", "max"), n_paths=("n_paths", "mean"), **{score: (score, "mean")}
    )


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
