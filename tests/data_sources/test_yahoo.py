"""Yahoo through the real client: its bars, those left out, and the notes on them."""

import numpy as np
import pandas as pd
import pytest

from data_sources.source import DataSource, Instrument
from kronos.errors import IntervalUnavailable, InvalidRequest, UnknownSymbol
from tests.market_prices import bars as made_bars


def moment(text: str, zone: str = "UTC") -> pd.Timestamp:
    return pd.Timestamp(text, tz=zone)


def test_it_is_a_source(yahoo):
    assert isinstance(yahoo, DataSource)
    assert yahoo.name == "yahoo"


def test_days_are_trading_days_and_the_open_one_is_left_out(yahoo):
    bars = yahoo.fetch("aapl", interval="1d", adjusted=False)
    candles = bars.candles
    assert (candles.calendar, candles.zone, candles.interval) == ("XNYS", "America/New_York", "1d")
    assert (candles.local_index == candles.local_index.normalize()).all()
    assert candles.local_index[-1].date().isoformat() == "2026-11-17"
    assert bars.notes == (
        "The bar of 2026-11-18 (America/New_York) is not finished and was left out.",
    )
    last = moment("2026-11-17 09:30", "America/New_York").timestamp()
    made = made_bars("AAPL", np.array([last]), np.array([last + 6.5 * 3600]), last + 86400)
    np.testing.assert_allclose(candles.frame.iloc[-1, :5], made[0], rtol=1e-5)


def test_the_instrument_is_described(yahoo, markets):
    bars = yahoo.fetch("VOD.L", interval="1d")
    assert bars.instrument == Instrument("yahoo", "VOD.L", "Vodafone Group", "stock", "GBp", 3)
    assert bars.fetched_at == markets.now
    assert yahoo.fetch("ES=F", interval="1d").instrument.kind == "future"


@pytest.mark.parametrize(
    ("symbol", "calendar", "zone"),
    [
        ("EURUSD=X", "fx", "Europe/London"),
        ("ES=F", "CMES", "America/New_York"),
        ("BTC-USD", "24/7", "UTC"),
        ("^GSPC", "XNYS", "America/New_York"),
        ("SPY", "XNYS", "America/New_York"),
        ("VOD.L", "XLON", "Europe/London"),
    ],
)
def test_each_market_keeps_its_own_calendar(yahoo, symbol, calendar, zone):
    candles = yahoo.fetch(symbol, interval="1h", start=moment("2026-11-10")).candles
    assert (candles.calendar, candles.zone) == (calendar, zone)
    assert candles.future(3)[0] > candles.frame.index[-1]


def test_an_intraday_bar_is_finished_when_its_time_is_over(yahoo, markets):
    markets.now = moment("2026-11-18 17:44:59")
    before = yahoo.fetch("AAPL", interval="15m").candles.frame.index[-1]
    markets.now = moment("2026-11-18 17:45")
    after = yahoo.fetch("AAPL", interval="15m").candles.frame.index[-1]
    assert (before, after) == (moment("2026-11-18 17:15"), moment("2026-11-18 17:30"))


def test_the_last_bar_of_a_session_is_finished_at_the_close(yahoo, markets):
    markets.now = moment("2026-11-18 16:00", "America/New_York").tz_convert("UTC")
    hours = yahoo.fetch("AAPL", interval="1h").candles
    assert hours.local_index[-1].strftime("%H:%M") == "15:30"
    assert yahoo.fetch("AAPL", interval="1d").candles.local_index[-1].day == 18


def test_a_bar_of_delayed_quotes_waits_for_a_later_trade(yahoo, markets):
    """London is a quarter of an hour late: at 15:31 nothing after 15:16 is known."""
    markets.now = moment("2026-11-18 15:31")
    late = yahoo.fetch("VOD.L", interval="15m").candles.frame.index[-1]
    assert late == moment("2026-11-18 15:00")


def test_the_sources_clock_decides_and_not_this_machines(yahoo, markets):
    """This machine is an hour ahead; the bar that still trades is not taken for finished."""
    yahoo._clock = lambda: markets.now + pd.Timedelta(hours=1)
    bars = yahoo.fetch("AAPL", interval="1h")
    assert bars.fetched_at == markets.now
    assert bars.candles.frame.index[-1] == moment("2026-11-18 16:30")


def test_weeks_are_resampled_from_days(yahoo):
    days = yahoo.fetch("AAPL", interval="1d", start=moment("2026-10-01")).candles
    weeks = yahoo.fetch("AAPL", interval="1w", start=moment("2026-10-01")).candles
    assert (weeks.local_index.day_of_week == 0).all()
    assert (weeks.local_index == weeks.local_index.normalize()).all()
    # The week of the 16th is not over; that of the 28th of September began before the start.
    assert [str(day.date()) for day in weeks.local_index[[0, -1]]] == ["2026-10-05", "2026-11-09"]
    week = days.frame[(days.local_index >= "2026-11-09") & (days.local_index < "2026-11-14")]
    assert len(week) == 5
    made = weeks.frame.iloc[-1]
    assert made["open"] == week["open"].iloc[0]
    assert made["high"] == week["high"].max()
    assert made["low"] == week["low"].min()
    assert made["close"] == week["close"].iloc[-1]
    assert made["volume"] == week["volume"].sum()


def test_half_hours_are_resampled_from_quarters(yahoo):
    start = moment("2026-11-16 14:30")
    quarters = yahoo.fetch("AAPL", interval="15m", start=start).candles.frame
    halves = yahoo.fetch("AAPL", interval="30m", start=start).candles.frame
    assert halves.index[0] == start
    first = quarters.iloc[:2]
    assert halves.iloc[0]["close"] == first["close"].iloc[1]
    assert halves.iloc[0]["volume"] == first["volume"].sum()
    assert set(halves.index.minute) == {0, 30}


def test_adjusted_prices_are_rescaled_and_raw_ones_are_not(yahoo, markets):
    ex_date = moment("2026-11-03 09:30", "America/New_York")
    markets.yahoo.listings["AAPL"].dividends[ex_date] = 2.0
    start = moment("2026-10-01")
    raw = yahoo.fetch("AAPL", interval="1d", adjusted=False, start=start).candles
    adjusted = yahoo.fetch("AAPL", interval="1d", start=start).candles
    ratio = (
        adjusted.frame[["open", "high", "low", "close"]]
        / raw.frame[["open", "high", "low", "close"]]
    )
    before = (raw.local_index < ex_date.normalize()).argmin()
    close = raw.frame["close"].iloc[before - 1]
    np.testing.assert_allclose(ratio.iloc[:before], 1 - 2.0 / close, rtol=1e-6)
    np.testing.assert_allclose(ratio.iloc[before:], 1.0, rtol=1e-9)


def test_a_range_holds_what_opens_within_it(yahoo):
    start, end = moment("2026-11-16 15:00"), moment("2026-11-16 16:00")
    stamps = yahoo.fetch("AAPL", interval="15m", start=start, end=end).candles.frame.index
    assert (stamps[0], stamps[-1], len(stamps)) == (start, end, 5)


def test_bars_without_prices_are_left_out_and_counted(yahoo, markets):
    markets.faults.nulls = True
    bars = yahoo.fetch("AAPL", interval="1d", start=moment("2026-11-03"))
    assert any("1 bar was left out, without all four prices" in note for note in bars.notes)
    assert bars.candles.frame.notna().all(axis=None)


def test_unordered_and_repeated_bars_are_sorted(yahoo, markets):
    calm = yahoo.fetch("AAPL", interval="1h", start=moment("2026-11-03")).candles.frame
    markets.faults.disorder = True
    wild = yahoo.fetch("AAPL", interval="1h", start=moment("2026-11-03")).candles.frame
    pd.testing.assert_frame_equal(calm, wild)


@pytest.mark.parametrize(
    ("interval", "days"), [("1m", 8), ("2m", 60), ("30m", 60), ("90m", 60), ("1h", 730)]
)
def test_bars_too_far_back_are_refused_without_a_request(yahoo, markets, interval, days):
    start = markets.now - pd.Timedelta(days=days, minutes=1)
    with pytest.raises(IntervalUnavailable, match=f"last {days} days only"):
        yahoo.fetch("AAPL", interval=interval, start=start)
    assert not markets.requests


@pytest.mark.parametrize("interval", ["1m", "5m", "30m", "1h"])
def test_without_a_start_bars_go_back_as_far_as_there_are_any(yahoo, markets, interval):
    reach = {"1m": 8, "5m": 60, "30m": 60, "1h": 730}[interval]
    first = yahoo.fetch("BTC-USD", interval=interval).candles.frame.index[0]
    oldest = markets.now - pd.Timedelta(days=reach)
    assert oldest < first <= oldest + pd.Timedelta(hours=1, minutes=10)


def test_invalid_requests_are_refused(yahoo, markets):
    with pytest.raises(InvalidRequest, match="no 4h bars"):
        yahoo.fetch("AAPL", interval="4h")
    with pytest.raises(InvalidRequest, match="is no ticker"):
        yahoo.fetch("../v1/secret", interval="1d")
    with pytest.raises(InvalidRequest, match="needs a time zone"):
        yahoo.fetch("AAPL", interval="1d", start=pd.Timestamp("2026-01-01"))
    with pytest.raises(InvalidRequest, match="lies behind the end"):
        yahoo.fetch("AAPL", interval="1d", start=markets.now, end=moment("2026-01-01"))
    with pytest.raises(UnknownSymbol, match="is an ISIN"):
        yahoo.fetch("US0378331005", interval="1d")
    assert not markets.requests


def test_a_range_without_trading_has_no_bars(yahoo):
    with pytest.raises(UnknownSymbol, match="Ask for another range"):
        yahoo.fetch(
            "AAPL", interval="1h", start=moment("2026-11-14"), end=moment("2026-11-14 12:00")
        )


def test_another_session_of_the_same_client_waits_its_turn(yahoo, markets):
    """The client has one connection in the whole process, whoever gave it the last one."""
    from concurrent.futures import ThreadPoolExecutor

    from data_sources.yahoo.source import Yahoo
    from tests.loopback_markets import LoopbackMarkets, yahoo_session

    with LoopbackMarkets() as others, ThreadPoolExecutor(6) as pool:
        del others.yahoo.listings["AAPL"]
        other = Yahoo(yahoo_session(others.url), clock=others.clock)
        start = moment("2026-11-10")
        asked = [
            pool.submit(source.fetch, symbol, interval="1h", start=start)
            for source, symbol in ((yahoo, "AAPL"), (other, "SPY")) * 6
        ]
        assert {len(answer.result(30).candles) for answer in asked} == {45}
    # Equal questions of one moment may share an answer. A mix-up would fail above: each of the
    # two markets lists one of the symbols only.
    assert 1 <= others.n_requests("SPY", "period1") <= 6
    assert 1 <= markets.n_requests("AAPL", "period1") <= 6
    assert others.n_requests("AAPL") == markets.n_requests("SPY") == 0
