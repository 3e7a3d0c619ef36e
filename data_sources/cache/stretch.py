"""A series, a range of it that is kept, and how that is written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from data_sources.source import Instrument

__all__ = ["SeriesKey", "Stretch", "facts_of", "stretch_of"]


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a series is kept under."""

    source: str
    symbol: str
    interval: str
    adjusted: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of time without holes.

    Attributes:
        first: From when on every bar is kept, by open time.
        last: Up to when.
        is_default: It holds what the source gives where no start is asked for.
        fetched_at: When its newest bars were fetched, by the source's clock.
        fresh_until: Until when nothing new can be had, by this machine's clock; None for a
            stretch that ends in the past.
        zone: Clock of the exchange.
        calendar: Its calendar.
        symbol: Name to show.
        credit: Where the bars came from.
        instrument: What they are of.
        notes: What the source said about them.
        id: Row in the file; 0 for one that is not kept yet.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    is_default: bool
    fetched_at: pd.Timestamp
    fresh_until: pd.Timestamp | None
    zone: str
    calendar: str
    symbol: str
    credit: str
    instrument: Instrument
    notes: tuple[str, ...]
    id: int = 0


def facts_of(stretch: Stretch) -> str:
    """What a row of the file says of a stretch beside its key and its times."""
    facts = asdict(stretch)
    for name in ("id", "first", "last"):
        del facts[name]
    for name in ("fetched_at", "fresh_until"):
        facts[name] = None if facts[name] is None else facts[name].value
    return json.dumps(facts)


def stretch_of(row: tuple[Any, ...]) -> Stretch:
    """The stretch of a row: id, first and last time, facts."""
    facts = json.loads(row[3])
    for name in ("fetched_at", "fresh_until"):
        facts[name] = None if facts[name] is None else _moment(facts[name])
    facts["instrument"] = Instrument(**facts["instrument"])
    facts["notes"] = tuple(facts["notes"])
    return Stretch(id=row[0], first=_moment(row[1]), last=_moment(row[2]), **facts)


def _moment(nanoseconds: int) -> pd.Timestamp:
    return pd.Timestamp(nanoseconds, unit="ns", tz="UTC")
