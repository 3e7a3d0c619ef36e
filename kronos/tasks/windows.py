"""Origins that instruments share, and the paths drawn there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.context import CLOSE, PRICES, Context
from kronos.errors import InvalidRequest
from kronos.forecast import Progress, SamplingParameters
from kronos.forecasters.paths import anchor_factor, make_valid
from kronos.training.corpus import Corpus, SeriesInfo

__all__ = [
    "Draw",
    "Estimate",
    "TaskPlan",
    "Window",
    "by_date",
    "draw_paths",
    "estimate",
    "random_windows",
    "windows_at",
]

Draw = Callable[
    [Sequence[Context], Sequence[np.ndarray], Sequence[SamplingParameters]],
    Sequence[tuple[np.ndarray, np.ndarray]],
]
"""Contexts, calendar fields (H, 5) and sampling parameters of B windows -> for each, its paths
(N, H, 6) and its last bar as decoded (6,)."""
_DAY = pd.Timedelta(days=1).value


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """How much is computed.

    Attributes:
        origins: Dates at which all instruments are forecast.
        series: Most instruments of an interval.
        windows: Real windows, and as many synthetic ones.
        qlike_origins: Dates of the volatility forecasts of 100 paths.
        paths: Paths of these.
        batch: Windows drawn together.
        seed: Seed of windows, paths and training.
        since: First moment of an origin; contexts reach back before it. None for all.
        plain: Whether to draw at T = 1 and top_p = 1, for forecasters without tokens.
    """

    origins: int = 60
    series: int = 60
    windows: int = 3000
    qlike_origins: int = 40
    paths: int = 100
    batch: int = 16
    seed: int = 0
    since: pd.Timestamp | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        for name, low in (
            ("origins", 1), ("series", 1), ("windows", 10), ("qlike_origins", 1), ("paths", 1),
            ("batch", 1), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {getattr(self, name)}.")

    def sampling(self, T: float, top_p: float, n: int, window: int) -> SamplingParameters:
        """Sampling of the window with this number; each window has noise of its own."""
        if self.plain:
            T, top_p = 1.0, 1.0
        return SamplingParameters(
            T=T, top_p=top_p, sample_count=n, seed=(self.seed * 100_003 + window) % 2**31
        )


@dataclass(frozen=True, slots=True)
class Window:
    """One origin of one series: bars before `origin` are read, those from it are the outcome."""

    series: SeriesInfo
    origin: int
    date: int  # number of the shared date

    def closes(self, corpus: Corpus, n: int) -> np.ndarray:
        """Up to n closes before the origin."""
        first = max(self.series.start, self.origin - n)
        return corpus.values[first : self.origin, CLOSE].astype(np.float64)

    def returns(self, corpus: Corpus, horizon: int) -> np.ndarray:
        """(H,) log-returns of the bars after the origin, each from the close before."""
        rows = slice(self.origin - 1, self.origin + horizon)
        moves = np.diff(np.log(corpus.values[rows, CLOSE].astype(np.float64)))
        return np.asarray(moves)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its t and 95% interval, NaN where there are too few terms.

    Attributes:
        value: The mean.
        t: Over its Newey-West standard error.
        low: Lower end of the interval.
        high: Upper end.
        n: Terms.
    """

    value: float
    t: float
    low: float
    high: float
    n: int


def windows_at(
    corpus: Corpus, plan: TaskPlan, interval: str, lookback: int, horizon: int, n_dates: int
) -> tuple[list[Window], int]:
    """Windows of many instruments at shared dates.

    Dates are spread evenly over the time in which any instrument has an origin. An instrument
    takes its first bar at or after a date, at most a tenth of the distance between dates, or a
    day, later.

    Returns:
        The windows in order of date, and the number of dates within the longest horizon: so many
        neighbours depend on one another.

    Raises:
        InvalidRequest: No series is long enough.
    """
    since = np.iinfo(np.int64).min if plan.since is None else plan.since.as_unit("ns").value
    usable = []
    for series in corpus.series:
        first, last = series.start + lookback, series.stop - horizon
        first = series.start + max(
            lookback, int(np.searchsorted(corpus.times[series.start : series.stop], since))
        )
        if series.interval == interval and first <= last:
            usable.append((series, first, last))
    if not usable:
        raise InvalidRequest(
            f"No series of {interval} has {lookback} bars to read and {horizon} after them."
        )
    rng = np.random.default_rng(plan.seed)
    if len(usable) > plan.series:
        chosen = sorted(rng.choice(len(usable), plan.series, replace=False))
        usable = [usable[i] for i in chosen]
    begin = min(corpus.times[first] for _, first, _ in usable)
    end = max(corpus.times[min(last, s.stop - 1)] for s, _, last in usable)
    dates = np.linspace(begin, end, n_dates + 1)[:-1].astype(np.int64)
    tolerance = max((end - begin) // max(10 * n_dates, 1), _DAY)
    windows, spans = [], []
    for date, moment in enumerate(dates):
        for series, first, last in usable:
            origin = first + int(np.searchsorted(corpus.times[first:last], moment))
            if origin < last and corpus.times[origin] - moment <= tolerance:
                windows.append(Window(series, origin, date))
                spans.append(int(corpus.times[origin + horizon - 1] - corpus.times[origin]))
    step = max((end - begin) / n_dates, 1)
    return windows, 1 + int(max(spans, default=0) // step)


def random_windows(
    corpus: Corpus, plan: TaskPlan, interval: str, lookback: int, horizon: int
) -> list[Window]:
    """`plan.windows` windows at random origins, by series and time.

    Raises:
        InvalidRequest: There are fewer than 10 origins.
    """
    since = np.iinfo(np.int64).min if plan.since is None else plan.since.as_unit("ns").value
    places = []
    for series in corpus.series:
        if series.interval != interval:
            continue
        known = int(np.searchsorted(corpus.times[series.start : series.stop], since))
        first, last = series.start + max(lookback, known), series.stop - horizon
        places += [(series, origin) for origin in range(first, last + 1)]
    if len(places) < 10:
        raise InvalidRequest(f"{interval} has {len(places)} windows of {lookback}+{horizon} bars.")
    rng = np.random.default_rng(plan.seed)
    chosen = rng.choice(len(places), min(plan.windows, len(places)), replace=False)
    return [Window(places[i][0], places[i][1], 0) for i in sorted(chosen)]


def draw_paths(
    draw: Draw,
    corpus: Corpus,
    windows: Sequence[Window],
    plan: TaskPlan,
    *,
    lookback: int,
    horizon: int,
    T: float,
    top_p: float,
    n_paths: int,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Valid, anchored paths (N, H, 6) of every window, as the application shows them."""
    found = []
    for first in range(0, len(windows), plan.batch):
        chunk = windows[first : first + plan.batch]
        contexts = [_context(corpus, each, lookback) for each in chunk]
        futures = [corpus.stamps[w.origin : w.origin + horizon].astype(np.int64) for w in chunk]
        samplings = [plan.sampling(T, top_p, n_paths, first + i) for i in range(len(chunk))]
        drawn = draw(contexts, futures, samplings)
        for context, (paths, last) in zip(contexts, drawn, strict=True):
            paths = np.array(paths, dtype=np.float64)
            paths[..., PRICES] *= anchor_factor(float(context.values[-1, CLOSE]), last[CLOSE])
            found.append(make_valid(paths, context))
        if progress:
            progress(min(first + plan.batch, len(windows)), len(windows))
    return found


def _context(corpus: Corpus, window: Window, lookback: int) -> Context:
    rows = slice(window.origin - lookback, window.origin)
    return Context(corpus.values[rows].astype(np.float64), corpus.stamps[rows].astype(np.int64))


def estimate(values: np.ndarray, overlap: int = 1) -> Estimate:
    """Mean of values in order of time, with Newey-West t and 95% interval.

    Args:
        values: (n,), NaN where undefined.
        overlap: Neighbours that depend on one another.
    """
    from kronos.evaluation.significance import newey_west

    values = values[np.isfinite(values)]
    n, nan = len(values), float("nan")
    if n < 3:
        return Estimate(float(values.mean()) if n else nan, nan, nan, nan, n)
    lag = max(overlap - 1, int(4 * (n / 100) ** (2 / 9)))
    error = float(np.sqrt(newey_west(values, lag) / n))
    mean = float(values.mean())
    t = mean / error if error > 0 else nan
    return Estimate(mean, t, mean - 1.96 * error, mean + 1.96 * error, n)


def by_date(values: np.ndarray, windows: Sequence[Window]) -> np.ndarray:
    """Means of values (n,) of windows over each date, in order of date."""
    table = pd.Series(values).groupby([window.date for window in windows]).mean()
    return np.asarray(table.to_numpy(dtype=float))
