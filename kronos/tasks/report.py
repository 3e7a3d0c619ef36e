"""All tasks in one run, and their table."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from kronos.context import CLOSE
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import ewma_volatility
from kronos.forecast import Progress
from kronos.tasks import direction, series, volatility
from kronos.tasks.windows import Draw, Estimate, TaskPlan, draw_paths, random_windows, windows_at
from kronos.training.corpus import Corpus

__all__ = ["PUBLISHED", "TASKS", "Row", "report_json", "report_text", "run_tasks"]

TASKS = ("rankic", "volatility", "qlike", "synthetic")
FORECASTS = {"5m": (480, 96), "1h": (80, 12), "1d": (40, 12)}
SYNTHETIC = {"15m": (120, 96), "1d": (96, 35)}
DAILY = (1, 5, 22)
"""Horizons of QLIKE on daily bars."""
PUBLISHED = {
    "RankIC of price": 0.0254,
    "RankIC of return": 0.0622,
    "volatility MAE": 0.0384,
    "volatility R2": 0.249,
    "discriminative score": 0.2876,
}
"""Kronos-small in arXiv 2508.02739, on the paper's own data: means over its markets."""
NAIVE = frozenset({"momentum", "EWMA", "trailing", "block bootstrap", "real"})
"""Names of the rivals."""

Length = Callable[[int, int], int]
"""Bars that the model reads, of those wanted and of a horizon."""
Stage = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        task: Name of the task.
        setting: Interval and bars, "480+96" for 480 bars read and 96 forecast.
        measure: What is measured.
        forecaster: The model or a rival.
        estimate: Value with t and interval.
        windows: Windows that it is of.
    """

    task: str
    setting: str
    measure: str
    forecaster: str
    estimate: Estimate
    windows: int

    @property
    def published(self) -> float | None:
        """The published figure; None for a rival, of which none is known."""
        return None if self.forecaster in NAIVE else PUBLISHED.get(self.measure)


def run_tasks(
    draw: Draw,
    corpus: Corpus,
    plan: TaskPlan,
    *,
    model: str,
    length: Length,
    stage: Stage,
    note: Callable[[str], None],
    tasks: Sequence[str] = TASKS,
    intervals: Sequence[str] = (),
) -> list[Row]:
    """Compute tasks on the bars of a corpus.

    Args:
        draw: Draws paths of the model.
        corpus: The bars.
        plan: How much is computed.
        model: Name of the model in the table.
        length: Bars that the model reads; a shorter context than published is noted.
        stage: Shows progress under a title.
        note: Called with what is cut or left out.
        tasks: Those of `TASKS` to compute.
        intervals: Only these; empty for all.

    Raises:
        InvalidRequest: A task is unknown, or the corpus has bars for none.
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise InvalidRequest(f"There is no task {unknown[0]!r}; there are {', '.join(TASKS)}.")
    run = _Run(draw, corpus, plan, model, length, stage, note)
    have = {each.interval for each in corpus.series}
    wanted = (have & set(intervals)) if intervals else have
    rows: list[Row] = []
    jobs: list[tuple[str, Iterable[str], Callable[[str], Iterator[Row]]]] = [
        ("rankic", FORECASTS, run.rank_ic),
        ("volatility", FORECASTS, run.volatility),
        ("qlike", ("1d", "5m"), run.qlike),
        ("synthetic", SYNTHETIC, run.synthetic),
    ]
    for task, settings, work in jobs:
        if task not in tasks:
            continue
        for interval in settings:
            if interval not in wanted:
                note(f"{task}: no bars of {interval}.")
                continue
            try:
                rows += work(interval)
            except InvalidRequest as error:
                note(f"{task} of {interval} is left out: {error}")
    if not rows:
        raise InvalidRequest("No task could be computed: the lines above say why.")
    return rows


@dataclass(frozen=True, slots=True)
class _Run:
    draw: Draw
    corpus: Corpus
    plan: TaskPlan
    model: str
    length: Length
    stage: Stage
    note: Callable[[str], None]

    def rank_ic(self, interval: str) -> Iterator[Row]:
        lookback, horizon, setting = self._setting(interval, *FORECASTS[interval])
        windows, overlap = windows_at(
            self.corpus, self.plan, interval, max(FORECASTS[interval][0], horizon + 1), horizon,
            self.plan.origins,
        )  # fmt: skip
        paths = self._paths("RankIC", setting, windows, lookback, horizon, 0.6, 0.9, 10)
        forecasts = {
            self.model: np.array([each[..., CLOSE].mean(axis=0) for each in paths]),
            "momentum": direction.momentum(self.corpus, windows, horizon),
        }
        for name, closes in forecasts.items():
            found = direction.rank_ic(self.corpus, windows, closes, overlap)
            for what, value in found.items():
                yield Row("rankic", setting, f"RankIC of {what}", name, value, len(windows))

    def volatility(self, interval: str) -> Iterator[Row]:
        lookback, horizon, setting = self._setting(interval, *FORECASTS[interval])
        windows, overlap = windows_at(
            self.corpus, self.plan, interval, max(FORECASTS[interval][0], 256), horizon,
            self.plan.origins,
        )  # fmt: skip
        paths = self._paths("Volatility", setting, windows, lookback, horizon, 0.9, 0.9, 1)
        actual = np.array([np.square(w.returns(self.corpus, horizon)).sum() for w in windows])
        modelled, cone, trailing = [], [], []
        for window, path in zip(windows, paths, strict=True):
            closes = window.closes(self.corpus, 500)
            modelled.append(volatility.realised(path[0, :, CLOSE], closes[-1])[-1])
            cone.append(horizon * ewma_volatility(closes) ** 2)
            trailing.append(np.square(np.diff(np.log(closes[-horizon - 1 :]))).sum())
        for name, values in ((self.model, modelled), ("EWMA", cone), ("trailing", trailing)):
            scores = volatility.volatility_scores(actual, np.array(values), windows, overlap)
            for what, value in zip(("MAE", "R2"), scores, strict=True):
                yield Row("volatility", setting, f"volatility {what}", name, value, len(windows))

    def qlike(self, interval: str) -> Iterator[Row]:
        unit = 1 if interval == "1d" else self._bars_a_day(interval)
        horizons = DAILY if interval == "1d" else (unit,)
        lookback, horizon, setting = self._setting(interval, sys.maxsize, horizons[-1])
        history = 200 if unit == 1 else 24 * unit + volatility.HISTORY
        windows, overlap = windows_at(
            self.corpus, self.plan, interval, max(history, lookback), horizon,
            self.plan.qlike_origins,
        )  # fmt: skip
        others = [volatility.rivals(self.corpus, each, horizons, unit) for each in windows]
        windows = [w for w, found in zip(windows, others, strict=True) if found is not None]
        known = [found for found in others if found is not None]
        if not windows:
            raise InvalidRequest("the rivals can be fitted at no origin.")
        n = self.plan.paths
        paths = self._paths("QLIKE", setting, windows, lookback, horizon, 1.0, 1.0, n)
        for place, h in enumerate(horizons):
            actual = np.array([np.square(w.returns(self.corpus, h)).sum() for w in windows])
            own = []
            for window, drawn in zip(windows, paths, strict=True):
                last = float(window.closes(self.corpus, 1)[-1])
                own.append(volatility.realised(drawn[..., CLOSE], last)[:, h - 1].mean())
            forecasts = {self.model: np.array(own)}
            forecasts |= {
                name: np.array([found[name][place] for found in known])
                for name in volatility.RIVALS
            }
            table = volatility.qlike_table(actual, forecasts, windows, overlap)
            of = f"{setting.split('+')[0]}+{h}"
            for name, value in table.items():
                measure = "QLIKE" if " - " in name else "QLIKE - EWMA"
                yield Row("qlike", of, measure, name, value, len(windows))

    def synthetic(self, interval: str) -> Iterator[Row]:
        lookback, horizon, setting = self._setting(interval, *SYNTHETIC[interval])
        windows = random_windows(self.corpus, self.plan, interval, SYNTHETIC[interval][0], horizon)
        paths = self._paths("Synthetic", setting, windows, lookback, horizon, 1.0, 0.95, 1)
        made = {
            self.model: [each[0] for each in paths],
            "block bootstrap": series.bootstrap_series(
                self.corpus, windows, SYNTHETIC[interval][0], horizon, self.plan.seed
            ),
        }
        bars = self.corpus.values
        befores = [
            bars[w.origin - SYNTHETIC[interval][0] : w.origin].astype(np.float64) for w in windows
        ]
        outcomes = [bars[w.origin : w.origin + horizon].astype(np.float64) for w in windows]
        is_test, seed = series.split(windows), self.plan.seed

        def read(them: Sequence[np.ndarray]) -> np.ndarray:
            return np.stack([series.features(a, b) for a, b in zip(befores, them, strict=True)])

        real = read(outcomes)
        for name, them in made.items():
            x = read(them)
            score = series.discriminative_score(real, x, is_test, seed=seed)
            tested = series.train_on_synthetic(real, x, is_test, seed=seed)
            n = len(windows)
            yield Row("synthetic", setting, "discriminative score", name, score, n)
            yield Row("synthetic", setting, "RankIC, trained on synthetic", name, tested, n)
        tested = series.train_on_synthetic(real, real, is_test, seed=seed)
        yield Row("synthetic", setting, "RankIC, trained on real", "real", tested, len(windows))

    def _setting(self, interval: str, wanted: int, horizon: int) -> tuple[int, int, str]:
        lookback = self.length(wanted, horizon)
        if lookback < wanted < sys.maxsize:
            self.note(
                f"{interval}: {self.model} reads {lookback} bars before {horizon}, not the "
                f"published {wanted}."
            )
        return lookback, horizon, f"{interval} {lookback}+{horizon}"

    def _paths(
        self, title: str, setting: str, windows: list, lookback: int, horizon: int, T: float,
        top_p: float, n_paths: int,
    ) -> list[np.ndarray]:  # fmt: skip
        with self.stage(f"{title}, {setting}") as progress:
            return draw_paths(
                self.draw, self.corpus, windows, self.plan, lookback=lookback, horizon=horizon,
                T=T, top_p=top_p, n_paths=n_paths, progress=progress,
            )  # fmt: skip

    def _bars_a_day(self, interval: str) -> int:
        """Bars of a usual day, the median over days and series."""
        counts = [
            pd.Series(self.corpus.times[s.start : s.stop] // pd.Timedelta(days=1).value)
            .value_counts().median()
            for s in self.corpus.series if s.interval == interval
        ]  # fmt: skip
        return max(2, int(np.median(counts)))


def report_json(rows: Sequence[Row], facts: dict[str, object]) -> str:
    """Every figure with its published one, and the facts of the run, as JSON."""
    table = []
    for row in rows:
        values = asdict(row) | {"published": row.published}
        values |= values.pop("estimate")
        table.append(
            {k: None if isinstance(v, float) and not math.isfinite(v) else v
             for k, v in values.items()}
        )  # fmt: skip
    return json.dumps({**facts, "rows": table}, indent=2, allow_nan=False) + "\n"


def report_text(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    header = ("setting", "measure", "forecaster", "value", "95% interval", "t", "dates", "windows",
              "published")  # fmt: skip
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        e = row.estimate
        cells = [
            row.setting, row.measure, row.forecaster, _number(e.value),
            f"{_number(e.low)} to {_number(e.high)}" if math.isfinite(e.low) else "",
            f"{e.t:.1f}" if math.isfinite(e.t) else "", str(e.n), str(row.windows),
            "" if row.published is None else f"{row.published:g}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    foot = (
        "Published: Kronos-small in arXiv 2508.02739, means over the paper's own data; other bars "
        "and other windows than these. The last value ranks nothing: its RankIC is undefined."
    )
    return "\n".join([*lines, "", foot]) + "\n"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
