"""Asking sources for the bars that stored forecasts wait for, and scoring with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import sqlalchemy as sa

from kronos.calendars.intervals import interval_width
from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.store.schema import predictions, signal_evaluations
from kronos.store.scoring import ScoreReport, score_candles
from kronos.store.store import Store

__all__ = ["Due", "Fetch", "Resolved", "due_series", "resolve", "stored_series"]


@dataclass(frozen=True, slots=True)
class Due:
    """A series whose bars are wanted.

    Attributes:
        source: Name of the source.
        instrument: Symbol.
        interval: Width of a bar.
        since: Origin of the oldest forecast, UTC: bars are wanted from there on.
    """

    source: str
    instrument: str
    interval: str
    since: pd.Timestamp


Fetch = Callable[[Due], Candles]
"""Bars of a series from a source; raises `KronosError`."""


@dataclass(slots=True)
class Resolved:
    """What came of asking.

    Attributes:
        report: What was scored.
        n_asked: Series asked for.
        failures: What went wrong, by series.
    """

    report: ScoreReport = field(default_factory=ScoreReport)
    n_asked: int = 0
    failures: dict[Due, KronosError] = field(default_factory=dict)


def stored_series(store: Store, source: str) -> list[Due]:
    """Every series of a source's bars that has forecasts."""
    return [
        Due(
            source,
            instrument,
            interval,
            store.first_origin(instrument=instrument, interval=interval, source=source),
        )
        for name, instrument, interval in store.series()
        if name == source
    ]


def due_series(store: Store) -> list[Due]:
    """Series with a forecast whose next step should have ended by now, oldest origin first."""
    scored = (
        sa.select(
            signal_evaluations.c.prediction_id,
            sa.func.count(sa.distinct(signal_evaluations.c.step)).label("n"),
        )
        .group_by(signal_evaluations.c.prediction_id)
        .subquery()
    )
    n_scored = sa.func.coalesce(scored.c.n, 0)
    columns = ("source", "instrument", "interval", "origin", "timestamps")
    wanted: list[sa.ColumnElement[Any]] = [predictions.c[name] for name in columns]
    wanted.append(n_scored.label("n_scored"))
    query = (
        sa.select(*wanted)
        .outerjoin(scored, scored.c.prediction_id == predictions.c.id)
        .where(n_scored < predictions.c.horizon)
        .order_by(predictions.c.origin)
    )
    now = store.clock()
    found: dict[tuple[str, str, str], Due] = {}
    with store.database.reading() as connection:
        for source, instrument, interval, origin, stamps, n in connection.execute(query):
            ends = pd.Timestamp(stamps[n]) + interval_width(interval)
            if ends <= now:
                due = Due(source, instrument, interval, pd.Timestamp(origin))
                found.setdefault((source, instrument, interval), due)
    return list(found.values())


def resolve(
    store: Store, series: Iterable[Due], fetch: Fetch, *, as_of: pd.Timestamp | None = None
) -> Resolved:
    """Fetches the bars of each series and scores its forecasts; one that fails stops no other.

    Args:
        store: Where the forecasts are.
        series: What to ask for.
        fetch: Gives the bars.
        as_of: As for `score_candles`.

    Raises:
        StoreError: The store cannot be used.
    """
    resolved = Resolved()
    for due in series:
        resolved.n_asked += 1
        try:
            candles = fetch(due)
        except KronosError as error:
            resolved.failures[due] = error
            continue
        resolved.report.add(
            score_candles(store, candles, of_source=due.source, bars_source=due.source, as_of=as_of)
        )
    return resolved
