"""Do a model's fans drift by chance? Scores later bars of the series that it was trained on.

    python -m benchmarks.drift --data CORPUS --manifest MANIFEST [--models NAME ...]

The drift of a fan is the mean log-return of its paths, over sigma * sqrt(step). A drift that says
something has outcomes on its side: their slope on it is 1. A drift that is noise has a slope of 0,
and the fan gains when it is taken away. Windows are of the training families, their 24 bars from
--since on, as many of every interval (those of asset classes in turn, a series and an origin drawn
at random); 128 bars read, 100 paths, T = 1. No held-out series is used, so that models, weights of
the drift and divisors of logits may be chosen by these figures. CRPS is over that of the EWMA cone;
"centred" is that of the same paths without their drift, which is lower by what centring on a sample
mean gains by itself. Differences are to the first model; intervals are a bootstrap of the calendar
weeks of the origins.
"""

from __future__ import annotations

import argparse
import platform
import sys

import numpy as np
import pandas as pd
import torch

from benchmarks.bootstrap import bootstrap
from benchmarks.revision import revision
from kronos import models
from kronos.cli.bars import add_corpus_options, add_events_option, corpus_config
from kronos.cli.terminal import ProgressLine
from kronos.context import CLOSE
from kronos.evaluation.cone import ewma_volatility
from kronos.evaluation.scores import score_paths
from kronos.forecasters.kronos import KronosPredictor
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo, load_corpus
from kronos.training.held_out import EvaluationPlan, Window, alignment_of, evaluate

INTERVALS = ("5m", "15m", "1h", "4h", "1d")
_HISTORY_DAYS = 761  # before --since, so that daily bars have their context
_Groups = dict[str, list[tuple[SeriesInfo, int, int]]]
"""By asset class and interval: series with their first and last origin."""
_TRIES = 20  # draws for every window, before an interval is left with fewer


def main(argv: list[str] | None = None) -> int:
    """Print the tables, and return the exit code."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.drift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(made)
    add_events_option(made, "give models that read events their rows")
    made.add_argument("--models", nargs="+", default=["bundled"], metavar="NAME")
    made.add_argument("--since", default="2025-10-01", help="first day scored")
    made.add_argument("--windows", type=int, default=280, help="windows of every interval")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help="of windows and paths")
    args = made.parse_args(argv)
    data, since = corpus_config(args), pd.Timestamp(args.since)
    corpus = load_corpus(
        data.folder,
        manifest=data.manifest,
        holdout=data.holdout,
        since=since - pd.Timedelta(days=_HISTORY_DAYS),
        min_bars=300,
        on_calendars=True,
    )
    events = CorpusEvents(corpus, data.events, data.leaders())
    tables: dict[str, pd.DataFrame] = {}
    revisions = ""
    for name in args.models:
        predictor = models.load(name)
        if not isinstance(predictor, KronosPredictor):
            made.error(f"{name} samples no tokens; name Kronos models.")
        parts = [
            scored(predictor, corpus, events, since.tz_localize("UTC"), args.windows, seed)
            for seed in args.seeds
        ]
        tables[name] = pd.concat(parts, ignore_index=True)
        revisions += f"{name} {predictor.revision}, "
    print(report(tables))
    print(
        f"{revisions}code {revision()}, torch {torch.__version__} on {platform.machine()} with "
        f"{torch.get_num_threads()} threads."
    )
    return 0


def scored(
    predictor: KronosPredictor,
    corpus: Corpus,
    events: CorpusEvents,
    since: pd.Timestamp,
    n: int,
    seed: int,
) -> pd.DataFrame:
    """The table of `evaluate` on drawn windows, with drift, outcome and CRPS when centred."""
    plan = EvaluationPlan(lookback=128, sample_count=100, seed=seed)
    with ProgressLine(predictor.name) as line:
        return evaluate(
            predictor.sample,
            corpus,
            plan,
            line,
            events=events,
            alignment=alignment_of(predictor),
            more=_drifts,
            windows=later_windows(corpus, plan, since, n),
        )


def later_windows(
    corpus: Corpus, plan: EvaluationPlan, since: pd.Timestamp, n: int
) -> list[Window]:
    """n windows of every interval whose bars to score begin at `since` or later."""
    rng = np.random.default_rng([plan.seed, 77])
    times = pd.DatetimeIndex(corpus.times).tz_localize(None).as_unit("ns").asi8
    first_scored = since.tz_convert("UTC").tz_localize(None).as_unit("ns").value
    windows: list[Window] = []
    for interval in INTERVALS:
        groups: _Groups = {}
        for series in corpus.series:
            end = series.start + series.n_bars
            later = series.start + int(np.searchsorted(times[series.start : end], first_scored))
            low, high = max(series.start + plan.cone_bars, later), end - plan.horizon
            if series.interval == interval and high > low:
                groups.setdefault(series.group, []).append((series, low, high))
        windows += _drawn(rng, corpus, plan, groups, n)
    return windows


def _drawn(
    rng: np.random.Generator, corpus: Corpus, plan: EvaluationPlan, groups: _Groups, n: int
) -> list[Window]:
    names = sorted(groups)
    drawn: dict[tuple[int, int], Window] = {}
    for turn in range(1, _TRIES * n if names else 1):
        if len(drawn) == n:
            break
        group = groups[names[turn % len(names)]]
        series, low, high = group[rng.integers(len(group))]
        origin = int(rng.integers(low, high + 1))
        sigma = ewma_volatility(corpus.values[origin - plan.cone_bars : origin, CLOSE])
        if sigma > 0:
            drawn.setdefault((series.start, origin), Window(series, origin, sigma))
    return list(drawn.values())


def _drifts(
    times: np.ndarray, actual: np.ndarray, paths: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    mean = paths.mean(axis=0)
    centred = score_paths(actual, paths - mean, scale)
    return {"drift": mean / scale, "outcome": actual / scale, "centred_crps": centred.crps}


def report(tables: dict[str, pd.DataFrame]) -> str:
    """A row for every model and interval, in Markdown."""
    lines = [
        "| model | bars | windows | CRPS | minus the first's (95%) | centred | 80% band | 95% band "
        "| drift at 24 bars | slope of outcomes on it (95%) |",
        "| --- | --- |" + " ---: |" * 8,
    ]
    first = next(iter(tables.values()))
    for name, table in tables.items():
        for interval in ("all", *INTERVALS):
            rows = (table["interval"] == interval) if interval != "all" else table["step"] > 0
            if rows.any():
                lines.append(_line(name, interval, table[rows], first[rows]))
        lines.append(_mean_line(name, table, first))
    return "\n".join(lines) + "\n"


def _line(name: str, interval: str, rows: pd.DataFrame, first: pd.DataFrame) -> str:
    last = rows["step"] == rows["step"].max()
    both = pd.DataFrame(
        {
            "block": pd.to_datetime(rows["origin"]).dt.strftime("%G-%V"),
            "ours": rows["anchored_crps"],
            "first": first["anchored_crps"],
            "cone": rows["cone_crps"],
            "product": (rows["drift"] * rows["outcome"]).where(last, 0.0),
            "square": (rows["drift"] ** 2).where(last, 0.0),
        }
    )
    found = bootstrap(
        both,
        {
            "difference": lambda sums: (sums["ours"] - sums["first"]) / sums["cone"],
            "slope": lambda sums: sums["product"] / sums["square"],
        },
    )
    cone = rows["cone_crps"].mean()
    cells = [
        name,
        interval,
        f"{last.sum():,}",
        f"{rows['anchored_crps'].mean() / cone:.4f}",
        found["difference"].text(4),
        f"{rows['centred_crps'].mean() / cone:.4f}",
        f"{rows['anchored_inside'].mean():.3f}",
        f"{rows['anchored_inside95'].mean():.3f}",
        f"{np.sqrt((rows['drift'][last] ** 2).mean()):.3f}",
        found["slope"].text(2),
    ]
    return f"| {' | '.join(cells)} |"


def _mean_line(name: str, table: pd.DataFrame, first: pd.DataFrame) -> str:
    """The mean of the intervals, which count alike."""
    both = pd.DataFrame({"block": pd.to_datetime(table["origin"]).dt.strftime("%G-%V")})
    intervals = table["interval"].unique()
    for interval in intervals:
        here = table["interval"] == interval
        both[f"ours {interval}"] = table["anchored_crps"].where(here, 0.0)
        both[f"first {interval}"] = first["anchored_crps"].where(here, 0.0)
        both[f"cone {interval}"] = table["cone_crps"].where(here, 0.0)

    def mean(sums: pd.DataFrame, of: str, minus: str = "") -> pd.Series:
        ratios = [
            (sums[f"{of} {each}"] - (sums[f"{minus} {each}"] if minus else 0.0))
            / sums[f"cone {each}"]
            for each in intervals
        ]
        return sum(ratios[1:], ratios[0]) / len(ratios)

    found = bootstrap(
        both,
        {
            "ratio": lambda sums: mean(sums, "ours"),
            "difference": lambda sums: mean(sums, "ours", "first"),
        },
    )
    cells = [name, "mean", "", f"{found['ratio'].value:.4f}", found["difference"].text(4)]
    return f"| {' | '.join([*cells, *[''] * 5])} |"


if __name__ == "__main__":
    sys.exit(main())
