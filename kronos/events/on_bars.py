"""Which bar an event belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kronos.calendars.spans import BarSpans, bar_spans
from kronos.events.event import Event

__all__ = ["dated_bars", "event_bars", "first_bars_after", "release_hour"]

_HOUR = pd.Timedelta(hours=1).value


def event_bars(
    events: Sequence[Event], index: pd.DatetimeIndex, *, interval: str, calendar: str, zone: str
) -> np.ndarray:
    """Positions of the bars that events fall on, for charts.

    Intraday that is the bar in whose span the release falls, and for a release while the market
    is shut the first bar after it. Daily and weekly bars take it by its date on the market's
    clock; a date without a session counts to the next one.

    Args:
        events: K events.
        index: (T,) open times of the bars, aware.
        interval: Name of the bar width.
        calendar: "24/7", "fx", "weekdays" or an exchange code.
        zone: The market's clock.

    Returns:
        (K,) positions, -1 for events on none of the bars.
    """
    if not len(events) or not len(index):
        return np.full(len(events), -1)
    spans = bar_spans(index, interval=interval, calendar=calendar, zone=zone)
    times = np.array([event.time.value for event in events], np.int64)
    return _covering(spans.day_start, spans.day_end, times)


def first_bars_after(spans: BarSpans, times: np.ndarray) -> np.ndarray:
    """(K,) positions of the first complete bar that can know of each moment; -1 for none."""
    return _covering(spans.since, spans.end, times)


def dated_bars(spans: BarSpans, times: np.ndarray) -> np.ndarray:
    """(K,) positions of the bars that moments are dated to; -1 for none."""
    return _covering(spans.day_start, spans.day_end, times)


def release_hour(event: Event) -> tuple[int, int]:
    """Start and end of the clock hour of a release, on its own clock, as nanoseconds UTC."""
    wall = event.time.tz_convert(event.zone)
    into = ((wall.minute * 60 + wall.second) * 1_000_000 + wall.microsecond) * 1000
    start = event.time.value - into - wall.nanosecond
    return start, start + _HOUR


def _covering(starts: np.ndarray, ends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Positions of the half-open stretches that hold each time; they lie in order."""
    position = np.searchsorted(ends, times, side="right")
    inside = np.minimum(position, len(ends) - 1)
    holds = (position < len(ends)) & (starts[inside] <= times)
    return np.where(holds, inside, -1)
