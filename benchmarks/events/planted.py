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
        interval: "1d" or "1w".
        n_bars: Bars of each.
        weeks: Fewest and most weeks between two events, which fall on Wednesdays as decisions
            of the FOMC do. Which Wednesday is drawn: the calendar alone does not tell.
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
    """Decisions on Wednesdays, `weeks` apart, from before the first bar to behind the last."""
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
