"""On which of the bars of a record scheduled releases fell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.events import MACRO, Event, load_events, regions_of

__all__ = ["event_days"]

_DAY = pd.Timedelta(days=1)
_EVERYWHERE = "US"
"""Region whose releases count for every instrument, as models are told of them everywhere."""


def event_days(record: pd.DataFrame, events: Sequence[Event] | None = None) -> pd.Series:
    """Whether a release falls on the days of a bar, on the market's own clock.

    Args:
        record: Columns instrument, interval, calendar, zone and timestamp (UTC).
        events: The releases; None takes those of this machine.

    Returns:
        Nullable booleans in the order of the record; NA outside the days from the first release
        to the last, of which no table says that nothing happened.
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
