"""The planted effect: train an adapter on simulated bars, and measure the jump that it forecasts.

The row of a bar is read together with its token, so a flag comes too late for its own bar. What
can tell of the event bar are the days until it, on the bars before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.events.arms import Fan, Origin, Sampling, fans
from benchmarks.events.bootstrap import bootstrap
from benchmarks.events.planted import PlantedPlan, planted_corpus, planted_events
from kronos import models
from kronos.finetune.job import Hooks, Material, finetune_lora
from kronos.finetune.lora import LoraSettings, Targets
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Split, split_corpus
from kronos.forecasters.kronos import KronosPredictor
from kronos.training.corpus import Corpus, CorpusEvents

__all__ = ["TOLERANCE", "RecoveryPlan", "recover", "recovery_table", "spreads"]

TOLERANCE = 0.2
"""How far the recovered multiplier may lie from the planted one, as a share of it."""


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """How the experiment is run.

    Attributes:
        planted: What is simulated.
        steps: Optimizer steps.
        lr: Peak learning rate.
        alpha: That of the adapter. The event embedding starts at zero beside tokens of size 1.5
            and has far to go, which takes a rate at which the products, at the usual alpha of
            16, would wreck the model.
        targets: Matrices that are adapted, as for `LoraSettings`.
        windows: Windows in a step.
        context: Bars read.
        horizon: Bars forecast, in training and in the test; few beside the context, for prices
            that have walked out of the range of the tokens show no spread.
        origins: Places of the test that are forecast from.
        paths: Paths for each.
        base: Model that is adapted.
        seed: Seed of training and test.
    """

    planted: PlantedPlan = field(default_factory=PlantedPlan)
    steps: int = 1500
    lr: float = 1e-2
    alpha: int = 8
    targets: Targets = "blocks"
    windows: int = 12
    context: int = 32
    horizon: int = 12
    origins: int = 160
    paths: int = 64
    base: str = "bundled"
    seed: int = 0

    def settings(self) -> FinetuneSettings:
        return FinetuneSettings(
            lr=self.lr,
            context=self.context,
            horizon=self.horizon,
            windows=self.windows,
            steps=self.steps,
            validate_every=self.steps,
            patience=0,
            validation_windows=32,
            paths=16,
            seed=self.seed,
        )


def recover(plan: RecoveryPlan, out: Path, hooks: Hooks | None = None) -> dict[str, Any]:
    """Trains and measures; bars of the test are later than those of training.

    Args:
        plan: The experiment.
        out: Folder of the training run; one found there is gone on with.
        hooks: Watching the training.

    Returns:
        The plan; the adapter's steps; of the base and of the adapter, the spread of the returns
        of event bars over that of quiet bars (`ratio`, with the 95% interval of a bootstrap of
        series), and the same by distance from the event (`by_distance`); the share by which the
        adapter misses the planted multiplier (`error`), and whether that is within `TOLERANCE`
        (`is_recovered`).
    """
    corpus, events = planted_corpus(plan.planted), planted_events(plan.planted)
    n_bars = plan.context + plan.horizon
    parts = split_corpus(corpus, _split(corpus, plan.planted.n_bars), n_bars=n_bars)
    assert parts.test is not None
    base = models.locate(plan.base)
    material = Material(base, parts, events, learn_events=True)
    lora = LoraSettings(alpha=plan.alpha, targets=plan.targets)
    trained = finetune_lora(material, plan.settings(), out, lora=lora, hooks=hooks)
    told = CorpusEvents(parts.test, events)
    sampling = Sampling(plan.context, plan.horizon, plan.paths, plan.seed)
    origins = _origins(parts.test, plan)
    found: dict[str, Any] = {"plan": asdict(plan), "best_step": trained.outcome.best_step}
    device = hooks.device if hooks else None
    for arm, model in (("base", base.reference), ("adapter", trained.path)):
        predictor: KronosPredictor = models.load(model, device=device)
        sampled = fans(predictor, parts.test, told, origins, sampling, is_told=arm == "adapter")
        found[arm] = spreads(sampled, [origin.series.name for origin in origins])
    multiplier = plan.planted.multiplier
    found["error"] = found["adapter"]["ratio"].value / multiplier - 1.0
    found["is_recovered"] = abs(found["error"]) <= TOLERANCE
    return found


def recovery_table(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    multiplier = found["plan"]["planted"]["multiplier"]
    distances = sorted(found["adapter"]["by_distance"], key=int)
    names = ["event bar" if int(d) == 0 else f"{int(d):+d}" for d in distances]
    lines = [
        f"| one-bar spread over that of quiet bars | ratio | {' | '.join(names)} |",
        "| --- " * (2 + len(names)) + "|",
        f"| planted | {multiplier:.2f} | "
        + " | ".join(f"{multiplier if int(d) == 0 else 1:.2f}" for d in distances)
        + " |",
    ]
    for arm in ("base", "adapter"):
        cells = [f"{found[arm]['by_distance'][d]:.2f}" for d in distances]
        lines.append(f"| {arm} | {found[arm]['ratio'].text(2)} | {' | '.join(cells)} |")
    verdict = "recovered" if found["is_recovered"] else "not recovered"
    lines += ["", f"Error {found['error']:+.0%}: {verdict} to within {TOLERANCE:.0%}."]
    return "\n".join(lines)


def _split(corpus: Corpus, n_bars: int) -> Split:
    def moment(share: float) -> pd.Timestamp:
        return pd.Timestamp(int(corpus.times[int(share * n_bars)]), tz="UTC")

    return Split(moment(0.75), moment(0.85))


def _origins(test: Corpus, plan: RecoveryPlan) -> list[Origin]:
    rng = np.random.default_rng([plan.seed, 3])
    chosen = rng.choice(len(test.series), plan.origins)
    found = []
    for i in chosen:
        series = test.series[i]
        room = series.n_bars - plan.context - plan.horizon
        found.append(Origin(series, series.start + plan.context + int(rng.integers(room + 1))))
    return found


def spreads(sampled: Sequence[Fan], blocks: Sequence[str], reach: int = 3) -> dict[str, Any]:
    """Spread of one-bar returns, p90 - p10 over the paths, in units of a fan's quiet bars.

    Args:
        sampled: The fans.
        blocks: The series of each, which the bootstrap draws.
        reach: How many bars before and behind an event to tell of.
    """
    rows: list[dict[str, Any]] = []
    by_distance: dict[str, list[float]] = {str(d): [] for d in range(-reach, reach + 1)}
    for fan, block in zip(sampled, blocks, strict=True):
        # The first return starts at the anchor, the last close as it was and not as decoded.
        steps, flagged = np.diff(fan.paths, axis=1), fan.flagged[1:]
        low, high = np.quantile(steps, (0.1, 0.9), axis=0)
        if flagged.all():
            continue
        spread = (high - low) / (high - low)[~flagged].mean()
        rows.append(
            {
                "block": block,
                "event": spread[flagged].sum(),
                "quiet": spread[~flagged].sum(),
                "n_event": flagged.sum(),
                "n_quiet": (~flagged).sum(),
            }
        )
        at = np.flatnonzero(flagged)
        for i in range(len(spread) if len(at) else 0):
            distance = i - at[np.abs(at - i).argmin()]
            if abs(distance) <= reach:
                by_distance[str(distance)].append(float(spread[i]))
    table = pd.DataFrame(rows)
    ratio = bootstrap(
        table, {"ratio": lambda t: (t["event"] / t["n_event"]) / (t["quiet"] / t["n_quiet"])}
    )["ratio"]
    return {
        "ratio": ratio,
        "event_bars": int(table["n_event"].sum()),
        "by_distance": {d: float(np.mean(held)) for d, held in by_distance.items() if held},
    }
