"""Follow on the watchlist: lines of loopback markets, each by its own clock."""

from __future__ import annotations

import pandas as pd
import pytest

from data_sources import registry
from data_sources.cache.cache import CachedBars
from data_sources.exchange.source import Exchange
from data_sources.registry import register_source
from pages.ui.watchlist import session
from tests.loopback_markets import NOW, LoopbackMarkets, redirect
from tests.pages.app_driver import new_session, press, run_until, words
from tests.pages.test_watchlist_page import is_finished, table

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
    monkeypatch.setattr(session, "_now", clock)
    quick = {"sleep": lambda seconds: None, "clock": clock}
    register_source("binance", lambda: Exchange("binance", configure=redirect(served.url), **quick))
    return served


def followed(seed, symbols="BTC/USDT ETH/USDT", **link):
    """The list after its run, followed."""
    common = {
        "list_source": "Binance", "symbols": symbols, "list_interval": "1m", "list_horizon": 3,
        "list_paths": 20, "list_seed": seed, "list_model": "EWMA cone", "list_follow": "true",
    }  # fmt: skip
    app = new_session("watchlist", **common | link).run()
    return run_until(press(app, "watch_run_button"), is_finished)


def newest(app):
    return [moment.tz_convert("UTC") for moment in table(app)["Newest bar"]]


def test_lines_are_forecast_again_when_their_bars_close(markets, fresh_seed):
    app = followed(fresh_seed)
    assert newest(app) == [NOW - MINUTE] * 2
    assert table(app)["Change"].tolist() == ["", ""]
    assert "Following 2 lines · next bar closes at 17:41 UTC" in words(app)
    n_before = markets.n_requests("/klines")
    markets.now += MINUTE
    run_until(app, lambda app: newest(app) == [NOW] * 2)
    assert table(app)["Change"].str.startswith("P(up) ").all()
    assert table(app)["Next bar"].dt.tz_convert("UTC").tolist() == [NOW + 2 * MINUTE] * 2
    assert markets.n_requests("/klines") == n_before + 2
    assert not app.exception


def test_sessions_with_an_equal_list_share_its_lines(markets, fresh_seed):
    apps = [followed(fresh_seed) for _ in range(2)]
    n_before = markets.n_requests("/klines")
    markets.now += MINUTE
    for app in apps:
        run_until(app, lambda app: newest(app) == [NOW] * 2)
    assert markets.n_requests("/klines") == n_before + 2


def test_alerts_of_all_lines_come_once(markets, fresh_seed):
    app = followed(fresh_seed, list_alerts="close>1")
    assert len(app.toast) == 2
    app.run()
    assert not app.toast
    app.text_input(key="list_alerts").set_value("close<1000000, p_up>0.0001").run()
    said = [toast.value.replace("\\", "") for toast in app.toast]
    assert len(said) == 4
    assert said[0].startswith("BTC/USDT: Close ")
    markets.now += MINUTE
    run_until(app, lambda app: newest(app) == [NOW] * 2)
    assert not app.toast
    app.text_input(key="list_alerts").set_value("p_touch(3)>0.5").run()
    assert "p_touch is an alert of the Forecast page" in words(app)


def test_a_source_that_fails_leaves_the_forecasts_and_is_named_in_its_lines(markets, fresh_seed):
    app = followed(fresh_seed, symbols="BTC/USDT")
    markets.faults.status = 503
    markets.now += MINUTE
    run_until(app, lambda app: table(app)["Status"][0].startswith("No newer bars: "))
    assert table(app)["P(up)"].notna().all()
    markets.faults.status = 0
    markets.now += MINUTE
    run_until(app, lambda app: newest(app) == [NOW + MINUTE])
    assert not table(app)["Status"][0].startswith("No newer")


def test_nothing_is_fetched_without_the_switch_or_while_nobody_looks(markets, fresh_seed):
    app = followed(fresh_seed, list_follow="false")
    markets.now += 5 * MINUTE
    n_before = len(markets.requests)
    app.run()
    assert "Change" not in table(app)
    app.toggle(key="list_follow").set_value(True).run()
    run_until(app, lambda app: newest(app) == [NOW + 4 * MINUTE] * 2)
    n_after = len(markets.requests)
    assert n_after > n_before
    markets.now += 10 * MINUTE  # no run: the browser has gone
    assert len(markets.requests) == n_after


def test_samples_have_no_switch():
    app = run_until(new_session("watchlist", list_horizon=3, list_paths=10).run(), is_finished)
    assert "list_follow" not in [toggle.key for toggle in app.toggle]
