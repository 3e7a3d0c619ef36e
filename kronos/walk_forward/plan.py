"""Which windows are forecast, by which models, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters

__all__ = ["PATHS", "Series", "WalkPlan", "choose_origins"]

PATHS = 32
"""Paths of a window: their fair CRPS is unbiased however few they are, and many windows tell more
than many paths."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Bars to walk through.

    Attributes:
        candles: All of them, oldest first.
        source: Name of the source under which forecasts of them are stored.
    """

    candles: Candles
    source: str


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """What a walk does on every series.

    Attributes:
        models: Names as the engine knows them, in the order in which each window gets them.
        horizon: Steps forecast, H.
        sampling: How futures are drawn.
        lookback: Bars read; None for what suits each model.
        n_origins: Origins of every series, evenly spaced; not used where `every` is given.
        every: Bars from one origin to the next; None for `n_origins`.
        since: Earliest origin; None for the first that has enough history.
        history: Bars that every origin has up to and with itself.

    Raises:
        InvalidRequest: On construction, if a number is out of range or no model is named.
    """

    models: tuple[str, ...] = ("bundled",)
    horizon: int = 24
    sampling: SamplingParameters = field(
        default_factory=lambda: SamplingParameters(sample_count=PATHS)
    )
    lookback: int | None = None
    n_origins: int = 20
    every: int | None = None
    since: pd.Timestamp | None = None
    history: int = 256

    def __post_init__(self) -> None:
        if not self.models:
            raise InvalidRequest("A walk needs at least one model.")
        for name, low in (("horizon", 1), ("n_origins", 1), ("every", 1), ("history", 2)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {value}.")


def choose_origins(candles: Candles, plan: WalkPlan) -> np.ndarray:
    """Positions of the origins in a series, ascending; empty where it is too short.

    Every origin has `plan.history` bars up to itself and `plan.horizon` bars behind it.
    """
    first = plan.history - 1
    last = len(candles) - 1 - plan.horizon
    if plan.since is not None:
        first = max(first, int(candles.frame.index.searchsorted(plan.since)))
    if last < first:
        return np.array([], dtype=int)
    if plan.every is not None:
        # Counted from the end, so that the newest bars count whatever the history.
        return np.arange(last, first - 1, -plan.every)[::-1]
    return np.unique(np.linspace(first, last, plan.n_origins).round().astype(int))
