"""The width of bars is inferred from their timestamps, with any bars missing."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.calendars.intervals import INTERVALS, infer_interval
from kronos.errors import InvalidCandles


@pytest.mark.parametrize("name", INTERVALS)
@settings(max_examples=25)
@given(missing=st.sets(st.integers(0, 99), max_size=30), start=st.integers(0, 10**9))
def test_missing_bars_never_change_the_interval(name: str, missing: set[int], start: int) -> None:
    index = pd.Timestamp(start, unit="s") + INTERVALS[name] * pd.Series(range(100))
    present = index.drop(list(missing))
    assert infer_interval(pd.DatetimeIndex(present)) == name


def test_clock_changes_do_not_hide_daily_and_weekly_bars() -> None:
    days = pd.date_range("2024-01-01", "2024-12-31", freq="D", tz="America/New_York")
    assert infer_interval(days.tz_convert("UTC")) == "1d"
    assert infer_interval(days[::7].tz_convert("UTC")) == "1w"


def test_two_bars_a_session_are_told_by_the_narrower_spacing() -> None:
    days = pd.bdate_range("2024-03-04", periods=20)
    stamps = (days + pd.Timedelta("9h30min")).union(days + pd.Timedelta("13h30min"))
    assert infer_interval(stamps) == "4h"


@pytest.mark.parametrize(
    ("stamps", "says"),
    [
        (pd.DatetimeIndex(["2024-01-01"]), "at least two"),
        (pd.date_range("2020-01-01", periods=40, freq="MS"), "Monthly"),
        (pd.date_range("2020-01-01", periods=40, freq="7min"), "not a supported interval"),
        (pd.to_datetime([i * i * 61 for i in range(60)], unit="s"), "not evenly spaced"),
    ],
)
def test_what_is_no_interval_is_refused(stamps: pd.DatetimeIndex, says: str) -> None:
    with pytest.raises(InvalidCandles, match=says):
        infer_interval(stamps)
