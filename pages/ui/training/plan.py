"""Series and settings of a run, and its plan: split, steps, arguments.

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
    """A series of the training data.

    Attributes:
        title: Name of the file or sample.
        candles: The bars.
        report: Report of the reader on an uploaded file; None for a sample.
        sample: Title of the sample; "" for an uploaded file.
    """

    title: str
    candles: Candles
    report: CsvReport | None = None
    sample: str = ""


def facts_of(series: Sequence[Series]) -> list[FileFacts]:
    """The facts of every series for the training, with new file names.

    The name has the ticker, which determines the calendar. Nothing else from a user gets into a
    path.
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
    """Bars as training reads them: timestamp, in the time zone of the market, and six columns."""
    table = candles.frame.reset_index(drop=True)
    table.insert(0, "timestamp", candles.local_index)
    return table


def as_corpus(series: Sequence[Series]) -> Corpus:
    """The corpus of a run.

    Raises:
        InvalidRequest: The series are too short.
    """
    tables = [table_of(each.candles) for each in series]
    return corpus_of(zip(facts_of(series), tables, strict=True))


VALIDATION_WINDOWS = 32
"""Windows of a validation, with 32 paths each: seconds on two processors."""
MAX_STEPS, MAX_WINDOWS, MAX_HORIZON = 5000, 128, 120
MIN_CONTEXT = 16
LEARNING_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run.

    Attributes:
        base: Name of the model to start from.
        context: Bars read in a window.
        horizon: Bars forecast in it.
        windows: Windows in a step.
        steps: Optimizer steps; None for a number that suits the data.
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
    """The plan of a run.

    Attributes:
        settings: Its settings, with a number of steps.
        cut_off: End of the training bars and start of the validation bars.
        parts: The two parts of the corpus.
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
    def n_training(self) -> int:
        """Training bars."""
        return len(self.parts.train.times)

    @property
    def n_validation(self) -> int:
        """Validation bars, which select the best step."""
        return len(self.parts.validation.times)

    def n_windows(self, corpus: Corpus) -> int:
        """Different windows of context and horizon in one of the parts."""
        return sum(run.n_bars - self.settings.n_bars + 1 for run in corpus.series)

    @property
    def n_scored(self) -> int:
        """Windows that a validation scores, at most."""
        return min(VALIDATION_WINDOWS, self.n_windows(self.parts.validation))


def make_plan(corpus: Corpus, settings: Settings, cut_off: pd.Timestamp | None) -> Plan:
    """Split a corpus and determine the steps.

    Args:
        corpus: All bars.
        settings: Settings of the run.
        cut_off: Where to split; None for about a fifth of validation bars.

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
    """Check that the base can read the windows.

    Raises:
        InvalidRequest: They are longer than its context.
    """
    if settings.n_bars > max_context:
        raise InvalidRequest(
            f"A window of {settings.context} + {settings.horizon} bars exceeds the context of the "
            f"base, {max_context} bars. Choose a shorter context or horizon."
        )


def arguments(plan: Plan, folder: Path) -> list[str]:
    """Arguments of `kronos` that train as planned, with everything below a run's folder."""
    settings = plan.settings
    options: dict[str, object] = {
        "base": settings.base,
        "data": folder / "data",
        "manifest": folder / "manifest.csv",
        "out": folder,
        "cut-off": plan.cut_off.isoformat(),
        "context": settings.context,
        "horizon": settings.horizon,
        "windows": settings.windows,
        "steps": settings.steps,
        "lr": settings.lr,
        "seed": settings.seed,
        "validation-windows": VALIDATION_WINDOWS,
    }
    written = [piece for name, value in options.items() for piece in (f"--{name}", str(value))]
    return ["finetune", "lora", *written, *([] if settings.events else ["--no-events"])]
