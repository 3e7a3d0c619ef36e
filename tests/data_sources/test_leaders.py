"""Leading markets: fetched once, through the bar cache, and left out where they cannot be had."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from data_sources import leaders as module
from data_sources.cache.cache import CachedBars
from data_sources.cache.store import BarStore
from data_sources.leaders import LeaderBars, fetched_leaders
from kronos.calendars.spans import bar_spans
from kronos.events import LEADERS, Leaders
from kronos.events.leaders import hourly_returns, level_scores
from tests.loopback_markets import NOW


@pytest.fixture
def known(yahoo, markets, tmp_path) -> LeaderBars:
    cached = CachedBars(yahoo, BarStore(tmp_path / "bars.sqlite"), clock=markets.clock)
    return LeaderBars(lambda name: cached, clock=markets.clock)


def charts(markets) -> list[str]:
    return [each for each in markets.requests if "period1=" in each]


def test_all_four_are_fetched_on_their_calendars(known):
    found = known.refresh(NOW)
    assert not known.problem()
    facts = {name: getattr(found, name) for name in LEADERS}
    assert {name: (each.symbol, each.interval) for name, each in facts.items()} == {
        "btc": ("BTC-USD", "1h"),
        "spy": ("SPY", "1h"),
        "dxy": ("DX-Y.NYB", "1h"),
        "vix": ("^VIX", "1d"),
    }
    assert (facts["btc"].calendar, facts["spy"].calendar, facts["vix"].calendar) == (
        "24/7", "XNYS", "XNYS",
    )  # fmt: skip
    # 17:00 to 17:40 is not over; New York trades.
    moment = np.array([pd.Timestamp("2026-11-18 17:15", tz="UTC").as_unit("ns").value])
    for name in ("btc", "spy", "dxy"):
        assert hourly_returns(facts[name], moment)[0] != 0, name
    assert level_scores(facts["vix"], moment)[0] != 0


def test_no_bar_is_open_or_later_than_the_moment(known):
    found = known.refresh(NOW)
    for name in LEADERS:
        one = getattr(found, name)
        spans = bar_spans(
            one.frame.index, interval=one.interval, calendar=one.calendar, zone=one.zone
        )
        assert spans.end[-1] <= NOW.as_unit("ns").value, name
    moment = pd.Timestamp("2026-11-16 15:00", tz="UTC")
    for one in (getattr(found.until(moment), name) for name in LEADERS):
        assert one.frame.index[-1] < moment
    assert found.until(pd.Timestamp("1990-01-01", tz="UTC")).btc is None


def test_one_fetch_serves_all_that_ask(known, markets):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: known.refresh(NOW), range(16)))
    assert len(charts(markets)) == 4
    assert {one.digest for one in found} == {found[0].digest}
    assert not known.missing(NOW)


def test_another_process_reads_the_bar_cache(yahoo, markets, tmp_path):
    def opened() -> LeaderBars:
        cached = CachedBars(yahoo, BarStore(tmp_path / "bars.sqlite"), clock=markets.clock)
        return LeaderBars(lambda name: cached, clock=markets.clock)

    first = opened().refresh(NOW)
    assert opened().refresh(NOW).digest == first.digest
    assert len(charts(markets)) == 4


def test_later_bars_are_fetched_when_a_forecast_needs_them(known, markets):
    before = known.refresh(NOW)
    later = NOW + pd.Timedelta(hours=2)
    markets.now = later
    assert not known.missing(NOW - pd.Timedelta(hours=1)), "what is known reaches that moment"
    assert known.missing(later) == tuple(LEADERS)
    assert known.refresh(later).btc.frame.index[-1] > before.btc.frame.index[-1]


def test_the_future_stands_in_for_the_fund(known, markets):
    del markets.yahoo.listings["SPY"]
    assert known.refresh(NOW).spy.symbol == "ES=F"
    assert not known.problem()


def test_an_unknown_leader_is_left_out_and_named(known, markets):
    del markets.yahoo.listings["DX-Y.NYB"]
    earlier = NOW - pd.Timedelta(hours=1)
    found = known.refresh(earlier)
    assert found.dxy is None
    assert found.btc is not None
    assert "Yahoo Finance has no such symbol" in known.problem()
    assert not known.missing(earlier), "for some minutes"
    markets.now = NOW + pd.Timedelta(minutes=6)
    assert known.missing(earlier) == ("dxy",)


@pytest.mark.parametrize(
    ("status", "said"), [(429, "too many requests"), (503, "HTTP 503"), (403, "HTTP 403")]
)
def test_a_source_that_fails_stops_nothing(known, markets, status, said):
    markets.faults.status = status
    found = known.refresh(NOW)
    assert found.digest == Leaders().digest == ""
    assert said in known.problem()
    n_requests = len(markets.requests)
    known.refresh(NOW)
    assert len(markets.requests) == n_requests


def test_older_bars_stand_in_and_their_age_is_said(known, markets):
    before = known.refresh(NOW)
    markets.faults.status = 503
    markets.now = NOW + pd.Timedelta(hours=3)
    assert known.refresh(markets.now).digest == before.digest
    assert "These bars are 3 h old" in known.problem()


def test_days_long_ago_are_not_fetched(known, markets):
    assert not known.missing(NOW - pd.Timedelta(days=800))
    known.refresh(NOW - pd.Timedelta(days=800))
    assert not markets.requests


@pytest.mark.parametrize("setting", ["off", "on"])
def test_the_switch_of_the_calendar_is_theirs(known, markets, monkeypatch, setting):
    monkeypatch.setattr(module, "leader_bars", lambda: known)
    monkeypatch.setenv("KRONOS_CALENDAR", setting)
    found = fetched_leaders(NOW)
    assert len(charts(markets)) == (4 if setting == "on" else 0)
    assert (found.btc is not None) == (setting == "on")
