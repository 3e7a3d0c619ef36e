"""The bars that events fall on: of a chart, of a window of channels, of a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.calendars.spans import BarSpans, bar_spans
from kronos.events.event import MACRO, Event
from kronos.events.regions import regions_of
from kronos.events.tables import load_events

__all__ = ["dated_bars", "event_bars", "event_days", "first_bars_after", "release_hour"]

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
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
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
    """(K,) positions of the first bar that is complete after each moment; -1 for none."""
    return _covering(spans.since, spans.end, times)


def dated_bars(spans: BarSpans, times: np.ndarray) -> np.ndarray:
    """(K,) positions of the bars of the dates of some moments; -1 for none."""
    return _covering(spans.day_start, spans.day_end, times)


def release_hour(event: Event) -> tuple[int, int]:
    """Start and end of the clock hour of a release, on its own clock, as nanoseconds UTC."""
    wall = event.time.tz_convert(event.zone)
    into = ((wall.minute * 60 + wall.second) * 1_000_000 + wall.microsecond) * 1000
    start = event.time.value - into - wall.nanosecond
    return start, start + _HOUR


def _covering(starts: np.ndarray, ends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Positions of the half-open, ascending spans that hold each time; -1 for none."""
    position = np.searchsorted(ends, times, side="right")
    inside = np.minimum(position, len(ends) - 1)
    holds = (position < len(ends)) & (starts[inside] <= times)
    return np.where(holds, inside, -1)


_DAY = pd.Timedelta(days=1)
_EVERYWHERE = "US"
"""Region whose releases count for every instrument, as in the channels."""


def event_days(record: pd.DataFrame, events: Sequence[Event] | None = None) -> pd.Series:
    """Whether a scheduled release falls on the days of a bar, on the market's own clock.

    Args:
        record: Columns instrument, interval, calendar, zone and timestamp (UTC).
        events: Any events; None takes those of this machine.

    Returns:
        Nullable booleans in the order of the record; NA before the first release and after the
        last, where no table covers the days.
    """
    known = load_events() if events is None else events
    out = pd.Series(pd.NA, index=record.index, dtype="boolean")
    macro = [event for event in known if event.kind in MACRO]
    if not macro or record.empty:
        return out
    first = min(event.time for event in macro).normalize()
    last = max(event.time for event in macro).normalize() + _DAY
    keys = ["calendar", "zone", "instrument", "interval"]
    with_reports = {event.symbol.strip().upper() for event in known if event.kind == "earnings"}
    days_of: dict[tuple[tuple[str, ...], str, str], np.ndarray] = {}
    for key, rows in record.groupby(keys, sort=False)["timestamp"]:
        calendar, zone, instrument, interval = map(str, key)
        ticker = instrument.strip().upper()
        # Instruments without reports of their own share the days of their regions.
        about = (regions_of(calendar, instrument), ticker if ticker in with_reports else "", zone)
        if about not in days_of:
            days_of[about] = _release_days(known, *about)
        days = days_of[about]
        width = max(interval_width(interval), _DAY) // _DAY
        begin = _days(pd.DatetimeIndex(rows), zone)
        count = np.searchsorted(days, begin + width) - np.searchsorted(days, begin)
        covered = rows.between(first, last, inclusive="left").to_numpy()
        out[rows.index[covered]] = count[covered] > 0
    return out


def _release_days(
    events: Sequence[Event], regions: Sequence[str], ticker: str, zone: str
) -> np.ndarray:
    """Sorted days of the releases of regions and a ticker, in days since 1970."""
    times = [
        event.time
        for event in events
        if (event.kind in MACRO and event.region in (_EVERYWHERE, *regions))
        or (event.kind == "earnings" and ticker and event.symbol.strip().upper() == ticker)
    ]
    return np.sort(_days(pd.DatetimeIndex(times, tz="UTC"), zone))


def _days(times: pd.DatetimeIndex, zone: str) -> np.ndarray:
    """Days since 1970 on a clock."""
    wall = times.tz_convert(zone).tz_localize(None)
    return np.asarray(wall.as_unit("s").asi8 // 86400)
