"""Follow on the Forecast page: loopback markets whose bars close during the test."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from data_sources import registry
from data_sources.cache.cache import CachedBars
from data_sources.exchange.source import Exchange
from data_sources.registry import register_source
from pages.ui.forecast import follow
from pages.ui.inputs.ticker import TICKER
from pages.ui.jobs import queues
from tests.loopback_markets import NOW, LoopbackMarkets, redirect
from tests.pages.app_driver import SAMPLE_TITLES, new_session, press, run_until, shown, words
from tests.pages.test_forecast_page import has_forecast

MINUTE = pd.Timedelta(minutes=1)


@pytest.fixture(scope="module")
def served():
    with LoopbackMarkets() as markets:
        yield markets


@pytest.fixture
def markets(served, monkeypatch, tmp_path):
    """The application's markets, on a time that the test moves."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    served.reset()
    served.now = NOW + pd.Timedelta(seconds=20)
    clock = served.clock
    monkeypatch.setattr(registry, "_cached", lambda source: CachedBars(source, clock=clock))
    monkeypatch.setattr(follow, "_now", clock)
    quick = {"sleep": lambda seconds: None, "clock": clock}
    register_source("binance", lambda: Exchange("binance", configure=redirect(served.url), **quick))
    queues.fetches.reset()
    return served


def page(**link):
    common = {
        "data": TICKER, "source": "Binance", "symbol": "BTC/USDT", "interval": "1m", "horizon": 4,
        "paths": 20, "model": "EWMA cone", "follow": "true",
    }  # fmt: skip
    return run_until(new_session(**common | link).run(), has_forecast)


def origin(app):
    return shown(app).request.origin.tz_convert("UTC")


def test_a_bar_that_closes_is_fetched_forecast_and_compared(markets):
    app = page()
    assert "Next bar closes at 17:41" in words(app)
    assert origin(app) == NOW - MINUTE
    n_before = markets.n_requests("/klines")
    for i in range(1, 3):
        markets.now += MINUTE
        run_until(app, lambda app, i=i: origin(app) == NOW + (i - 1) * MINUTE)
        assert has_forecast(app)
        text = words(app)
        assert f"Bar of 18 Nov 2026 17:{39 + i} closed at" in text
        assert "median " in text
        assert "80% range" in text
        assert f"Next bar closes at 17:{41 + i}" in text
        assert markets.n_requests("/klines") == n_before + i
    assert not app.exception


def test_the_view_of_the_chart_belongs_to_the_series_and_not_to_its_last_bar(markets):
    app = page()
    before = subject(app)
    markets.now += MINUTE
    run_until(app, lambda app: origin(app) == NOW)
    assert subject(app) == before, "the chart keeps its view"
    app.date_input(key="origin").set_value((NOW - 60 * MINUTE).date()).run()
    app.time_input(key="origin_time").set_value((NOW - 60 * MINUTE).time()).run()
    assert subject(app) == before, "a control alone moves nothing"
    press(app, "run")
    run_until(app, lambda app: origin(app) < NOW)
    assert subject(app) != before, "a chart of another origin shows its fan"
    assert subject(page(symbol="ETH/USDT")) != before


def subject(app):
    """What the view of the chart belongs to."""
    (chart,) = (
        each.proto
        for each in app.get("bidi_component")
        if each.proto.component_name == "interactive_chart"
    )
    return json.loads(chart.json)["subject"]


def test_the_forecast_stays_on_the_page_until_the_next_one_is_ready(markets):
    app = page()
    markets.now += MINUTE
    for _ in range(400):
        app.run()
        assert has_forecast(app)
        if origin(app) == NOW:
            return
    pytest.fail("No forecast of the new bar came.")


def test_it_is_the_forecast_that_run_would_make(markets):
    app = page(seed=3)
    markets.now += MINUTE
    run_until(app, lambda app: origin(app) == NOW)
    followed = shown(app).request.digest
    queues.fetches.reset()  # a visit within a minute would get the bars of the first one
    alone = page(seed=3, follow="false")
    assert shown(alone).request.digest == followed


def test_sessions_that_follow_the_same_bars_share_one_fetch(markets):
    apps = [page(seed=i) for i in range(3)]
    n_before = markets.n_requests("/klines")
    markets.now += MINUTE
    for app in apps:
        run_until(app, lambda app: origin(app) == NOW)
    assert markets.n_requests("/klines") == n_before + 1


def test_nothing_is_fetched_before_the_bar_closes_or_while_nobody_looks(markets):
    app = page()
    n_before = len(markets.requests)
    markets.now += 30 * pd.Timedelta(seconds=1)
    app.run()
    markets.now += 10 * MINUTE  # no run: the browser has gone
    assert len(markets.requests) == n_before


def test_a_source_that_fails_is_named_and_the_page_keeps_its_forecast(markets):
    app = page()
    markets.faults.status = 503
    markets.now += MINUTE
    run_until(app, lambda app: "Binance" in words(app) and "sync_problem" in words(app))
    assert has_forecast(app)
    assert origin(app) == NOW - MINUTE
    markets.faults.status = 0
    markets.now += MINUTE
    run_until(app, lambda app: origin(app) == NOW + MINUTE)
    assert "sync_problem" not in words(app)


def test_alerts_come_with_the_forecast_that_begins_to_fulfil_them(markets):
    app = page(alerts="close>1, p_up>0.999")
    assert [toast.value.replace("\\", "") for toast in app.toast][:1] != []
    app.run()
    assert not app.toast
    app.text_input(key="alerts").set_value("close>1, close<1000").run()
    said = [toast.value.replace("\\", "") for toast in app.toast]
    assert len(said) == 2
    assert said[1].startswith("BTC/USDT: Close ")
    assert said[1].endswith("is below 1000")
    markets.now += MINUTE
    run_until(app, lambda app: origin(app) == NOW)
    assert not app.toast  # both hold since the forecast before


def test_a_rule_that_cannot_be_read_is_refused_on_the_page(markets):
    app = page(alerts="volume>3")
    assert "An alert must be such as p_up>0.6" in words(app)
    assert has_forecast(app)


def test_a_past_origin_is_not_followed(markets):
    app = page(origin="2026-11-18")
    assert "Follow needs the latest bar" in words(app)
    assert "Next bar closes" not in words(app)


def test_bars_that_have_no_later_ones_offer_no_switch(markets):
    app = run_until(new_session(data=SAMPLE_TITLES[0], follow="true").run(), has_forecast)
    assert "follow" not in [toggle.key for toggle in app.toggle]
    assert "Next bar closes" not in words(app)
