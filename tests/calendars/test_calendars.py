"""Future bars follow the market's own calendar, and calendars are found from the bars.

Dates asserted here are published facts: US holidays of 2024 and 2025, the early close of
29 November 2024, the clock changes of 2024.
"""

from __future__ import annotations

import subprocess
import sys

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.calendars import asset_class, calendar_note, future_timestamps, infer_calendar
from kronos.calendars.clocks import BROKER_CLOCK
from kronos.calendars.fx_week import is_fx_open
from kronos.calendars.sessions import schedule
from kronos.calendars.symbols import calendar_of_symbol
from kronos.errors import InvalidCandles, InvalidRequest

NEW_YORK = "America/New_York"


def utc(text: str, zone: str = "UTC") -> pd.Timestamp:
    return pd.Timestamp(text, tz=zone).tz_convert("UTC")


def session_bars(calendar: str, zone: str, start: str, end: str, freq: str) -> pd.DatetimeIndex:
    """Every bar of every session, cut from the opening and from the end of the break."""
    rows = schedule(calendar, pd.Timestamp(start), pd.Timestamp(end), zone=zone)
    bars: list[pd.Timestamp] = []
    for row in rows.itertuples():
        segments = [(row.open, row.close)]
        if not pd.isna(row.break_start):
            segments = [(row.open, row.break_start), (row.break_end, row.close)]
        for first, last in segments:
            bars += pd.date_range(first, last, freq=freq, inclusive="left").tolist()
    return pd.DatetimeIndex(bars)


def local(index: pd.DatetimeIndex, zone: str) -> list[str]:
    return index.tz_convert(zone).strftime("%Y-%m-%d %H:%M").tolist()


class TestFuture:
    def test_new_york_days_skip_weekends_and_thanksgiving(self) -> None:
        last = utc("2024-11-26", NEW_YORK)
        days = future_timestamps(last, 4, interval="1d", calendar="XNYS", zone=NEW_YORK)
        assert local(days, NEW_YORK) == [
            f"2024-{day} 00:00" for day in ("11-27", "11-29", "12-02", "12-03")
        ]

    def test_new_york_hours_end_early_on_the_day_after_thanksgiving(self) -> None:
        past = session_bars("XNYS", NEW_YORK, "2024-11-01", "2024-11-27", "1h")
        coming = future_timestamps(past, 6, interval="1h", calendar="XNYS", zone=NEW_YORK)
        assert local(coming, NEW_YORK) == [
            *(f"2024-11-29 {hour}:30" for hour in ("09", "10", "11", "12")),
            "2024-12-02 09:30",
            "2024-12-02 10:30",
        ]

    @pytest.mark.parametrize("freq", ["5min", "30min", "1h", "2h", "4h"])
    @pytest.mark.parametrize(
        ("calendar", "zone"),
        [("XNYS", NEW_YORK), ("XSHG", "Asia/Shanghai"), ("XHKG", "Asia/Hong_Kong")],
    )
    def test_session_bars_go_on_as_the_exchange_cuts_them(
        self, calendar: str, zone: str, freq: str
    ) -> None:
        bars = session_bars(calendar, zone, "2024-09-02", "2024-12-06", freq)
        n_past = len(bars) * 2 // 3
        name = freq.replace("min", "m")
        coming = future_timestamps(
            bars[:n_past], len(bars) - n_past, interval=name, calendar=calendar, zone=zone
        )
        assert coming.tolist() == bars[n_past:].tolist()

    def test_a_lone_timestamp_sets_the_phase(self) -> None:
        last = utc("2024-03-04 15:00", NEW_YORK)
        coming = future_timestamps(last, 3, interval="1h", calendar="XNYS", zone=NEW_YORK)
        assert local(coming, NEW_YORK) == [
            "2024-03-05 10:00",
            "2024-03-05 11:00",
            "2024-03-05 12:00",
        ]

    def test_bars_stamped_with_their_end_stay_so(self) -> None:
        past = session_bars("XSHG", "Asia/Shanghai", "2024-04-08", "2024-04-26", "5min")
        ends = past + pd.Timedelta("5min")
        coming = future_timestamps(ends, 48, interval="5m", calendar="XSHG", zone="Asia/Shanghai")
        stamps = local(coming, "Asia/Shanghai")
        assert (stamps[0], stamps[23], stamps[24], stamps[-1]) == (
            "2024-04-29 09:35",
            "2024-04-29 11:30",
            "2024-04-29 13:05",
            "2024-04-29 15:00",
        )

    def test_extended_hours_go_on(self) -> None:
        days = schedule("XNYS", pd.Timestamp("2024-04-01"), pd.Timestamp("2024-04-26"), zone="UTC")
        wall = [day + pd.Timedelta(hours=h) for day in days.index for h in range(4, 20)]
        past = pd.DatetimeIndex(wall).tz_localize(NEW_YORK).tz_convert("UTC")
        coming = future_timestamps(past, 16, interval="1h", calendar="XNYS", zone=NEW_YORK)
        assert local(coming, NEW_YORK) == [f"2024-04-29 {hour:02}:00" for hour in range(4, 20)]

    def test_the_fx_week_closes_and_opens_at_17_new_york_through_a_clock_change(self) -> None:
        last = utc("2024-03-08 15:00", NEW_YORK)
        coming = future_timestamps(last, 3, interval="1h", calendar="fx", zone="UTC")
        assert coming.strftime("%a %H:%M").tolist() == ["Fri 21:00", "Sun 21:00", "Sun 22:00"]

    def test_the_daily_pause_of_metals_goes_on(self) -> None:
        hours = pd.date_range("2024-02-05", "2024-05-31", freq="h", tz="UTC")
        bars = hours[is_fx_open(hours, pd.Timedelta(hours=1))]
        bars = bars[bars.tz_convert(NEW_YORK).hour != 17]
        coming = future_timestamps(bars[:800], 800, interval="1h", calendar="fx", zone="UTC")
        assert coming.tolist() == bars[800:1600].tolist()

    @pytest.mark.parametrize("n_past", [1, 240, 1500])
    def test_futures_pause_every_day_however_few_bars_are_known(self, n_past: int) -> None:
        """Globex: Sunday 18:00 to Friday 17:00 New York, closed from 17:00 to 18:00 every day."""
        minutes = pd.date_range("2025-03-03", "2025-03-14", freq="min", tz="UTC")
        wall = minutes.tz_convert(NEW_YORK)
        time, day = wall.hour * 60 + wall.minute, wall.day_of_week
        is_closed = (day == 5) | ((day == 4) & (time >= 1020)) | ((day == 6) & (time < 1080))
        bars = minutes[~is_closed & ~((time >= 1020) & (time < 1080))]
        known = int((bars < utc("2025-03-06 15:00", NEW_YORK)).sum())
        for zone in ("America/Chicago", NEW_YORK):
            coming = future_timestamps(
                bars[known - n_past : known], 3000, interval="1m", calendar="CMES", zone=zone
            )
            assert coming.tolist() == bars[known : known + 3000].tolist()

    def test_gold_futures_keep_the_holidays_of_globex(self) -> None:
        for eve, opening in (
            ("2024-12-24 10:00", "2024-12-25 18:00"),
            ("2024-12-31 14:00", "2025-01-01 18:00"),
            ("2025-04-17 14:00", "2025-04-20 18:00"),  # Good Friday
        ):
            coming = future_timestamps(
                utc(eve, NEW_YORK), 30, interval="1h", calendar="CMES", zone="America/Chicago"
            )
            gaps = np.flatnonzero(np.diff(coming.as_unit("s").asi8) > 20 * 3600)
            assert local(coming[gaps + 1], NEW_YORK) == [opening]

    def test_four_hour_fx_bars_keep_the_grid_they_are_on(self) -> None:
        weeks = pd.date_range("2024-02-01", "2024-04-30", freq="h", tz="UTC")
        on_utc = weeks[weeks.hour % 4 == 0]
        wall = pd.date_range("2024-02-01 01:00", "2024-04-30", freq="4h")
        on_new_york = wall.tz_localize(NEW_YORK, nonexistent="NaT").dropna().tz_convert("UTC")
        for grid in (on_utc, on_new_york):
            bars = grid[is_fx_open(grid, pd.Timedelta(hours=4))]
            n_past = int((bars < utc("2024-03-20")).sum())
            coming = future_timestamps(
                bars[:n_past], len(bars) - n_past, interval="4h", calendar="fx", zone="UTC"
            )
            assert coming.tolist() == bars[n_past:].tolist()

    @pytest.mark.parametrize("weekdays", [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 6), (0, 1, 2, 3, 6)])
    def test_daily_fx_bars_keep_their_weekdays(self, weekdays: tuple[int, ...]) -> None:
        days = pd.date_range("2024-01-01", "2024-06-30", tz="UTC")
        bars = days[np.isin(days.day_of_week, weekdays)]
        coming = future_timestamps(bars[:100], 30, interval="1d", calendar="fx", zone="UTC")
        assert coming.tolist() == bars[100:130].tolist()

    def test_crypto_never_closes(self) -> None:
        last = utc("2024-12-24 23:30")
        coming = future_timestamps(last, 500, interval="30m", calendar="24/7", zone="UTC")
        assert (np.diff(coming.as_unit("s").asi8) == 1800).all()

    @pytest.mark.parametrize("calendar", ["24/7", "fx", "weekdays", "XNYS"])
    def test_weeks_keep_weekday_and_local_time(self, calendar: str) -> None:
        last = utc("2024-03-04", NEW_YORK)
        weeks = future_timestamps(last, 60, interval="1w", calendar=calendar, zone=NEW_YORK)
        wall = weeks.tz_convert(NEW_YORK)
        assert (wall == wall.normalize()).all()
        assert (wall.day_of_week == 0).all()
        assert wall[-1].date() == (pd.Timestamp("2024-03-04") + pd.Timedelta(weeks=60)).date()

    def test_beyond_the_recorded_holidays_weekdays_count_and_it_is_said(self) -> None:
        last = utc("2035-06-01", "Asia/Shanghai")
        days = future_timestamps(last, 5, interval="1d", calendar="XSHG", zone="Asia/Shanghai")
        assert [day.day_of_week for day in days.tz_convert("Asia/Shanghai")] == [0, 1, 2, 3, 4]
        note = calendar_note("XSHG", days[-1])
        assert note is not None
        assert "every weekday" in note
        assert calendar_note("XNYS", days[-1]) is None
        assert calendar_note("24/7", days[-1]) is None

    def test_sessions_beyond_the_records_keep_their_hours(self) -> None:
        last = utc("2035-06-01 14:30", "Asia/Shanghai")
        bars = future_timestamps(last, 8, interval="30m", calendar="XSHG", zone="Asia/Shanghai")
        stamps = local(bars, "Asia/Shanghai")
        assert stamps[0] == "2035-06-04 09:30"
        assert stamps[4] == "2035-06-04 13:00"

    @settings(deadline=None, max_examples=40)
    @given(
        calendar=st.sampled_from(["24/7", "fx", "weekdays", "XNYS", "XSHG"]),
        interval=st.sampled_from(["1m", "15m", "1h", "4h", "1d", "1w"]),
        n=st.integers(1, 300),
        second=st.integers(1_000_000_000, 1_800_000_000),
    )
    def test_any_future_is_long_enough_increasing_and_later(
        self, calendar: str, interval: str, n: int, second: int
    ) -> None:
        last = pd.Timestamp(second // 60 * 60, unit="s", tz="UTC")
        zone = {"XNYS": NEW_YORK, "XSHG": "Asia/Shanghai"}.get(calendar, "UTC")
        coming = future_timestamps(last, n, interval=interval, calendar=calendar, zone=zone)
        assert len(coming) == n
        assert coming[0] > last
        assert coming.is_monotonic_increasing
        assert coming.is_unique
        assert str(coming.tz) == "UTC"

    @pytest.mark.parametrize("n", [0, -1, 10_001, True, 1.5])
    def test_impossible_horizons_are_refused(self, n: int) -> None:
        with pytest.raises(InvalidRequest, match="n must be"):
            future_timestamps(utc("2024-01-01"), n, interval="1h", calendar="24/7", zone="UTC")

    def test_unknown_calendars_and_naive_times_are_refused(self) -> None:
        with pytest.raises(InvalidCandles, match="Unknown calendar"):
            future_timestamps(utc("2024-01-01"), 1, interval="1d", calendar="XXXX", zone="UTC")
        naive = pd.Timestamp("2024-01-01")
        with pytest.raises(InvalidCandles, match="time zone"):
            future_timestamps(naive, 1, interval="1d", calendar="24/7", zone="UTC")


class TestRecords:
    @pytest.mark.parametrize("calendar", ["XNYS", "XSHG", "XTKS", "CMES"])
    def test_sessions_are_those_of_the_calendar_library(self, calendar: str) -> None:
        first, last = pd.Timestamp("2014-12-30"), pd.Timestamp("2026-01-05")
        library = exchange_calendars.get_calendar(calendar, start=first, end=last).schedule
        for years in (pd.Timestamp("2015-06-01"), last), (first, last):
            ours = schedule(calendar, *years, zone="UTC")
            pd.testing.assert_frame_equal(
                ours, library.loc[years[0] : years[1], list(ours.columns)], check_freq=False
            )

    @pytest.mark.parametrize("year", [1990, 2000, 2010, 2020, 2030])
    def test_the_holiday_that_opens_a_decade_is_no_session(self, year: int) -> None:
        days = schedule(
            "XNYS", pd.Timestamp(year - 1, 12, 30), pd.Timestamp(year, 1, 4), zone="UTC"
        )
        assert pd.Timestamp(year, 1, 1) not in days.index

    def test_before_and_after_the_records_every_weekday_is_a_session(self) -> None:
        for first, last in (("1985-03-04", "1985-03-15"), ("2095-03-07", "2095-03-18")):
            days = schedule("XSHG", pd.Timestamp(first), pd.Timestamp(last), zone="UTC")
            assert days.index.tolist() == pd.bdate_range(first, last).tolist()
            assert (days["close"] > days["open"]).all()


class TestInference:
    @pytest.mark.parametrize(
        ("symbol", "calendar"),
        [
            *(("BTCUSDT", "24/7"), ("BTC-USD", "24/7"), ("ETH/BTC", "24/7"), ("BTC", "24/7")),
            *(("EURUSD", "fx"), ("EUR/USD", "fx"), ("GBPJPY=X", "fx"), ("XAUUSD", "metals")),
            *(("VOD.L", "XLON"), ("SAP.DE", "XETR"), ("7203.T", "XTKS"), ("0700.HK", "XHKG")),
            *(("600519.SS", "XSHG"), ("000001.SZ", "XSHG"), ("600519", "XSHG")),
            *(("^GSPC", "XNYS"), ("^N225", "XTKS"), ("ES=F", "CMES"), ("SHOP.TO", "XTSE")),
        ],
    )
    def test_symbols_that_name_their_market(self, symbol: str, calendar: str) -> None:
        found = calendar_of_symbol(symbol)
        assert found is not None
        assert found[0] == calendar

    @pytest.mark.parametrize("symbol", ["AAPL", "IBM", "BRK.B", "", "series", "TESTUSD1"])
    def test_symbols_that_say_nothing(self, symbol: str) -> None:
        assert calendar_of_symbol(symbol) is None

    @pytest.mark.parametrize("calendar", ["XNYS", "XLON", "XETR", "XSHG", "XTKS", "XASX"])
    def test_daily_bars_are_known_by_their_holidays(self, calendar: str) -> None:
        rows = schedule(calendar, pd.Timestamp("2021-01-01"), pd.Timestamp("2023-12-31"), zone="")
        choice = infer_calendar(pd.DatetimeIndex(rows.index), interval="1d")
        assert choice.calendar == calendar, choice.reason

    @pytest.mark.parametrize(
        ("calendar", "zone", "freq"),
        [
            ("XNYS", NEW_YORK, "1h"),
            ("XNYS", NEW_YORK, "5min"),
            ("XLON", "Europe/London", "30min"),
            ("XSHG", "Asia/Shanghai", "5min"),
            ("XHKG", "Asia/Hong_Kong", "15min"),
            ("XTKS", "Asia/Tokyo", "5min"),
        ],
    )
    @pytest.mark.parametrize("is_local", [True, False])
    def test_intraday_bars_are_known_by_their_hours_on_either_clock(
        self, calendar: str, zone: str, freq: str, is_local: bool
    ) -> None:
        bars = session_bars(calendar, zone, "2025-01-06", "2025-06-27", freq)
        clock = zone if is_local else "UTC"
        naive = bars.tz_convert(clock).tz_localize(None)
        choice = infer_calendar(naive, interval=freq.replace("min", "m"))
        assert (choice.calendar, choice.clock) == (calendar, clock), choice.reason

    @pytest.mark.parametrize("clock", ["UTC", NEW_YORK, "Europe/London", BROKER_CLOCK])
    def test_fx_bars_are_known_on_any_usual_clock(self, clock: str) -> None:
        hours = pd.date_range("2024-01-15", "2024-06-28", freq="h", tz="UTC")
        bars = hours[is_fx_open(hours, pd.Timedelta(hours=1))]
        if clock == BROKER_CLOCK:
            naive = bars.tz_convert(NEW_YORK).tz_localize(None) + pd.Timedelta(hours=7)
        else:
            naive = bars.tz_convert(clock).tz_localize(None)
        choice = infer_calendar(naive, interval="1h", symbol="EURUSD")
        assert (choice.calendar, choice.clock) == ("fx", clock)

    def test_fx_without_a_symbol_is_known_by_sunday_evening(self) -> None:
        hours = pd.date_range("2024-01-15", "2024-06-28", freq="h", tz="UTC")
        bars = hours[is_fx_open(hours, pd.Timedelta(hours=1))]
        assert infer_calendar(bars, interval="1h").calendar == "fx"
        pause = bars.tz_convert(NEW_YORK).hour == 17
        assert infer_calendar(bars[~pause], interval="1h").calendar == "CMES"

    def test_weekend_bars_mean_24_7_whatever_the_symbol(self) -> None:
        days = pd.date_range("2024-01-01", periods=200)
        for symbol in (None, "AAPL", "VOD.L", "BTCUSDT"):
            assert infer_calendar(days, interval="1d", symbol=symbol).calendar == "24/7"

    def test_bars_on_every_weekday_keep_no_exchange(self) -> None:
        days = pd.bdate_range("2022-01-03", "2023-12-29")
        for symbol in (None, "VOD.L", "BTCUSD"):
            choice = infer_calendar(days, interval="1d", symbol=symbol)
            assert choice.calendar == "weekdays"
            assert "every weekday" in choice.reason

    def test_a_few_missing_days_do_not_hide_new_york(self) -> None:
        rows = schedule("XNYS", pd.Timestamp("2021-01-01"), pd.Timestamp("2023-12-31"), zone="")
        gappy = pd.DatetimeIndex(rows.index).delete([5, 90, 91, *range(200, 230), 500])
        assert infer_calendar(gappy, interval="1d").calendar == "XNYS"


def test_the_calendar_library_is_loaded_only_when_a_session_is_asked_for() -> None:
    code = (
        "import sys, pandas as pd, kronos.candles\n"
        "from kronos.calendars import future_timestamps\n"
        "now = pd.Timestamp('2024-01-01', tz='UTC')\n"
        "future_timestamps(now, 5, interval='1h', calendar='fx', zone='UTC')\n"
        "assert 'exchange_calendars' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("calendar", "symbol", "expected"),
    [
        ("24/7", "BTCUSDT", "crypto"),
        ("fx", "EURUSD", "fx"),
        ("CMES", "ES=F", "future"),
        ("weekdays", "GC=F", "future"),
        ("XNYS", "AAPL", "equity"),
    ],
)
def test_asset_classes(calendar, symbol, expected):
    assert asset_class(calendar, symbol) == expected


class TestHolidaysOfTheWeek:
    """25 December and 1 January: no currency and no metal trades (notices of brokers and CME)."""

    @pytest.mark.parametrize(
        ("calendar", "opening"), [("fx", "17:00"), ("metals", "18:00")], ids=["fx", "metals"]
    )
    @pytest.mark.parametrize(
        ("eve", "day"), [("2024-12-24", "2024-12-25"), ("2024-12-31", "2025-01-01")]
    )
    def test_trading_stops_at_17_on_the_eve_until_the_evening(
        self, calendar: str, opening: str, eve: str, day: str
    ) -> None:
        last = utc(f"{eve} 14:00", NEW_YORK)
        coming = future_timestamps(last, 4, interval="1h", calendar=calendar, zone="UTC")
        hour = int(opening[:2])
        assert local(coming, NEW_YORK) == [
            f"{eve} 15:00",
            f"{eve} 16:00",
            f"{day} {opening}",
            f"{day} {hour + 1}:00",
        ]

    @pytest.mark.parametrize("calendar", ["fx", "metals"])
    def test_a_holiday_on_a_monday_joins_the_weekend(self, calendar: str) -> None:
        last = utc("2023-12-22 16:00", NEW_YORK)
        coming = future_timestamps(last, 1, interval="1h", calendar=calendar, zone="UTC")
        assert local(coming, NEW_YORK) == [f"2023-12-25 {'17' if calendar == 'fx' else '18'}:00"]

    @pytest.mark.parametrize("time", ["00:00", "17:00"])
    def test_days_have_no_bar_of_a_holiday(self, time: str) -> None:
        zone = NEW_YORK if time == "17:00" else "UTC"
        weekdays = (0, 1, 2, 3, 6) if time == "17:00" else (0, 1, 2, 3, 4)
        days = pd.date_range(f"2024-10-01 {time}", "2024-12-21", tz=zone)
        past = days[np.isin(days.day_of_week, weekdays)].tz_convert("UTC")
        coming = future_timestamps(past, 8, interval="1d", calendar="fx", zone="UTC")
        shift = pd.Timedelta(hours=7) if time == "17:00" else pd.Timedelta(0)
        dates = coming.tz_convert(zone).tz_localize(None) + shift
        assert dates.strftime("%m-%d").tolist() == [
            *("12-23", "12-24", "12-26", "12-27", "12-30", "12-31", "01-02", "01-03")
        ]

    def test_other_weeks_of_currencies_are_as_they_were(self) -> None:
        """Sunday 17:00 to Friday 17:00, by arithmetic on the clock of New York."""
        hours = pd.date_range("2024-01-02 23:00", "2024-12-24", freq="30min", tz="UTC")
        clock = hours.tz_convert(NEW_YORK)
        second = ((clock.day_of_week * 24 + clock.hour) * 60 + clock.minute) * 60
        for width in ("30min", "1h", "4h"):
            end = second + pd.Timedelta(width).total_seconds()
            closed = (second >= (4 * 24 + 17) * 3600) & (end <= (6 * 24 + 17) * 3600)
            assert (is_fx_open(hours, pd.Timedelta(width)) == ~closed).all()

    def test_metals_pause_every_day_even_after_a_few_bars(self) -> None:
        last = utc("2024-07-09 15:00", NEW_YORK)
        coming = future_timestamps(last, 3, interval="1h", calendar="metals", zone="UTC")
        assert local(coming, NEW_YORK) == [
            "2024-07-09 16:00",
            "2024-07-09 18:00",
            "2024-07-09 19:00",
        ]
