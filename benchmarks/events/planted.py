"""The planted effect: simulated bars whose event bars move M times as far, and its recovery.

Everything but the event bars is a random walk with normal steps, so that the spread of a right
forecast is known at every bar, and only the event channels distinguish an event bar. An adapter is
trained on such bars, and the jump that it forecasts is measured.

The row of a bar is read together with its token, so that a flag arrives too late for its own bar.
The event bar is announced by the days until it, on the bars before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bootstrap import bootstrap
from benchmarks.events.arms import Fan, Origin, Sampling, fans
from kronos import models
from kronos.calendars import ALWAYS_OPEN
from kronos.context import calendar_fields
from kronos.events import Event
from kronos.finetune.job import Hooks, Material, finetune_lora
from kronos.finetune.lora import LoraSettings, Targets
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Split, split_corpus
from kronos.forecasters.kronos import KronosPredictor
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo

__all__ = [
    "TOLERANCE",
    "PlantedPlan",
    "RecoveryPlan",
    "planted_corpus",
    "planted_events",
    "recover",
    "recovery_table",
    "spreads",
]

_SUBSTEPS = 12
"""Steps of the walk inside a bar, for its high and low."""
TOLERANCE = 0.2
"""How far the recovered multiplier may lie from the planted one, as a share of it."""


@dataclass(frozen=True, slots=True)
class PlantedPlan:
    """The settings of the simulation.

    Attributes:
        multiplier: Standard deviation of an event bar's return over that of a quiet bar's.
        n_series: Series, all with the same events.
        interval: "1d" or "1w".
        n_bars: Bars of each.
        weeks: Fewest and most weeks between two events, which fall on Wednesdays like decisions
            of the FOMC. The Wednesdays are random, so that the calendar does not predict them.
        seed: Seed of dates and prices.
    """

    multiplier: float = 2.2
    n_series: int = 24
    interval: str = "1w"
    n_bars: int = 2000
    weeks: tuple[int, int] = (2, 7)
    seed: int = 0


def _opens(plan: PlantedPlan) -> pd.DatetimeIndex:
    """(n_bars,) open times; weeks begin on Mondays."""
    freq = {"1d": "D", "1w": "7D"}[plan.interval]
    return pd.date_range("1982-01-04", periods=plan.n_bars, freq=freq, tz="UTC")


def planted_events(plan: PlantedPlan) -> list[Event]:
    """Decisions on Wednesdays, `weeks` apart, from before the first bar to after the last."""
    rng = np.random.default_rng([plan.seed, 1])
    opens = _opens(plan)
    at = opens[0] + pd.Timedelta(days=2 - 7 * plan.weeks[1])  # a Wednesday
    found = []
    while at < opens[-1] + pd.Timedelta(days=180):
        found.append(Event("fomc", (at + pd.Timedelta(hours=18)).as_unit("ns"), "US"))
        at += pd.Timedelta(weeks=int(rng.integers(plan.weeks[0], plan.weeks[1] + 1)))
    return found


def planted_corpus(plan: PlantedPlan) -> Corpus:
    """The bars, round the clock, every series with its own volatility."""
    rng = np.random.default_rng([plan.seed, 2])
    opens = _opens(plan)
    times = opens.as_unit("ns").asi8
    moments = np.array([event.time.value for event in planted_events(plan)])
    bars = np.searchsorted(times, moments, side="right") - 1
    factor = np.ones(plan.n_bars)
    factor[bars[(bars >= 0) & (moments < times[-1])]] = plan.multiplier
    stamps = calendar_fields(opens).astype(np.int8)
    series = tuple(
        SeriesInfo(
            name,
            plan.interval,
            f"planted/{plan.interval}",
            name,
            start,
            start + plan.n_bars,
            calendar=ALWAYS_OPEN,
            zone="UTC",
            symbol=name.upper(),
        )
        for name, start in ((f"planted{i}", i * plan.n_bars) for i in range(plan.n_series))
    )
    values = [_bars(factor * rng.uniform(0.005, 0.02), rng) for _ in series]
    return Corpus(
        np.concatenate(values),
        np.tile(stamps, (plan.n_series, 1)),
        np.tile(times, plan.n_series),
        series,
    )


def _bars(sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 6) bars of a walk without drift and without gaps, given each bar's sigma (n,)."""
    steps = rng.normal(0.0, 1.0, (len(sigma), _SUBSTEPS)) * (sigma / np.sqrt(_SUBSTEPS))[:, None]
    walk = np.cumsum(steps.ravel()).reshape(steps.shape)
    opens = np.concatenate([[0.0], walk[:-1, -1]])
    inside = np.column_stack([opens, walk])
    volume = rng.lognormal(4.0, 0.3, len(sigma))
    prices = 100.0 * np.exp(
        np.column_stack([opens, inside.max(axis=1), inside.min(axis=1), walk[:, -1]])
    )
    return np.column_stack([prices, volume, volume * prices.mean(axis=1)]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """The settings of the experiment.

    Attributes:
        planted: The simulation.
        steps: Optimizer steps.
        lr: Peak learning rate.
        alpha: Alpha of the adapter. The event embedding starts at zero beside tokens of size 1.5
            and needs a high rate, at which the products, with the usual alpha of 16, would wreck
            the model.
        targets: Matrices that are adapted, as for `LoraSettings`.
        windows: Windows in a step.
        context: Bars read.
        horizon: Bars forecast, in training and in the test; few beside the context, because prices
            outside the range of the tokens show no spread.
        origins: Origins in the test.
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
    """Train and measure; the test bars are later than the training bars.

    Args:
        plan: The experiment.
        out: Folder of the training run; a run found there is resumed.
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
    placed = CorpusEvents(parts.test, events)
    sampling = Sampling(plan.context, plan.horizon, plan.paths, plan.seed)
    origins = _origins(parts.test, plan)
    found: dict[str, Any] = {"plan": asdict(plan), "best_step": trained.outcome.best_step}
    device = hooks.device if hooks else None
    for arm, model in (("base", base.reference), ("adapter", trained.path)):
        predictor: KronosPredictor = models.load(model, device=device)
        sampled = fans(
            predictor, parts.test, placed, origins, sampling, reads_events=arm == "adapter"
        )
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
        blocks: Series of each fan, which the bootstrap draws.
        reach: Largest distance from an event, in bars.
    """
    rows: list[dict[str, Any]] = []
    by_distance: dict[str, list[float]] = {str(d): [] for d in range(-reach, reach + 1)}
    for fan, block in zip(sampled, blocks, strict=True):
        # The first return starts at the last close, which is not a decoded one.
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
        "by_distance": {d: float(np.mean(values)) for d, values in by_distance.items() if values},
    }
