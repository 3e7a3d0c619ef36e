"""The clock of a series: closes of its calendar, and pauses that grow to a bound."""

import numpy as np
import pandas as pd
import pytest

from kronos.calendars.intervals import interval_width
from kronos.candles import COLUMNS, Candles
from kronos.follow import BarClock
from kronos.follow.clock import LATE, SETTLE


def candles(last, interval, *, calendar="24/7", zone="UTC", n=3):
    """Bars up to one that opens at a time on the exchange's clock."""
    end = pd.Timestamp(last, tz=zone)
    stamps = pd.DatetimeIndex([end - i * interval_width(interval) for i in reversed(range(n))])
    frame = pd.DataFrame(
        np.full((n, 6), 100.0),
        index=stamps.tz_convert("UTC").as_unit("ns").rename("timestamp"),
        columns=list(COLUMNS),
    )
    return Candles(frame, interval, zone, calendar, "X", "test")


@pytest.mark.parametrize(
    ("last", "interval", "calendar", "zone", "closes"),
    [
        ("2026-11-18 10:00", "1m", "24/7", "UTC", "2026-11-18 10:02"),
        ("2026-11-18 15:30", "30m", "XNYS", "America/New_York", "2026-11-19 15:00"),
        ("2026-11-25 15:30", "1h", "XNYS", "America/New_York", "2026-11-27 15:30"),
        ("2026-11-25", "1d", "XNYS", "America/New_York", "2026-11-27 18:00"),  # half a day
        ("2026-11-27 12:30", "1h", "XNYS", "America/New_York", "2026-11-30 15:30"),
        ("2026-11-20 16:00", "1h", "fx", "America/New_York", "2026-11-22 23:00"),
        ("2026-11-16", "1w", "24/7", "UTC", "2026-11-30"),
    ],
)
def test_the_next_close_is_that_of_the_calendar(last, interval, calendar, zone, closes):
    clock = BarClock()
    series = candles(last, interval, calendar=calendar, zone=zone)
    clock.take(series, series.frame.index[-1])
    assert clock.closes == pd.Timestamp(closes, tz="UTC")
    assert clock.due == clock.closes + SETTLE
    assert not clock.is_due(clock.closes)
    assert clock.is_due(clock.due)


def test_new_bars_are_counted():
    clock = BarClock()
    assert clock.is_due(pd.Timestamp("2026-11-18", tz="UTC"))
    series = candles("2026-11-18 10:00", "1m")
    assert clock.n_new(series) == 3
    clock.take(series, pd.Timestamp("2026-11-18 10:01:10", tz="UTC"))
    assert clock.n_new(series) == 0
    assert clock.n_new(candles("2026-11-18 10:02", "1m")) == 2


@pytest.mark.parametrize(("interval", "soon", "late"), [("1m", 6, 60), ("1h", 60, 900)])
def test_pauses_grow_to_a_bound_that_a_late_bar_widens(interval, soon, late):
    clock, series = BarClock(), candles("2026-11-18 10:00", interval)
    clock.take(series, series.frame.index[-1])

    def pauses(n):
        found = []
        for _ in range(n):
            now = clock.due
            clock.look_again(interval, now)
            found.append((clock.due - now).total_seconds())
        return found

    first = pauses(6)
    assert first[0] == 5
    assert first == sorted(first)
    assert first[-1] == soon
    clock.due = clock.closes + LATE
    assert clock.is_late(clock.due)
    assert max(pauses(40)) == late


def test_failures_pause_longer_and_heed_the_source():
    clock, now = BarClock(), pd.Timestamp("2026-11-18", tz="UTC")
    pauses = []
    for _ in range(8):
        clock.fail(now)
        pauses.append((clock.due - now).total_seconds())
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    clock.fail(now, retry_after=900)
    assert clock.due == now + pd.Timedelta(seconds=900)
    clock.look_again("1m", now)
    clock.fail(now)
    assert clock.due == now + pd.Timedelta(seconds=10)


def test_bars_that_are_older_than_they_could_be_are_looked_for_at_once():
    clock, series = BarClock(), candles("2026-11-18 10:00", "1m")
    now = pd.Timestamp("2026-11-18 10:30", tz="UTC")
    clock.take(series, now)
    assert clock.due == now + pd.Timedelta(seconds=5)
