"""Scores of a model on windows of held-out bars.

Fans are those that users see: temperature 1, nothing cut off. CRPS is of log-returns from the
origin over sigma * sqrt(steps), fair to small samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kronos.context import CLOSE, Context
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import cone_scale, ewma_volatility
from kronos.evaluation.scores import FanScores, score_cone, score_paths
from kronos.events import Alignment
from kronos.forecast import Progress, SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.forecasters.paths import PRICE_FLOOR, anchor_factor
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo

__all__ = [
    "EvaluationPlan",
    "MoreScores",
    "Sample",
    "Window",
    "alignment_of",
    "draw_windows",
    "evaluate",
    "figures",
    "score",
    "summarise",
    "window_scores",
]

CONE_BARS = 256
"""Default history of the cone's volatility, in bars."""
MANY = 10
"""Fewest windows of a series whose own ratio says anything."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """The windows that are scored, and how.

    Attributes:
        lookback: Bars the model reads.
        horizon: Steps scored, 1 .. H.
        windows_per_series: Fewest origins drawn in each series.
        windows_per_interval: Origins drawn for every interval, spread over its series.
        sample_count: Paths per forecast.
        batch: Forecasts sampled together.
        seed: Seed of origins and paths.
        intervals: Intervals scored; empty for all.
        cone_bars: History of the cone's volatility; every origin has as many bars.
        max_windows: Most windows scored, drawn from all; 0 for all.
        history: Fewest bars before an origin, where a model that reads more reads what there is;
            0 for as many as it reads. Models that read differently then score the same windows.
    """

    lookback: int
    horizon: int = 24
    windows_per_series: int = 3
    windows_per_interval: int = 0
    sample_count: int = 100
    batch: int = 16
    seed: int = 0
    intervals: tuple[str, ...] = ()
    cone_bars: int = CONE_BARS
    max_windows: int = 0
    history: int = field(default=0, repr=False)  # a run of fine-tuning is known by the others

    def __post_init__(self) -> None:
        for name, low in (
            ("lookback", 2),
            ("horizon", 1),
            ("windows_per_series", 1),
            ("sample_count", 2),
            ("batch", 1),
            ("cone_bars", 2),
            ("max_windows", 0),
            ("history", 0),
        ):
            if getattr(self, name) < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {getattr(self, name)}.")


Sample = Callable[..., tuple[np.ndarray, np.ndarray]]
"""Contexts, the calendar fields (H, 5) of their futures and sampling parameters -> paths
(B, N, H, 6) and decoded last candles (B, 6). `events=` takes event channels (T + H, 20) of every
series."""

MoreScores = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""Times (H,), actual log-returns (H,), anchored ones (N, H) and sigma * sqrt(step) (H,) -> columns
(H,) to add to the table of a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """One origin in one series: the bars before `origin` are read, those from it scored."""

    series: SeriesInfo
    origin: int
    sigma: float

    def first_of(self, lookback: int) -> int:
        """The first of as many bars before the origin, or of the series."""
        return max(self.origin - lookback, self.series.start)


def draw_windows(corpus: Corpus, plan: EvaluationPlan) -> list[Window]:
    """Origins drawn at random in every series, the same for every lookback up to `cone_bars`.

    An origin has max(history or lookback, cone_bars) bars before it. Windows without any movement
    in that history have no scale and are left out.
    """
    rng = np.random.default_rng(plan.seed)
    history = max(plan.history or plan.lookback, plan.cone_bars)
    usable = [
        series
        for series in corpus.series
        if series.n_bars >= history + plan.horizon
        and (not plan.intervals or series.interval in plan.intervals)
    ]
    n_series = Counter(series.interval for series in usable)
    windows = []
    for series in usable:
        room = series.n_bars - history - plan.horizon
        share = -(-plan.windows_per_interval // n_series[series.interval])
        count = min(max(plan.windows_per_series, share), room + 1)
        for offset in sorted(rng.choice(room + 1, count, replace=False)):
            origin = series.start + history + int(offset)
            sigma = ewma_volatility(corpus.values[origin - plan.cone_bars : origin, CLOSE])
            if sigma > 0:
                windows.append(Window(series, origin, sigma))
    if not windows:
        raise InvalidRequest(
            f"No series has the {history + plan.horizon} bars that a window needs."
        )
    if 0 < plan.max_windows < len(windows):
        chosen = rng.choice(len(windows), plan.max_windows, replace=False)
        windows = [windows[i] for i in sorted(chosen)]
    return windows


def evaluate(
    sample: Sample,
    corpus: Corpus,
    plan: EvaluationPlan,
    progress: Progress | None = None,
    *,
    events: CorpusEvents | None = None,
    alignment: Alignment | None = None,
    more: MoreScores | None = None,
    windows: Sequence[Window] | None = None,
) -> pd.DataFrame:
    """Score a model and the cone on the same windows.

    Args:
        sample: Samples a batch of series, as `KronosPredictor.sample` does.
        corpus: The held-out series.
        plan: The windows, and the number of paths.
        progress: Called with windows done and total windows.
        events: Events of the corpus; without them, every window counts as quiet.
        alignment: That of the event rows that the model reads; None for one that reads none.
        more: Computes further columns.
        windows: The windows; None for those that the plan draws.

    Returns:
        One row per window and step: series, interval, group, origin (the first bar scored, UTC),
        step, quiet (no event among the bars scored), and crps, inside (the 80% band), inside95,
        width and error of `raw` (as sampled), `anchored` and `cone`. The error is that of the
        median, in the cone's sigmas.
    """
    windows = draw_windows(corpus, plan) if windows is None else windows
    sampling = SamplingParameters(sample_count=plan.sample_count, seed=plan.seed)
    tables = []
    for first in range(0, len(windows), plan.batch):
        chunk = windows[first : first + plan.batch]
        contexts = [_context(corpus, w, plan.lookback) for w in chunk]
        futures = [corpus.stamps[_future(w, plan)].astype(np.int64) for w in chunk]
        inputs = {}
        if events is not None and alignment is not None:
            inputs["events"] = [_channels(events, window, plan, alignment) for window in chunk]
        paths, last = sample(contexts, futures, sampling, **inputs)
        for window, series_paths, final in zip(chunk, paths, last, strict=True):
            table = _scored(corpus, window, plan, series_paths[..., CLOSE], final[CLOSE], more)
            tables.append(table.assign(quiet=_is_quiet(events, window, plan)))
        if progress:
            progress(min(first + plan.batch, len(windows)), len(windows))
    return pd.concat(tables, ignore_index=True)


def _context(corpus: Corpus, window: Window, lookback: int) -> Context:
    rows = slice(window.first_of(lookback), window.origin)
    return Context(corpus.values[rows].astype(np.float64), corpus.stamps[rows].astype(np.int64))


def _channels(
    events: CorpusEvents, window: Window, plan: EvaluationPlan, alignment: Alignment
) -> np.ndarray:
    first = window.first_of(plan.lookback)
    rows = np.arange(first, window.origin + plan.horizon)
    return events.channels(window.series, rows, window.origin - first, alignment)


def _is_quiet(events: CorpusEvents | None, window: Window, plan: EvaluationPlan) -> bool:
    if events is None:
        return True
    span = np.array([window.origin]), np.array([window.origin + plan.horizon])
    return not events.any_between(*span)[0]


def _future(window: Window, plan: EvaluationPlan) -> slice:
    return slice(window.origin, window.origin + plan.horizon)


def _scored(
    corpus: Corpus,
    window: Window,
    plan: EvaluationPlan,
    closes: np.ndarray,
    decoded: float,
    more: MoreScores | None,
) -> pd.DataFrame:
    last_close = float(corpus.values[window.origin - 1, CLOSE])
    actual = np.log(corpus.values[_future(window, plan), CLOSE].astype(np.float64) / last_close)
    scale = cone_scale(window.sigma, plan.horizon)
    table = pd.DataFrame(
        {
            "series": window.series.name,
            "interval": window.series.interval,
            "group": window.series.group,
            "origin": corpus.times[window.origin],
            "step": np.arange(1, plan.horizon + 1),
        }
    )
    for name, scores in _forecasters(actual, closes, last_close, decoded, scale):
        table[f"{name}_crps"] = scores.crps
        table[f"{name}_inside"] = scores.inside
        table[f"{name}_inside95"] = scores.inside95
        table[f"{name}_width"] = scores.width
        table[f"{name}_error"] = scores.error
    if more is not None:
        anchored = _returns(closes * anchor_factor(last_close, decoded), last_close)
        times = corpus.times[_future(window, plan)]
        table = table.assign(**more(times, actual, anchored, scale))
    return table


def _forecasters(
    actual: np.ndarray, closes: np.ndarray, last_close: float, decoded: float, scale: np.ndarray
) -> Iterator[tuple[str, FanScores]]:
    for name, factor in (("raw", 1.0), ("anchored", anchor_factor(last_close, decoded))):
        yield name, score_paths(actual, _returns(closes * factor, last_close), scale)
    yield "cone", score_cone(actual, scale)


def _returns(closes: np.ndarray, last_close: float) -> np.ndarray:
    return np.asarray(np.log(np.maximum(closes, PRICE_FLOOR * last_close) / last_close))


def score(
    predictor: KronosPredictor,
    corpus: Corpus,
    plan: EvaluationPlan,
    events: CorpusEvents | None = None,
) -> dict[str, float]:
    """Figures of a model on a corpus; see `figures`.

    Args:
        predictor: The model.
        corpus: The bars; every window lies within them.
        plan: The windows, and the number of paths.
        events: Events of the corpus, read by a model with an event embedding.
    """
    return figures(
        evaluate(predictor.sample, corpus, plan, events=events, alignment=alignment_of(predictor))
    )


def alignment_of(predictor: KronosPredictor) -> Alignment | None:
    """The alignment of the event rows that a model reads; None for one that reads none."""
    return next(iter(predictor.facts.event_alignments), None)


def figures(table: pd.DataFrame) -> dict[str, float]:
    """The figures by which models are compared, of a table of `evaluate`.

    Returns:
        crps, the mean over all windows and steps; crps_raw, of the fans as sampled; cone_crps, of
        the volatility cone; coverage, the share of outcomes within the central 80%; quiet_error,
        the distance of the median from the outcome on windows without an event, and quiet_windows,
        their number.
    """
    quiet = table[table["quiet"]]
    return {
        "crps": float(table["anchored_crps"].mean()),
        "crps_raw": float(table["raw_crps"].mean()),
        "cone_crps": float(table["cone_crps"].mean()),
        "coverage": float(table["anchored_inside"].mean()),
        "quiet_error": float(quiet["anchored_error"].mean()) if len(quiet) else 0.0,
        "quiet_windows": float((quiet["step"] == 1).sum()),
    }


def window_scores(
    table: pd.DataFrame, corpus: Corpus, plan: EvaluationPlan
) -> tuple[np.ndarray, int]:
    """CRPS of every window of a table of `evaluate`, in order of time.

    Args:
        table: The scores of the windows that the plan draws.
        corpus: The held-out series.
        plan: The windows.

    Returns:
        (n,) mean CRPS of the anchored fan, and how many windows begin within one on average:
        so many neighbours depend on one another.
    """
    windows = draw_windows(corpus, plan)
    crps = table["anchored_crps"].to_numpy().reshape(len(windows), plan.horizon).mean(axis=1)
    origins = np.array([window.origin for window in windows])
    begin, end = corpus.times[origins], corpus.times[origins + plan.horizon - 1]
    order = np.argsort(begin, kind="stable")
    sorted_begin = begin[order]
    n_within = np.searchsorted(sorted_begin, end, "right") - np.searchsorted(sorted_begin, begin)
    return crps[order], int(np.ceil(n_within.mean()))


def summarise(scores: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Figures of the evaluation table, over all windows or by a column.

    Columns: windows, series; for raw and anchored: CRPS pooled over the cone's pooled CRPS
    (`pooled`), the median of that ratio over series (`median`), the largest ratio of a series of
    at least `MANY` windows (`worst`; NaN without one), coverage of the 80% and the 95% band, and
    the CRPS ratio at the first step (`step1`); the cone's CRPS and coverage; and `widening`, the
    median over windows of the band's width at the last step over that at the first (the cone's is
    the square root of the horizon).
    """
    if by is None:
        return summarise(scores.assign(all="all"), "all")
    rows = {}
    for key, part in scores.groupby(by, sort=True):
        per_series = part.groupby("series")[["raw_crps", "anchored_crps", "cone_crps"]].mean()
        first = part[part["step"] == 1]
        is_long = first.groupby("series").size() >= MANY
        row = {
            "windows": len(first),
            "series": len(per_series),
            "cone_crps": part["cone_crps"].mean(),
            "cone_coverage": part["cone_inside"].mean(),
        }
        for name in ("raw", "anchored"):
            crps = f"{name}_crps"
            row[f"{name}_pooled"] = part[crps].mean() / part["cone_crps"].mean()
            ratios = per_series[crps] / per_series["cone_crps"]
            row[f"{name}_median"] = ratios.median()
            row[f"{name}_worst"] = ratios[is_long].max()
            row[f"{name}_coverage"] = part[f"{name}_inside"].mean()
            row[f"{name}_coverage95"] = part[f"{name}_inside95"].mean()
            row[f"{name}_step1"] = first[crps].mean() / first["cone_crps"].mean()
        last = part[part["step"] == part["step"].max()]
        grown = last["raw_width"].to_numpy() / first["raw_width"].to_numpy()
        row["widening"] = float(np.median(grown)) * np.sqrt(part["step"].max())
        rows[key] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
