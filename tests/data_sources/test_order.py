"""The hour that a clock repeats when it is set back, and copies of rows."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.data_sources.test_csv import assert_holds, bars, read, written


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("freq", ["1h", "30min", "15min"])
@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Europe/Berlin"])
def test_the_hour_that_is_repeated_in_autumn_is_kept_twice(
    zone: str, freq: str, newest_first: bool
) -> None:
    utc = bars(1400, freq, start="2024-10-25")
    wall = utc.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    assert wall.index.has_duplicates
    reading = read(written(wall[::-1] if newest_first else wall), clock=zone)
    assert_holds(reading, utc)
    assert not reading.report.dropped
    assert not reading.report.repaired
    assert any("is set back" in note for note in reading.report.assumptions)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London"])
def test_a_repeated_hour_that_is_there_once_is_summer_time(zone: str) -> None:
    utc = bars(1400, "30min", start="2024-10-25")
    wall = utc.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    once = ~wall.index.duplicated()
    reading = read(written(wall[once]), clock=zone)
    assert_holds(reading, utc[once])
    assert not any("is set back" in note for note in reading.report.assumptions)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London"])
def test_only_the_clock_of_the_file_repeats_an_hour(zone: str) -> None:
    utc = bars(1400, "30min", start="2024-10-25")
    wall = utc.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    once = ~wall.index.duplicated(keep="last")
    for data, rows in ((wall, wall[once].sort_index()), (wall[::-1], wall[once].sort_index())):
        reading = read(written(data), clock="UTC")
        assert_holds(reading, rows)
        (lost,) = reading.report.dropped
        assert "the one written last was kept" in str(lost)


def test_a_copy_of_the_hour_is_no_second_hour() -> None:
    utc = bars(1400, "30min", start="2024-10-25")
    wall = utc.tz_localize("UTC").tz_convert("Europe/London").tz_localize(None)
    wall = wall[~wall.index.duplicated()]
    hour = wall.loc["2024-10-27 01:00":"2024-10-27 01:30"]
    end = wall.index.get_loc(hour.index[-1]) + 1
    reading = read(written(pd.concat([wall[:end], hour, wall[end:]])), clock="Europe/London")
    assert len(reading.candles) == len(wall)
    assert "the same bar again" in str(reading.report.dropped[0])


def test_small_prices_that_differ_are_no_duplicates() -> None:
    frame = bars()
    names = ["open", "high", "low", "close"]
    frame[names] *= 1e-11  # a hundredth of them is far below any absolute tolerance
    changed = frame.iloc[[20]].assign(close=frame["close"].iloc[20] * 1.004)
    reading = read(written(pd.concat([frame, changed])))
    reasons = [group.reason for group in reading.report.dropped]
    assert any("written last was kept" in reason for reason in reasons)
