"""A model that reads events, given the calendar, none, and false ones.

The same model forecasts the same windows with the rows of the calendar and with those of an empty
one, which hold pauses alone. A placebo moves the whole calendar by some days: a model that gains
from events gains nothing from it. Windows are those of bars that the model was not trained on:
later ones of its training families, and all of the families held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.bootstrap import Figure
from benchmarks.events.arms import Origin, Sampling, draw_origins, fans
from benchmarks.events.scores import compare, score_windows
from kronos.errors import InvalidRequest
from kronos.events import Event
from kronos.forecasters.kronos import KronosPredictor
from kronos.training.corpus import Corpus, CorpusEvents, Holdout

__all__ = ["TOLD", "ToldPlan", "measure", "measure_placebo", "told_table"]

TOLD = ("base", "with_events")
"""The rows of an empty calendar; those of the calendar."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ToldPlan:
    """The settings of the measurement.

    Attributes:
        sampling: How windows are forecast.
        windows: Most windows of either kind in a group of bars.
        later_from: First scored day of families that the model was trained on.
        held_out_from: First scored day of the others.
        placebos: Draws of a false calendar.
        days: Least and most days by which it is moved, to either side.
        placebo_windows: Most windows of either kind for each.
        seed: Seed of windows, paths and moves.
    """

    sampling: Sampling
    windows: int = 320
    later_from: str = "2025-10-01"
    held_out_from: str = "2020-01-01"
    placebos: int = 20
    days: tuple[int, int] = (3, 11)
    placebo_windows: int = 40
    seed: int = 0


def measure(
    predictor: KronosPredictor, bars: Corpus, events: Sequence[Event], plan: ToldPlan, say: Say
) -> tuple[dict[str, Figure], pd.DataFrame]:
    """Figures with and without the calendar, and the sums of every window behind them."""
    table = _scored(predictor, bars, CorpusEvents(bars, events), plan, plan.windows, say)
    return compare(table, TOLD), table


def measure_placebo(
    predictor: KronosPredictor, bars: Corpus, events: Sequence[Event], plan: ToldPlan, say: Say
) -> dict[str, Figure]:
    """The same figures of false calendars, over all draws."""
    rng = np.random.default_rng([plan.seed, 9])
    tables = []
    for draw in range(plan.placebos):
        days = int(rng.integers(plan.days[0], plan.days[1] + 1)) * (1 if rng.random() < 0.5 else -1)
        moved = CorpusEvents(bars, [_moved(event, pd.Timedelta(days=days)) for event in events])
        again = replace(plan, seed=plan.seed + draw + 1)
        try:
            found = _scored(predictor, bars, moved, again, plan.placebo_windows, say)
        except InvalidRequest:  # on no bar of these series
            continue
        tables.append(found)
        say(f"placebo {draw + 1} of {plan.placebos}: moved by {days} days")
    return compare(pd.concat(tables, ignore_index=True), TOLD)


def _scored(
    predictor: KronosPredictor,
    bars: Corpus,
    calendar: CorpusEvents,
    plan: ToldPlan,
    most: int,
    say: Say,
) -> pd.DataFrame:
    empty, holdout = CorpusEvents(bars, []), Holdout()
    tables = []
    for is_held_out, since in ((False, plan.later_from), (True, plan.held_out_from)):
        series = tuple(each for each in bars.series if (each.family in holdout) == is_held_out)
        if not series:
            continue
        kinds = draw_origins(
            replace(bars, series=series),
            calendar,
            pd.Timestamp(since, tz="UTC"),
            plan.sampling,
            most=most,
            seed=plan.seed,
        )
        for origins, has_event in zip(kinds, (True, False), strict=True):
            tables.append(_of_origins(predictor, bars, calendar, empty, origins, plan, has_event))
            say(f"{len(origins)} {'event' if has_event else 'quiet'} windows since {since}")
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        raise InvalidRequest("No bar of these series carries an event in the span to score.")
    return table


def _of_origins(
    predictor: KronosPredictor,
    bars: Corpus,
    calendar: CorpusEvents,
    empty: CorpusEvents,
    origins: list[Origin],
    plan: ToldPlan,
    has_event: bool,
) -> pd.DataFrame:
    told = fans(predictor, bars, calendar, origins, plan.sampling, reads_events=True)
    silent = fans(predictor, bars, empty, origins, plan.sampling, reads_events=True)
    # The bars with an event are those of the calendar in both.
    silent = [replace(fan, flagged=each.flagged) for fan, each in zip(silent, told, strict=True)]
    sampled = dict(zip(TOLD, (silent, told), strict=True))
    return score_windows(bars, origins, sampled, plan.sampling, has_event=has_event)


def _moved(event: Event, by: pd.Timedelta) -> Event:
    announced = None if event.announced is None else event.announced + by
    return replace(event, time=event.time + by, announced=announced)


def told_table(groups: dict[str, dict[str, Figure]]) -> str:
    """Groups of windows side by side as Markdown; intervals are 95%."""
    lines = [f"|  | {' | '.join(groups)} |", "| --- " * (len(groups) + 1) + "|"]
    for key, label in (
        ("bar_spread_ratio_happened", "event bars: outcomes, over quiet ones"),
        ("bar_spread_ratio_base", "event bars: spread over quiet, no calendar"),
        ("bar_spread_ratio_with_events", "event bars: spread over quiet, calendar"),
        ("bar_coverage_base", "event bars: 80% coverage, no calendar"),
        ("bar_coverage_with_events", "event bars: 80% coverage, calendar"),
        ("bar_crps_with_events_to_base", "event bars: CRPS, calendar over none"),
        ("event_crps_with_events_to_base", "event windows: CRPS, calendar over none"),
        ("quiet_crps_with_events_to_base", "quiet windows: CRPS, calendar over none"),
        ("quiet_error_with_events_to_base", "quiet windows: error of the median, likewise"),
        ("quiet_coverage_with_events", "quiet windows: 80% coverage, calendar"),
    ):
        cells = " | ".join(found[key].text() for found in groups.values())
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)
