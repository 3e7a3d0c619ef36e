"""Tickers of live markets on the forecast page: real clients, markets on loopback."""

from __future__ import annotations

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from data_sources.exchange.source import Exchange
from data_sources.registry import register_source
from data_sources.yahoo.source import Yahoo
from pages.ui.forecast import well_known
from pages.ui.inputs.fetching import Wanted
from pages.ui.inputs.ticker import TICKER, ticker_link
from tests.loopback_markets import LoopbackMarkets, redirect, yahoo_session
from tests.pages.app_driver import charts, new_session, press, run_until, shown, words
from tests.pages.test_forecast_page import has_forecast


@pytest.fixture(scope="module")
def served():
    with LoopbackMarkets(now=None) as markets:
        yield markets


@pytest.fixture
def markets(served, monkeypatch, tmp_path):
    """The application's sources, pointed at loopback, with an empty cache of bars."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    served.reset()
    served.now = None
    quick = {"sleep": lambda seconds: None}
    session = yahoo_session(served.url, chart_seconds=5.0)
    register_source("yahoo", lambda: Yahoo(session, **quick))
    register_source("binance", lambda: Exchange("binance", configure=redirect(served.url), **quick))
    return served


def ticker_page(**link: object) -> AppTest:
    """The forecast page at a link to a ticker, after its first run in a session of its own."""
    return new_session(**{"data": TICKER, "horizon": 4, "paths": 10, **link}).run()


def test_a_link_to_a_ticker_shows_its_forecast_without_a_click(markets):
    app = run_until(ticker_page(symbol="AAPL", interval="1d"), has_forecast)
    text = words(app)
    assert "AAPL: next 4 bars of 1d" in text
    assert "Apple Inc." in text
    assert "Yahoo Finance" in text
    assert "in USD" in text
    assert app.query_params["symbol"] == "AAPL"
    n_before = markets.n_requests("/chart/AAPL")
    app.run()
    assert markets.n_requests("/chart/AAPL") == n_before


def test_a_symbol_nobody_has_is_said_and_another_can_be_tried(markets):
    app = run_until(ticker_page(symbol="NOPE"), lambda app: bool(app.error))
    assert "The bars could not be fetched" in words(app)
    assert "NOPE" in words(app)
    assert not charts(app)
    box = app.selectbox(key="symbol_box")
    box.select(next(option for option in box.options if option.startswith("SPY "))).run()
    run_until(app, lambda app: bool(charts(app)))
    assert app.query_params["symbol"] == "SPY"
    assert app.title[0].value == "SPY"


def test_a_source_that_fails_can_be_asked_again(markets):
    markets.faults.status = 503
    app = run_until(ticker_page(symbol="AAPL", interval="1h"), lambda app: bool(app.error))
    markets.faults.status = 0

    def is_there(app):
        if app.error:
            press(app, "fetch_again")
        return bool(charts(app))

    run_until(app, is_there)
    assert not app.error


def test_a_fetch_is_cancelled_and_begun_again(markets):
    markets.faults.hang = True
    app = ticker_page(symbol="VOD.L", interval="1h")
    press(app, "fetch_cancel")
    assert "Fetch cancelled." in words(app)
    markets.faults.hang = False
    markets.released.set()
    press(app, "fetch_again")
    run_until(app, lambda app: bool(charts(app)))


@pytest.fixture
def asked_unasked(monkeypatch):
    """A server that may fetch bars that nobody asked for, and has not failed to."""
    monkeypatch.setattr(well_known, "is_on", lambda: True)
    monkeypatch.setattr(well_known._Server, "rests_until", float("-inf"))


def test_a_well_known_instrument_opens_and_is_forecast_by_one_click(markets):
    app = new_session().run()
    assert not markets.n_requests("/chart/"), "nothing is fetched unasked here"
    app.pills(key="well_known").select("S&P 500 (SPY)").run()
    run_until(app, lambda app: "SPY: next 24 bars of 1d" in words(app))
    assert app.query_params["symbol"] == "SPY"


@pytest.mark.parametrize("has_asked", [False, True])
def test_a_first_visit_paints_the_sample_and_opens_bars_of_today_in_time(
    markets, asked_unasked, monkeypatch, has_asked
):
    monkeypatch.setattr(well_known._Server, "has_asked", has_asked)
    app = new_session().run()
    assert (app.session_state["live_opening"].wanted is not None) == has_asked
    assert app.title[0].value.startswith("BTCUSD"), "the first paint waits for nothing"
    run_until(app, lambda app: "BTC-USD: next 24 bars of 1h" in words(app))
    assert not app.error
    assert app.query_params["interval"] == "1h"


def test_a_visit_with_a_link_opens_what_the_link_says(markets, asked_unasked):
    app = new_session(horizon=4, paths=10).run()
    run_until(app, has_forecast).run()
    assert not markets.n_requests("/chart/")


@pytest.mark.parametrize(
    ("fault", "value", "symbol"), [("status", 503, "ES=F"), ("hang", True, "^VIX")]
)
def test_without_a_market_the_sample_stays_and_the_next_visit_does_not_ask(
    markets, asked_unasked, monkeypatch, fault, value, symbol
):
    first = well_known.Instrument("First", symbol, "1d")  # another test has fetched the real one
    monkeypatch.setattr(well_known, "WELL_KNOWN", (first,))
    monkeypatch.setattr(well_known, "OPENING_SECONDS", 0.2)
    setattr(markets.faults, fault, value)
    app = new_session().run()
    run_until(app, lambda app: app.session_state["live_opening"].is_over)
    markets.released.set()
    run_until(app, has_forecast)
    assert app.title[0].value.startswith("BTCUSD")
    assert not app.error
    again = new_session().run().session_state["live_opening"]
    assert again.is_over
    assert again.wanted is None


def test_what_a_visitor_chooses_meanwhile_stays(markets, asked_unasked):
    app = new_session().run()
    app.number_input(key="horizon").set_value(5)
    app.query_params["horizon"] = "5"  # as a browser writes it
    run_until(app.run(), lambda app: app.session_state["live_opening"].is_over)
    assert app.title[0].value.startswith("BTCUSD")


@pytest.mark.parametrize("symbol", ["<b>x</b>", "../../etc/passwd%00", "a" * 200, "=cmd|' /C'!A0"])
def test_a_hostile_symbol_never_reaches_a_source(markets, symbol):
    app = run_until(ticker_page(symbol=symbol), lambda app: bool(app.error))
    assert "is not a ticker" in words(app)
    assert not markets.n_requests("/chart/")


def test_an_origin_long_ago_fetches_the_bars_around_it(markets):
    link = {"source": "Binance", "symbol": "BTC/USDT", "interval": "4h", "origin": "2022-03-01"}
    app = run_until(ticker_page(**link), has_forecast)
    assert "inside the 80% band" in words(app)
    assert shown(app).settings.origin == pd.Timestamp("2022-03-01 20:00", tz="UTC")


def test_raw_prices_are_another_wish():
    wanted = Wanted("yahoo", "AAPL", "1d")
    assert wanted.is_same(Wanted("yahoo", "AAPL", "1d", asked_at=99))
    assert not wanted.is_same(Wanted("yahoo", "AAPL", "1d", adjusted=False))
    start, end = Wanted("yahoo", "AAPL", "1d", around=pd.Timestamp("2020-01-02").date()).span()
    assert (pd.Timestamp("2020-01-02", tz="UTC") - start).days > 1500
    assert end < pd.Timestamp.now(tz="UTC")


def test_links_name_what_the_page_reads(markets):
    from data_sources.source import Instrument

    link = ticker_link(Instrument("binance", "ETH/USDT"), "4h", horizon=7)
    app = ticker_page(**link)
    run_until(app, has_forecast)
    assert "ETH/USDT: next 7 bars of 4h" in words(app)


def test_a_link_that_names_a_symbol_alone_opens_the_ticker(markets):
    app = new_session(symbol="AAPL", horizon=4, paths=10).run()
    assert app.selectbox(key="data").value == TICKER
    app = run_until(app, has_forecast)
    assert "AAPL: next 4 bars of 1d" in words(app)
    assert app.query_params["data"] == TICKER
    assert "not available here" not in words(app)


def test_the_address_of_a_sample_names_no_symbol(markets):
    app = run_until(ticker_page(symbol="AAPL"), has_forecast)
    app.selectbox(key="data").select_index(2).run()
    assert "symbol" not in app.query_params, "a link to the sample would open the ticker"


def test_a_symbol_that_is_typed_in_full_is_an_option_and_takes_its_name(markets):
    app = run_until(ticker_page(symbol="SPY", interval="1d"), has_forecast)
    box = app.selectbox(key="symbol_box")
    named = next(option for option in box.options if option.startswith("AAPL ·"))
    assert "AAPL" in box.options, "the box offers to add what equals no option"
    assert box.options.index(named) < box.options.index("AAPL"), "names come first in the list"
    app = run_until(box.set_value("AAPL").run(), lambda app: "Apple Inc." in words(app))
    assert app.selectbox(key="symbol_box").value == named
    assert app.query_params["symbol"] == "AAPL"


def test_a_symbol_in_small_letters_takes_its_name(markets):
    app = run_until(ticker_page(symbol="aapl", interval="1d"), has_forecast)
    assert app.selectbox(key="symbol_box").value.startswith("AAPL ·")
    assert app.query_params["symbol"] == "AAPL"
