"""Series to learn from, settings, and what follows of them: split, steps, arguments.

Pure, and without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from data_sources.csv.report import CsvReport
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.finetune.settings import default_steps
from kronos.finetune.split import Parts, Split, choose_split, split_corpus
from kronos.training.corpus import Corpus, corpus_of
from kronos.training.files import FileFacts

_UNSAFE = re.compile(r"[^A-Za-z0-9=^_-]+")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Candles to learn from.

    Attributes:
        title: Name of the file or sample.
        candles: The bars.
        report: What the reader understood of an uploaded file; None of a sample.
        sample: Title of the sample; "" for an uploaded file.
    """

    title: str
    candles: Candles
    report: CsvReport | None = None
    sample: str = ""


def facts_of(series: Sequence[Series]) -> list[FileFacts]:
    """What training is to know of every series; the names of their files are made up here.

    The ticker is part of the name, because the calendar is found by it. Nothing else of what a
    user typed gets into a path.
    """
    found = []
    for i, each in enumerate(series):
        symbol = _UNSAFE.sub("-", each.candles.symbol)[:40].strip("-") or "series"
        candles = each.candles
        found.append(
            FileFacts(
                f"{i:03}/{symbol}.parquet",
                interval=candles.interval,
                family=f"{i:03}",
                clock=candles.zone,
                zone=candles.zone,
            )
        )
    return found


def table_of(candles: Candles) -> pd.DataFrame:
    """Bars as training reads them: columns timestamp, on the market's clock, and the six."""
    table = candles.frame.reset_index(drop=True)
    table.insert(0, "timestamp", candles.local_index)
    return table


def as_corpus(series: Sequence[Series]) -> Corpus:
    """The corpus that the run will read.

    Raises:
        InvalidRequest: The series are too short.
    """
    tables = [table_of(each.candles) for each in series]
    return corpus_of(zip(facts_of(series), tables, strict=True))


VALIDATION_WINDOWS = 32
"""Windows that a validation scores, each by 32 paths: seconds on two processors."""
MAX_STEPS, MAX_WINDOWS, MAX_HORIZON = 5000, 128, 120
MIN_CONTEXT = 16
LEARNING_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is told.

    Attributes:
        base: Name of the model to start from.
        context: Bars read in a window.
        horizon: Bars forecast in it.
        windows: Windows in a step.
        steps: Optimizer steps; None for as many as suit the data.
        lr: Peak learning rate.
        seed: Seed of everything drawn.
        events: Whether the event calendar is learned.
    """

    base: str
    context: int = 128
    horizon: int = 24
    windows: int = 32
    steps: int | None = None
    lr: float = 1e-4
    seed: int = 0
    events: bool = False

    @property
    def n_bars(self) -> int:
        """Bars of a window."""
        return self.context + self.horizon


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A run as it would be.

    Attributes:
        settings: What it is told, with the steps settled.
        cut_off: Moment before which the bars lie that teach.
        parts: The corpus, split.
        n_bars: Bars of the whole corpus.
    """

    settings: Settings
    cut_off: pd.Timestamp
    parts: Parts
    n_bars: int

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        assert self.settings.steps is not None
        return self.settings.steps

    @property
    def n_teaching(self) -> int:
        """Bars that teach."""
        return len(self.parts.train.times)

    @property
    def n_choosing(self) -> int:
        """Bars that choose among the steps."""
        return len(self.parts.validation.times)

    def n_windows(self, corpus: Corpus) -> int:
        """Different windows of context and horizon in one of the parts."""
        return sum(run.n_bars - self.settings.n_bars + 1 for run in corpus.series)

    @property
    def n_scored(self) -> int:
        """Windows that a validation scores, at most."""
        return min(VALIDATION_WINDOWS, self.n_windows(self.parts.validation))


def make_plan(corpus: Corpus, settings: Settings, cut_off: pd.Timestamp | None) -> Plan:
    """Splits a corpus and settles the steps.

    Args:
        corpus: All bars.
        settings: What the run is told.
        cut_off: Where to split; None leaves about a fifth to choose by.

    Raises:
        InvalidRequest: The bars are not enough for such windows on one of the two sides.
    """
    split = choose_split(corpus, n_bars=settings.n_bars) if cut_off is None else Split(cut_off)
    parts = split_corpus(corpus, split, n_bars=settings.n_bars)
    steps = settings.steps or default_steps(
        len(parts.train.times), horizon=settings.horizon, windows=settings.windows
    )
    return Plan(replace(settings, steps=steps), split.cut_off, parts, len(corpus.times))


def require_fitting(settings: Settings, max_context: int) -> None:
    """Refuses windows that the base cannot read.

    Raises:
        InvalidRequest: They are longer than it reads at once.
    """
    if settings.n_bars > max_context:
        raise InvalidRequest(
            f"A window of {settings.context} + {settings.horizon} bars is longer than the "
            f"{max_context} bars this model reads at once. Choose a shorter context or horizon."
        )


def arguments(plan: Plan, folder: Path) -> list[str]:
    """Arguments of `kronos` that train as planned, with everything below a run's folder."""
    told = plan.settings
    options: dict[str, object] = {
        "base": told.base,
        "data": folder / "data",
        "manifest": folder / "manifest.csv",
        "out": folder,
        "cut-off": plan.cut_off.isoformat(),
        "context": told.context,
        "horizon": told.horizon,
        "windows": told.windows,
        "steps": told.steps,
        "lr": told.lr,
        "seed": told.seed,
        "validation-windows": VALIDATION_WINDOWS,
    }
    written = [piece for name, value in options.items() for piece in (f"--{name}", str(value))]
    return ["finetune", "lora", *written, *([] if told.events else ["--no-events"])]
