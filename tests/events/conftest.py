"""Events, bars and leaders made of few numbers, for laws that are checked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kronos.candles import Candles
from kronos.events.event import Event
from kronos.forecast import COLUMNS


def utc(text: str, zone: str = "UTC") -> pd.Timestamp:
    """A moment, read on a clock, in UTC."""
    return pd.Timestamp(text).tz_localize(zone).tz_convert("UTC").as_unit("ns")


@pytest.fixture
def make_event():
    """A function giving an event of the US from its kind and its time in New York."""

    def make(kind: str, when: str, *, zone: str = "America/New_York", **fields: object) -> Event:
        defaults: dict = {} if kind == "earnings" else {"region": "US"}
        announced = fields.pop("announced", None)
        if isinstance(announced, str):
            announced = utc(announced, zone)
        return Event(kind, utc(when, zone), announced=announced, **(defaults | fields))

    return make


@pytest.fixture
def make_bars():
    """A function giving candles whose closes are known; opens are the closes before."""

    def make(
        index: pd.DatetimeIndex,
        closes: np.ndarray | list[float],
        *,
        interval: str = "1h",
        zone: str = "UTC",
        calendar: str = "24/7",
    ) -> Candles:
        closes = np.asarray(closes, float)
        opens = np.concatenate([closes[:1], closes[:-1]])
        table = np.column_stack(
            [opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, closes, closes]
        )
        moments = pd.DatetimeIndex(index.tz_convert("UTC").as_unit("ns"), name="timestamp")
        frame = pd.DataFrame(table, index=moments, columns=list(COLUMNS))
        return Candles(frame, interval, zone, calendar, "LEAD", "numbers")

    return make
