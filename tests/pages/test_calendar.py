"""The calendar of events on the page: fetched unasked, and what it covers is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

import data_sources.leaders
import pages.ui.inputs.leaders
from benchmarks.gates.broken_models import write_adapter
from data_sources.calendar import EventCalendar
from data_sources.leaders import LeaderBars
from data_sources.registry import register_source
from data_sources.samples import load_sample
from data_sources.yahoo.releases import YahooReleases
from data_sources.yahoo.source import Yahoo
from kronos.candles import Candles
from kronos.events import Event
from kronos.models import adapters, available
from kronos.serving.service import service
from pages.ui.inputs import calendar
from pages.ui.inputs.events import current_events
from pages.ui.inputs.ticker import TICKER
from pages.ui.jobs import caches, queues
from tests.event_adapter import WITHOUT_EVENTS, write_event_adapter
from tests.loopback_calendar import LoopbackCalendar, calendar_session, row
from tests.loopback_markets import LoopbackMarkets, yahoo_session
from tests.pages.app_driver import (
    SAMPLE_TITLES,
    charts,
    new_session,
    press,
    run_until,
    shown,
    started,
    words,
)
from tests.pages.test_forecast_page import has_forecast

PAIR = {"data": TICKER, "source": "Yahoo Finance", "symbol": "EURUSD=X", "interval": "1h",
        "horizon": 4, "paths": 10}  # fmt: skip


@pytest.fixture
def yahoo(monkeypatch, tmp_path):
    """Yahoo's bars and calendar on loopback, with releases of these days."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("KRONOS_CALENDAR", "on")
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    now = pd.Timestamp.now("UTC")

    def of(name: str, country: str, days: int, *figures: str | None):
        day = now.normalize() + pd.Timedelta(days=days)
        # The pair trades from Monday to Friday: a release of a weekend would have no bar.
        time = day - pd.Timedelta(days=max(day.dayofweek - 4, 0)) + pd.Timedelta(hours=13)
        return row(name, country, f"{time:%Y-%m-%dT%H:%M:%SZ}", "", *figures)

    rows = (
        of("CPI MM, SA*", "US", -4, "0.3", "0.2", "0.1"),
        of("CPI MM, SA*", "US", 30),
        of("ECB Refinancing*", "EU", -5, "2.15", "2.15", "2.15"),
        of("ECB Refinancing*", "EU", 40),
    )
    with LoopbackMarkets(now=None) as markets, LoopbackCalendar(rows) as served:
        register_source("yahoo", lambda: Yahoo(yahoo_session(markets.url, chart_seconds=5.0)))
        source = YahooReleases(calendar_session(served.url), sleep=lambda seconds: None)
        opened = EventCalendar(source)
        monkeypatch.setattr(calendar, "event_calendar", lambda: opened)
        found = LeaderBars()
        for module in (data_sources.leaders, pages.ui.inputs.leaders):
            monkeypatch.setattr(module, "leader_bars", lambda: found)
        served.markets = markets
        queues.fetches.reset()  # no result of another test
        yield served


def is_settled(app) -> bool:
    return has_forecast(app) and "Fetching" not in words(app)


def test_a_forecast_is_made_again_with_the_events_that_came_after_it(yahoo):
    app = run_until(new_session(**PAIR).run(), is_settled)
    app = run_until(app, lambda app: is_settled(app) and knows_all_news(app))
    assert "Settings changed" not in words(app)
    app.number_input(key="horizon").set_value(5).run()
    assert "Settings changed" in words(app), "what the visitor changes waits for Run"


def knows_all_news(app) -> bool:
    """Whether the forecast on the page, the last one made, knows releases and leading markets."""
    run, week = shown(app), pd.Timestamp.now("UTC") - pd.Timedelta(days=9)
    known = run.settings.events
    is_last = run.key == started(app).key
    return is_last and any(e.time > week for e in known.events) and known.leaders.vix is not None


def test_missing_days_are_fetched_unasked_and_drawn(yahoo):
    app = run_until(new_session(**PAIR).run(), is_settled)
    text = words(app)
    assert "CPI" in text.split("Event calendar: ")[1].split(" until ")[0]
    assert "ECB" in text.split("Event calendar: ")[1].split(" until ")[0]
    spec = charts(app)[0]
    assert "C CPI" in spec
    assert "R Rate decision" in spec
    assert "surprise +0.1%" in spec
    n_requests = len(yahoo.requests)
    assert n_requests in (2, 4), "a region needs one request, or two at the end of a quarter"
    app.run()
    other = run_until(new_session(**PAIR).run(), is_settled)
    assert "C CPI" in charts(other)[0]
    assert len(yahoo.requests) == n_requests, "sessions share what was fetched"


def test_a_source_that_fails_is_said_and_the_page_goes_on(yahoo):
    yahoo.faults.statuses = [403] * 20
    app = run_until(new_session(**PAIR).run(), lambda app: "Not up to date" in words(app))
    assert "Not up to date: Yahoo Finance refuses requests from this address" in words(app)
    run_until(app, has_forecast)
    n_requests = len(yahoo.requests)
    app.run()
    app.run()
    assert len(yahoo.requests) == n_requests, "a failure is not repeated at once"


def test_bars_of_years_ago_send_no_request_and_say_what_is_known(yahoo):
    app = run_until(new_session(data=SAMPLE_TITLES[2], horizon=4, paths=10).run(), has_forecast)
    assert (
        "Event calendar: FOMC, ECB until June 2023. CPI, payrolls, GDP, PCE: none before January "
        "2020." in words(app)
    )
    assert not yahoo.requests
    assert queues.fetches().status("calendar", owner="anyone") is None


def recent_candles() -> Candles:
    """The bars of a sample, moved to these days."""
    sample = load_sample("EURUSD_1h")
    shift = pd.Timestamp.now("UTC").floor("h") - sample.frame.index[-1]
    return replace(sample, frame=sample.frame.set_axis(sample.frame.index + shift))


def test_work_in_the_background_fetches_the_days_it_needs(yahoo):
    candles = recent_candles()
    own = Event("other", pd.Timestamp("2026-12-01", tz="UTC"), "EU", name="My day")
    events = current_events((own,), candles, "")
    assert own in events
    assert {event.source for event in events} >= {"Yahoo Finance"}
    n_requests = len(yahoo.requests)
    yahoo.faults.statuses = [500] * 20
    assert current_events((), candles, "")
    assert len(yahoo.requests) == n_requests


def test_a_source_that_fails_leaves_work_in_the_background_alone(yahoo):
    candles = recent_candles()
    yahoo.faults.statuses = [403] * 20
    assert current_events((), candles, "")
    assert yahoo.requests


# Leading markets, for models that read events.


@pytest.fixture
def reader(yahoo):
    """A model that reads events, on this machine."""
    write_event_adapter(adapters.adapters_folder(), WITHOUT_EVENTS, name="leader-reader")
    for cache in (caches.models, caches.event_readers):
        cache.clear()
    service()._facts.clear()
    yield next(entry.title for entry in available() if entry.name == "leader-reader")
    for cache in (caches.models, caches.event_readers):
        cache.clear()
    service()._facts.clear()


def leader_charts(yahoo) -> list[str]:
    names = ("BTC-USD", "SPY", "DX-Y.NYB", "%5EVIX", "^VIX")
    charts = [each for each in yahoo.markets.requests if "period1=" in each]
    return [each for each in charts if any(f"/{name}?" in each for name in names)]


def test_leading_markets_are_fetched_for_a_model_that_reads_events(yahoo, reader):
    app = run_until(new_session(**PAIR, model=reader).run(), is_settled)
    run_until(press(app, "run"), lambda found: "Bitcoin (until" in words(found))
    text = words(app)
    assert "Leading markets that the model read: Bitcoin (until the bar of" in text
    assert "the VIX (until the bar of" in text
    assert len(leader_charts(yahoo)) == 4
    app.run()
    assert len(leader_charts(yahoo)) == 4


def test_leading_markets_are_not_fetched_for_a_model_that_reads_none(yahoo, golden_folder):
    adapter = adapters.adapters_folder() / "reads-none.safetensors"
    write_adapter(adapter, str(golden_folder), golden_folder)
    caches.models.clear()
    app = run_until(new_session(**PAIR, model="reads-none").run(), is_settled)
    adapter.unlink()
    assert "Leading markets" not in words(app)
    assert not leader_charts(yahoo)


def test_leading_markets_that_cannot_be_had_are_said_and_stop_no_forecast(yahoo, reader):
    del yahoo.markets.yahoo.listings["DX-Y.NYB"]
    app = run_until(new_session(**PAIR, model=reader).run(), is_settled)
    run_until(press(app, "run"), lambda app: "nothing of the dollar index" in words(app))
    assert "Not up to date: Yahoo Finance has no such symbol" in words(app)


def test_the_name_of_an_own_file_is_no_company():
    candles = SimpleNamespace(symbol="own", calendar="XNYS")
    own = SimpleNamespace(candles=candles, is_sample=False, bars=None)
    assert calendar._company(own, ()) == ""
    assert calendar._company(own, (SimpleNamespace(symbol="own"),)) == "own"
    assert calendar._company(SimpleNamespace(**{**vars(own), "is_sample": True}), ()) == "own"
