"""A list of the stored forecasts, newest first, one page at a time.

A page is found by the place of the row before it, not by a number of rows to skip: the tenth
thousandth page costs as much as the first. Outcomes are read for the rows of the page alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.calendars.intervals import INTERVALS, interval_width
from kronos.evaluation.scores import score_cone
from kronos.store.integrity import checked
from kronos.store.schema import predictions, signal_evaluations
from kronos.store.store import Store

__all__ = [
    "Choices",
    "Filters",
    "Listed",
    "Place",
    "State",
    "find_listed",
    "list_forecasts",
    "read_choices",
]

State = Literal["waiting", "partial", "complete"]
"""Whether no bar of the horizon has an outcome, some have, or the last one has."""
Place = tuple[datetime, str]
"""A row of the list: when it was stored, and its id."""
_FACTS = (
    *("id", "instrument", "source", "interval", "zone", "model_name", "model_version"),
    *("origin", "horizon", "created_at"),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which forecasts are listed; None lists all.

    Attributes:
        instrument: Symbol.
        model: Name of the model.
        interval: Width of a bar.
        state: What is known of the outcome.
        sources: Names of the sources whose forecasts the reader may see.
    """

    instrument: str | None = None
    model: str | None = None
    interval: str | None = None
    state: State | None = None
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A stored forecast in the list.

    Attributes:
        id: Of the prediction.
        instrument: Symbol.
        source: Source of the bars.
        interval: Width of a bar.
        zone: The exchange's own clock.
        model_name: Name of the model.
        model_version: Revision of its weights.
        origin: Open time of the last bar that the model read, UTC.
        horizon: Bars ahead.
        created_at: When it was stored, UTC.
        n_known: Bars of the horizon that have an outcome.
        move: Return from the origin to the last bar with a close, as a share; NaN without one.
        n_inside: Known closes inside the 80% band.
        n_closes: Known closes.
        score: Mean CRPS over that of the cone of a random walk with EWMA volatility, on the same
            bars: below 1 is better than the cone. NaN without outcome or volatility.
    """

    id: str
    instrument: str
    source: str
    interval: str
    zone: str
    model_name: str
    model_version: str
    origin: pd.Timestamp
    horizon: int
    created_at: datetime
    n_known: int
    move: float
    n_inside: int
    n_closes: int
    score: float

    @property
    def place(self) -> Place:
        return self.created_at, self.id

    @property
    def state(self) -> State:
        if not self.n_known:
            return "waiting"
        return "complete" if self.n_known >= self.horizon else "partial"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters can be.

    Attributes:
        instruments: Symbols, sorted.
        models: Names of models, sorted.
        intervals: Widths of bars, from the shortest.
    """

    instruments: tuple[str, ...]
    models: tuple[str, ...]
    intervals: tuple[str, ...]


@checked
def list_forecasts(
    store: Store, filters: Filters, *, after: Place | None = None, limit: int = 50
) -> list[Listed]:
    """A page of the list, the forecast stored last first.

    Args:
        store: What to read.
        filters: Which forecasts.
        after: The last row of the page before; None for the first page.
        limit: Rows of a page.

    Raises:
        StoreError: The store cannot be used.
    """
    created, key = predictions.c.created_at, predictions.c.id
    query = sa.select(*(predictions.c[name] for name in _FACTS)).where(*_conditions(filters))
    if after is not None:
        at, last = after
        query = query.where(sa.and_(created <= at, sa.or_(created < at, key < last)))
    query = query.order_by(created.desc(), key.desc()).limit(limit)
    with store.database.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return _with_outcomes(store, rows)


@checked
def find_listed(store: Store, prediction_id: str) -> Listed | None:
    """One stored forecast as in the list; None where no prediction has the id.

    Args:
        store: What to read.
        prediction_id: The whole id.
    """
    query = sa.select(*(predictions.c[name] for name in _FACTS))
    with store.database.reading() as connection:
        found = connection.execute(query.where(predictions.c.id == prediction_id)).mappings()
        rows = [dict(row) for row in found]
    return next(iter(_with_outcomes(store, rows)), None)


@checked
def read_choices(store: Store, sources: Sequence[str] | None = None) -> Choices:
    """What instruments, models and intervals the stored forecasts have.

    Args:
        store: What to read.
        sources: Only forecasts of these sources; None for all.
    """
    columns = ("instrument", "model_name", "interval")
    query = sa.select(*(predictions.c[name] for name in columns)).distinct()
    if sources is not None:
        query = query.where(predictions.c.source.in_(sources))
    with store.database.reading() as connection:
        rows = connection.execute(query).all()
    instruments, models, intervals = (sorted({row[i] for row in rows}) for i in range(3))
    return Choices(tuple(instruments), tuple(models), tuple(sorted(intervals, key=_width)))


def _width(interval: str) -> pd.Timedelta:
    """The width of a bar; one that this version does not know comes last."""
    return interval_width(interval) if interval in INTERVALS else pd.Timedelta.max


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    given = {
        "instrument": filters.instrument,
        "model_name": filters.model,
        "interval": filters.interval,
    }
    wanted = [predictions.c[name] == value for name, value in given.items() if value is not None]
    if filters.sources is not None:
        wanted.append(predictions.c.source.in_(filters.sources))
    if filters.state is not None:
        known = sa.select(1).where(signal_evaluations.c.prediction_id == predictions.c.id)
        # Steps get their outcome in order: the last one is known when all are.
        whole = known.where(signal_evaluations.c.step == predictions.c.horizon).exists()
        if filters.state == "complete":
            wanted.append(whole)
        else:
            is_waiting = ~known.exists()
            wanted += [is_waiting] if filters.state == "waiting" else [known.exists(), ~whole]
    return wanted


def _with_outcomes(store: Store, rows: list[dict[str, Any]]) -> list[Listed]:
    # An empty list of ids reads nothing; None would read the whole table.
    steps = store.evaluations([row["id"] for row in rows])
    groups = {str(key): group for key, group in steps.groupby("prediction_id")}
    return [
        Listed(**row | {"origin": pd.Timestamp(row["origin"])}, **_outcome(groups.get(row["id"])))
        for row in rows
    ]


def _outcome(steps: pd.DataFrame | None) -> dict[str, Any]:
    """The columns of `Listed` that the outcomes decide."""
    if steps is None:
        return {"n_known": 0, "move": np.nan, "n_inside": 0, "n_closes": 0, "score": np.nan}
    known = steps[steps["actual_return"].notna()]
    returns, crps, scale = (
        known[name].to_numpy(dtype=float) for name in ("actual_return", "crps", "scale")
    )
    is_scaled = scale > 0  # False where it is NaN
    cone = (score_cone(returns[is_scaled], scale[is_scaled]).crps * scale[is_scaled]).sum()
    return {
        "n_known": len(steps),
        "move": float(np.expm1(returns[-1])) if len(known) else np.nan,
        "n_inside": int(known["inside_band"].astype(float).sum()),
        "n_closes": len(known),
        "score": float(crps[is_scaled].sum() / cone) if cone > 0 else np.nan,
    }
