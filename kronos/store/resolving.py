"""The series whose stored forecasts wait for bars, and fetching these for scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import sqlalchemy as sa

from kronos.calendars.intervals import interval_width
from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.store.integrity import checked
from kronos.store.schema import predictions, signal_evaluations
from kronos.store.scoring import ScoreReport, score_candles
from kronos.store.store import Store

__all__ = ["Due", "Fetch", "Resolved", "due_series", "resolve", "stored_series"]


@dataclass(frozen=True, slots=True)
class Due:
    """A series with forecasts that wait for bars.

    Attributes:
        source: Name of the source.
        instrument: Symbol.
        interval: Width of a bar.
        since: Origin of the oldest forecast, UTC: the first bar needed.
    """

    source: str
    instrument: str
    interval: str
    since: pd.Timestamp


Fetch = Callable[[Due], Candles]
"""Bars of a series from a source; raises `KronosError`."""


@dataclass(slots=True)
class Resolved:
    """Result of fetching and scoring.

    Attributes:
        report: Counts of the scoring.
        n_series: Number of series fetched.
        failures: Errors by series.
    """

    report: ScoreReport = field(default_factory=ScoreReport)
    n_series: int = 0
    failures: dict[Due, KronosError] = field(default_factory=dict)


@checked
def stored_series(store: Store, source: str) -> list[Due]:
    """Every series of a source with forecasts."""
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


@checked
def due_series(store: Store) -> list[Due]:
    """Series with a forecast whose next unscored step has ended, oldest origin first."""
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
    """Fetches the bars of each series and scores its forecasts; a failure affects its series alone.

    Args:
        store: Holds the forecasts.
        series: The series to fetch.
        fetch: Returns the bars of a series.
        as_of: As for `score_candles`.

    Raises:
        StoreError: The store cannot be used.
    """
    resolved = Resolved()
    for due in series:
        resolved.n_series += 1
        try:
            candles = fetch(due)
        except KronosError as error:
            resolved.failures[due] = error
            continue
        resolved.report.add(
            score_candles(store, candles, of_source=due.source, bars_source=due.source, as_of=as_of)
        )
    return resolved
