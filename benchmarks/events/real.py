"""Real bars: an adapter trained before a cut-off, chosen after it, and scored on later bars.

Three spans of time follow each other. Bars before `cut_off` are for training; those before
`test_from` choose the learning rate and the step, by the CRPS of sampled fans; those from
`test_from` on are only scored. The bundled checkpoint has seen bars until October 2025: an honest
`test_from` for it is not earlier.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from benchmarks.corpus_manifest import manifest
from kronos import models
from kronos.errors import InvalidRequest
from kronos.events import Event
from kronos.events.csv_file import read_events
from kronos.events.tables import EventTable, bundled_events, merge_events
from kronos.finetune.job import Hooks, Material, finetune_lora
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Parts, Split
from kronos.training.corpus import Corpus, Holdout, load_corpus

__all__ = ["RealPlan", "events_of", "load_bars", "parts_of", "train_adapter"]


_SETTINGS = FinetuneSettings(
    context=96,
    horizon=24,
    windows=16,
    steps=240,
    validate_every=80,
    patience=0,
    validation_windows=48,
    paths=16,
    event_weight=3.0,
)


@dataclass(frozen=True, slots=True)
class RealPlan:
    """The settings of the experiment.

    Attributes:
        intervals: Widths of the bars used.
        markets: Markets used, as the index of the corpus names them.
        per_group: Most series of an asset class and interval: those that reach furthest, then
            those with the most bars.
        since: First day of training.
        cut_off: First day of validation.
        test_from: First day of the test.
        rates: Learning rates to choose from.
        settings: The other settings of training.
        base: Model that is adapted.
        held_out: Whether families that the bundled checkpoint was not trained on are used too.
    """

    intervals: tuple[str, ...] = ("5m", "15m", "30m", "1h")
    markets: tuple[str, ...] = ("US", "FX", "CFD", "CRYPTO")
    per_group: int = 12
    since: str = "2022-01-01"
    cut_off: str = "2025-07-01"
    test_from: str = "2025-10-01"
    rates: tuple[float, ...] = (2e-3, 1e-2)
    settings: FinetuneSettings = field(default_factory=lambda: _SETTINGS)
    base: str = "bundled"
    held_out: bool = False


def load_bars(corpus: Path, index: Path, plan: RealPlan) -> Corpus:
    """The bars of the families that the bundled checkpoint was trained on, or of all.

    Args:
        corpus: Folder of the bars.
        index: Its index, with the columns that `benchmarks/corpus_manifest.py` reads, and
            `first`, `last` and `rows`.
        plan: Which of them.
    """
    facts = pd.read_parquet(index)
    last = pd.to_datetime(facts["last"])
    facts = facts[
        facts["freq"].isin(plan.intervals)
        & facts["market"].isin(plan.markets)
        & (last > pd.Timestamp(plan.since))
        & (plan.held_out | ~facts["family"].map(Holdout().__contains__))
    ]
    facts = facts.assign(month=last.dt.to_period("M").astype(str))
    facts = facts.sort_values(["month", "rows"], ascending=False, kind="stable")
    split = facts["family"].map(Holdout().__contains__)
    facts = facts.groupby(["asset_class", "freq", split], sort=False).head(plan.per_group)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "manifest.csv"
        manifest(facts).to_csv(listed, index=False)
        return load_corpus(
            corpus,
            manifest=listed,
            since=pd.Timestamp(plan.since),
            on_calendars=True,
            min_bars=plan.settings.n_bars,
        )


def events_of(files: list[Path]) -> list[Event]:
    """The bundled releases, and those of tables as `kronos events add` reads them."""
    tables = [EventTable("bundled", bundled_events())]
    tables += [EventTable(file.stem, read_events(file.read_bytes(), file.name)) for file in files]
    return list(merge_events(tables))


def parts_of(bars: Corpus, plan: RealPlan) -> Parts:
    """Training, validation and test; contexts of the test may lie before it."""
    n_bars = plan.settings.n_bars
    split = Split(_moment(plan.cut_off), _moment(plan.test_from))
    assert split.test_from is not None
    return Parts(
        train=bars.between(None, split.cut_off, min_bars=n_bars),
        validation=bars.between(split.cut_off, split.test_from, min_bars=n_bars),
        test=bars.between(split.test_from, None, min_bars=1),
        cut_off=split.cut_off,
        seen_until=split.test_from,
    )


def train_adapter(
    parts: Parts,
    events: list[Event],
    plan: RealPlan,
    lr: float,
    out: Path,
    hooks: Hooks | None = None,
) -> Path:
    """Train with one learning rate; a run found in `out` is resumed.

    Raises:
        InvalidRequest: The run was stopped before its end.
    """
    material = Material(models.locate(plan.base), parts, events, learn_events=True)
    result = finetune_lora(material, replace(plan.settings, lr=lr), out, hooks=hooks)
    if result.outcome.reason == "stopped":
        raise InvalidRequest(f"The run in {out} was stopped. Start the command again to resume.")
    return result.path


def _moment(date: str) -> pd.Timestamp:
    return pd.Timestamp(date, tz="UTC")
