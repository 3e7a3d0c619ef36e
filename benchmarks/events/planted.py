"""Simulated bars whose volatility is known: quiet bars, and event bars that move M times as far.

Everything but the event bars is a random walk with normal steps, so that the spread of a right
forecast is known at every bar, and nothing but the event channels tells an event bar apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars import ALWAYS_OPEN
from kronos.context import calendar_fields
from kronos.events import Event
from kronos.training.corpus import Corpus, SeriesInfo

__all__ = ["PlantedPlan", "planted_corpus", "planted_events"]

_SUBSTEPS = 12
"""Steps of the walk inside a bar, for its high and low."""


@dataclass(frozen=True, slots=True)
class PlantedPlan:
    """What is simulated.

    Attributes:
        multiplier: Standard deviation of an event bar's return over that of a quiet bar's.
        n_series: Series, all with the same events.
        n_bars: Daily bars of each.
        weeks: Fewest and most weeks between two events, which fall on Wednesdays as decisions
            of the FOMC do. Which Wednesday is drawn: the calendar alone does not tell.
        seed: Seed of dates and prices.
    """

    multiplier: float = 3.0
    n_series: int = 24
    n_bars: int = 3000
    weeks: tuple[int, int] = (1, 3)
    seed: int = 0


def _days(plan: PlantedPlan) -> pd.DatetimeIndex:
    return pd.date_range("2010-01-01", periods=plan.n_bars, freq="D", tz="UTC")


def planted_events(plan: PlantedPlan) -> list[Event]:
    """Decisions on Wednesdays, `weeks` apart, from before the first bar to behind the last."""
    rng = np.random.default_rng([plan.seed, 1])
    days = _days(plan)
    at = days[0] - pd.Timedelta(days=2 + 7 * plan.weeks[1])  # a Wednesday
    found = []
    while at < days[-1] + pd.Timedelta(days=180):
        found.append(Event("fomc", (at + pd.Timedelta(hours=18)).as_unit("ns"), "US"))
        at += pd.Timedelta(weeks=int(rng.integers(plan.weeks[0], plan.weeks[1] + 1)))
    return found


def planted_corpus(plan: PlantedPlan) -> Corpus:
    """The bars: daily, round the clock, every series with its own volatility."""
    rng = np.random.default_rng([plan.seed, 2])
    days = _days(plan)
    dates = {event.time.normalize() for event in planted_events(plan)}
    factor = np.where([day in dates for day in days], plan.multiplier, 1.0)
    stamps = calendar_fields(days).astype(np.int8)
    times = days.as_unit("ns").asi8
    series = tuple(
        SeriesInfo(
            f"planted{i}", "1d", "planted/1d", f"planted{i}", i * plan.n_bars,
            (i + 1) * plan.n_bars, calendar=ALWAYS_OPEN, zone="UTC", symbol=f"PLANTED{i}",
        )
        for i in range(plan.n_series)
    )  # fmt: skip
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
