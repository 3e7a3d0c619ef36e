"""The clock of a file follows from trading hours and daylight saving, or is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kronos.calendars import place_bars
from kronos.calendars.clocks import BROKER_CLOCK, CLOCKS, clock_title, find_clock, to_utc
from kronos.calendars.sessions import schedule
from kronos.errors import InvalidCandles

NEW_YORK = "America/New_York"
HOUR = pd.Timedelta(hours=1)
SYMBOLS = {
    "EURUSD": "fx",
    "XAUUSD": "metals",
    "VOD.L": "XLON",
    "SAP.DE": "XETR",
    "7203.T": "XTKS",
    "600519.SS": "XSHG",
    "AAPL": "XNYS",
    "GC=F": "CMES",
    "BTCUSDT": "24/7",
}


def week_bars(
    start: str | pd.Timestamp, end: str | pd.Timestamp, freq: str = "1h", *, pause: bool = False
) -> pd.DatetimeIndex:
    """Bars of currencies, or with a pause of metals, written down from their published hours."""
    local = pd.date_range(start, end, freq=freq, tz="UTC").tz_convert(NEW_YORK)
    hour, day = local.hour.to_numpy(), local.day_of_week.to_numpy()
    opening = 18 if pause else 17
    is_closed = (day == 5) | ((day == 4) & (hour >= 17)) | ((day == 6) & (hour < opening))
    if pause:
        is_closed |= hour == 17
    for month, first in ((12, 25), (1, 1)):
        eve = (local + pd.Timedelta(days=1)).tz_convert(NEW_YORK)
        is_closed |= (eve.month == month) & (eve.day == first) & (hour >= 17)
        is_closed |= (local.month == month) & (local.day == first) & (hour < opening)
    return pd.DatetimeIndex(local[~is_closed].tz_convert("UTC"))


def bars_of(calendar: str, start: pd.Timestamp, end: pd.Timestamp, freq: str) -> pd.DatetimeIndex:
    """Every bar of a calendar between two dates."""
    if calendar == "24/7":
        return pd.date_range(start, end, freq=freq, tz="UTC")
    if calendar in ("fx", "metals", "CMES"):
        return week_bars(start, end, freq, pause=calendar != "fx")
    bars: list[pd.Timestamp] = []
    for row in schedule(calendar, start, end, zone="UTC").itertuples():
        parts = [(row.open, row.close)]
        if not pd.isna(row.break_start):
            parts = [(row.open, row.break_start), (row.break_end, row.close)]
        for first, last in parts:
            bars += pd.date_range(first, last, freq=freq, inclusive="left").tolist()
    return pd.DatetimeIndex(bars)


def written(bars: pd.DatetimeIndex, clock: str) -> pd.DatetimeIndex:
    """Bars as a file on a clock has them: naive, and each time once."""
    if clock == BROKER_CLOCK:
        wall = bars.tz_convert(NEW_YORK).tz_localize(None) + 7 * HOUR
    else:
        wall = bars.tz_convert(clock).tz_localize(None)
    return pd.DatetimeIndex(wall.unique().sort_values())


@pytest.mark.parametrize("clock", ["UTC", NEW_YORK, "Europe/London", "Europe/Athens", "Asia/Tokyo"])
@pytest.mark.parametrize("symbol", ["EURUSD", "XAUUSD", "XAGUSD", "GBPJPY"])
def test_a_year_of_hours_is_read_on_its_clock(symbol: str, clock: str) -> None:
    bars = week_bars("2023-09-04", "2024-08-30", pause=symbol.startswith("XA"))
    placed = place_bars(written(bars, clock), interval="1h", symbol=symbol)
    assert placed.clocks == ()
    assert placed.clock == clock
    assert placed.index.equals(bars.as_unit(placed.index.unit))
    assert placed.calendar == ("metals" if symbol.startswith("XA") else "fx")


def test_gold_in_utc_is_not_taken_for_berlin() -> None:
    bars = week_bars("2024-01-15", "2024-06-28", pause=True)
    opens = bars[1:][bars[1:] - bars[:-1] > 24 * HOUR]
    assert set(opens.hour) == {22, 23}
    assert place_bars(written(bars, "UTC"), interval="1h", symbol="XAUUSD").clock == "UTC"


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h"])
@pytest.mark.parametrize("clock", ["UTC", "Europe/Athens", BROKER_CLOCK])
def test_any_width_shows_the_clock(interval: str, clock: str) -> None:
    bars = week_bars("2024-02-19", "2024-04-12", interval.replace("m", "min"))
    placed = place_bars(written(bars, clock), interval=interval, symbol="EURUSD")
    assert (placed.clock, placed.clocks) == (clock, ())


@pytest.mark.parametrize("symbol", ["EURUSD", "XAUUSD"])
def test_clocks_that_agree_on_every_bar_are_no_question(symbol: str) -> None:
    bars = week_bars("2024-01-08", "2024-02-09", pause=symbol == "XAUUSD")
    placed = place_bars(written(bars, "Europe/London"), interval="1h", symbol=symbol)
    assert placed.clocks == ()
    assert placed.index.tolist() == bars.tolist()


def test_a_file_without_a_weekend_asks() -> None:
    bars = week_bars("2024-01-16 03:00", "2024-01-18 03:00")
    placed = place_bars(written(bars, "Asia/Tokyo"), interval="1h", symbol="EURUSD")
    assert placed.clock == placed.clocks[0] == "UTC"
    assert "Asia/Tokyo" in placed.clocks


def test_bars_without_a_night_ask() -> None:
    bars = pd.date_range("2024-01-01", "2024-03-01", freq="h", tz="UTC")
    placed = place_bars(written(bars, "Asia/Tokyo"), interval="1h", symbol="BTCUSDT")
    assert placed.clock == "UTC"
    assert "Asia/Tokyo" in placed.clocks


def test_bars_that_a_clock_change_skips_refute_that_clock() -> None:
    wall = pd.date_range("2024-03-01", "2024-04-15", freq="15min")
    found = find_clock(wall, interval="15m", calendar="24/7")
    assert "Asia/Tokyo" in found.candidates
    assert not {NEW_YORK, "Europe/London", "Europe/Berlin"} & set(found.candidates)


def test_bars_that_no_clock_explains_ask() -> None:
    bars = week_bars("2024-01-08", "2024-06-28")
    odd = bars + 60 * HOUR * (np.arange(len(bars)) > len(bars) // 2).astype(int)
    placed = place_bars(odd.tz_localize(None), interval="1h", symbol="EURUSD")
    assert len(placed.clocks) > 10


def test_bars_across_a_pause_do_not_keep_it() -> None:
    """On a clock that is half an hour off no bar of currencies lies inside the pause of metals."""
    bars = week_bars("2015-01-01", "2015-01-10")
    placed = place_bars(written(bars, "Etc/GMT-6"), interval="1h", symbol="EURUSD")
    assert "Etc/GMT-6" in placed.clocks


def test_a_missing_bar_as_wide_as_a_session_says_nothing() -> None:
    bars = bars_of("XTKS", pd.Timestamp("2017-01-05"), pd.Timestamp("2017-03-08"), "4h")
    bars = bars.delete([6, 7, 20, 21])
    placed = place_bars(written(bars, "UTC"), interval="4h", symbol="7203.T")
    assert "UTC" in (placed.clock, *placed.clocks)


def test_shares_without_a_suffix_are_tried_as_those_of_new_york() -> None:
    bars = bars_of("XNYS", pd.Timestamp("2015-02-02"), pd.Timestamp("2015-02-03"), "15min")
    placed = place_bars(written(bars, "America/Halifax"), interval="15m", symbol="AAPL")
    assert "America/Halifax" in (placed.clock, *placed.clocks)


def test_a_known_clock_or_an_offset_is_no_question() -> None:
    bars = week_bars("2024-01-16 03:00", "2024-01-18 03:00")
    wall = written(bars, BROKER_CLOCK)
    placed = place_bars(wall, interval="1h", symbol="EURUSD", clock=BROKER_CLOCK)
    assert (placed.index.tolist(), placed.clocks) == (bars.tolist(), ())
    assert place_bars(bars, interval="1h", symbol="EURUSD").clocks == ()
    with pytest.raises(InvalidCandles, match="Unknown time zone"):
        place_bars(wall, interval="1h", symbol="EURUSD", clock="New York + 9 h")


def test_dates_are_no_question() -> None:
    days = pd.bdate_range("2024-01-01", "2024-12-31")
    for symbol in ("EURUSD", "AAPL", "XAUUSD", None):
        assert place_bars(days, interval="1d", symbol=symbol).clocks == ()


def test_days_stamped_with_a_close_are_read_on_its_clock() -> None:
    sessions = schedule("XNYS", pd.Timestamp("2023-01-02"), pd.Timestamp("2023-12-29"), zone="")
    placed = place_bars(sessions.index + 16 * HOUR, interval="1d", symbol="GOOG.US")
    assert (placed.clock, placed.clocks) == (NEW_YORK, ())


def test_days_stamped_with_an_odd_time_ask() -> None:
    days = pd.bdate_range("2024-01-01", "2024-02-28") + 11 * HOUR
    placed = place_bars(days, interval="1d", symbol="EURUSD")
    assert len(placed.clocks) > 1


def test_two_exchanges_with_the_same_hours_ask() -> None:
    """New York's shares on the clock of Chicago look like Mexico's in winter and summer."""
    bars = bars_of("XNYS", pd.Timestamp("2024-06-03"), pd.Timestamp("2024-08-30"), "30min")
    placed = place_bars(written(bars, "America/Chicago"), interval="30m", symbol=None)
    assert "America/Chicago" in (placed.clock, *placed.clocks)
    assert len(placed.clocks) > 1


@pytest.mark.parametrize(
    ("clock", "change"),
    [
        (NEW_YORK, "2024-11-03 06:00"),
        ("Europe/London", "2024-10-27 01:00"),
        (BROKER_CLOCK, "2024-11-03 06:00"),
    ],
)
@pytest.mark.parametrize("freq", ["1h", "30min", "15min"])
def test_the_order_of_the_bars_tells_the_runs_through_a_repeated_hour_apart(
    clock: str, change: str, freq: str
) -> None:
    bars = pd.date_range(pd.Timestamp(change, tz="UTC") - 30 * HOUR, periods=240, freq=freq)
    next_year = bars + pd.Timedelta(days=364)  # the clocks are set back on the same weekday
    for whole in (bars, bars.append(next_year)):
        wall = whole.tz_convert(NEW_YORK if clock == BROKER_CLOCK else clock).tz_localize(None)
        wall = wall + 7 * HOUR if clock == BROKER_CLOCK else wall
        assert wall.has_duplicates
        assert to_utc(wall, clock).equals(whole.rename(None))


def test_an_hour_that_is_there_once_is_summer_time_whatever_other_years_have() -> None:
    bars = pd.date_range("2024-11-02", periods=96, freq="30min", tz="UTC")
    once = bars[(bars < "2024-11-03 06:00") | (bars >= "2024-11-03 07:00")]
    both = bars + pd.Timedelta(days=364)
    whole = once.append(both)
    assert to_utc(whole.tz_convert(NEW_YORK).tz_localize(None), NEW_YORK).equals(whole)


def test_titles_say_what_a_fixed_clock_is() -> None:
    assert clock_title("Etc/GMT+5") == "UTC-5, no daylight saving"
    assert clock_title("Etc/GMT-9") == "UTC+9, no daylight saving"
    assert len({clock_title(clock) for clock in CLOCKS}) == len(CLOCKS)


@settings(deadline=None, max_examples=150)
@given(
    symbol=st.sampled_from(list(SYMBOLS)),
    clock=st.sampled_from(CLOCKS),
    interval=st.sampled_from(["15m", "30m", "1h", "2h", "4h"]),
    start=st.dates(pd.Timestamp("2015-01-01").date(), pd.Timestamp("2025-06-01").date()),
    n_days=st.integers(2, 400),
    first=st.integers(0, 40),
    missing=st.sampled_from([0.0, 0.002, 0.02, 0.08]),
    hole=st.integers(0, 5),
    seed=st.integers(0, 10),
)
@example("XAUUSD", "UTC", "1h", pd.Timestamp("2023-12-27").date(), 12, 3, 0.0, 0, 0)
@example("EURUSD", BROKER_CLOCK, "1h", pd.Timestamp("2024-03-06").date(), 9, 5, 0.0, 0, 0)
def test_a_file_is_read_on_its_clock_or_asks(
    symbol: str,
    clock: str,
    interval: str,
    start: pd.Timestamp,
    n_days: int,
    first: int,
    missing: float,
    hole: int,
    seed: int,
) -> None:
    begin = pd.Timestamp(start)
    end = begin + pd.Timedelta(days=n_days)
    bars = bars_of(SYMBOLS[symbol], begin, end, interval.replace("m", "min"))[first:]
    rng = np.random.default_rng(seed)
    bars = bars[rng.random(len(bars)) >= missing]
    if hole and len(bars):
        gap = bars[int(rng.integers(len(bars)))]
        bars = bars[(bars < gap) | (bars >= gap + pd.Timedelta(days=hole))]
    if len(bars) < 32:
        return
    wall = written(bars, clock)
    placed = place_bars(wall, interval=interval, symbol=symbol)
    truth = to_utc(wall, clock)
    readings = placed.clocks or (placed.clock,)
    assert any(to_utc(wall, each).equals(truth) for each in readings), (placed, bars[:3])
    assert to_utc(wall, readings[0]).equals(placed.index)
