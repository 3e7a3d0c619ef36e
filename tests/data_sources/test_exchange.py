"""An exchange through the real client: bars, pages, markets."""

import numpy as np
import pandas as pd
import pytest

from data_sources.exchange.source import Exchange
from data_sources.source import DataSource, Instrument
from kronos.errors import InvalidRequest, UnknownSymbol
from tests.market_prices import bars as made_bars

HOUR = pd.Timedelta(hours=1)


def moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_it_is_a_source(binance):
    assert isinstance(binance, DataSource)
    assert (binance.name, binance.title) == ("binance", "Binance")
    assert {"1m", "1h", "1d", "1w"} <= set(binance.intervals)
    assert "1M" not in binance.intervals


def test_without_a_start_it_returns_the_last_two_thousand_finished_bars(binance, markets):
    bars = binance.fetch("BTC/USDT", interval="1h")
    frame = bars.candles.frame
    assert len(frame) == 2000
    assert frame.index[-1] == moment("2026-11-18 16:00")
    assert (np.diff(frame.index.to_numpy()) == np.timedelta64(1, "h")).all()
    assert bars.notes == ("The bar of 2026-11-18 17:00 (UTC) is not finished and was left out.",)
    assert (bars.candles.calendar, bars.candles.zone) == ("24/7", "UTC")
    assert bars.fetched_at == markets.now
    opens = frame.index.as_unit("s").asi8.astype(float)
    made = made_bars("BTC/USDT api", opens, opens + 3600, markets.now.timestamp())
    np.testing.assert_allclose(frame.iloc[:, :5], made, atol=1e-8)


def test_spot_and_perpetual_are_different_markets(binance):
    spot = binance.fetch("BTC/USDT", interval="1d")
    perpetual = binance.fetch("BTC/USDT:USDT", interval="1d")
    assert spot.instrument == Instrument(
        "binance", "BTC/USDT", "BTC / USDT, spot", "spot", "USDT", 2
    )
    assert (perpetual.instrument.kind, perpetual.instrument.decimals) == ("perpetual", 1)
    common = spot.candles.frame.index
    assert (perpetual.candles.frame.index == common).all()
    assert not np.allclose(spot.candles.frame["close"], perpetual.candles.frame["close"])


def test_a_symbol_is_understood_as_the_exchange_itself_writes_it(binance):
    assert binance.fetch(" btc/usdt ", interval="1d").instrument.symbol == "BTC/USDT"
    assert binance.fetch("BTCUSDT", interval="1d").instrument.symbol == "BTC/USDT"


def test_a_start_is_paged_forward_to_the_end(binance, markets):
    start, end = moment("2026-05-01"), moment("2026-11-01")
    stamps = binance.fetch("ETH/USDT", interval="1h", start=start, end=end).candles.frame.index
    assert (stamps[0], stamps[-1]) == (start, end)
    assert len(stamps) == (end - start) / HOUR + 1
    assert markets.n_requests("/klines") == 5


def test_short_pages_are_no_end(binance, markets):
    whole = binance.fetch("BTC/USDT", interval="1h", start=moment("2026-11-01")).candles.frame
    markets.faults.short_page = 70
    markets.requests.clear()
    pieces = binance.fetch("BTC/USDT", interval="1h", start=moment("2026-11-01")).candles.frame
    pd.testing.assert_frame_equal(whole, pieces)
    assert markets.n_requests("/klines") == 7


def test_unordered_and_repeated_bars_are_sorted(binance, markets):
    calm = binance.fetch("BTC/USDT", interval="1h").candles.frame
    markets.faults.disorder = True
    pd.testing.assert_frame_equal(calm, binance.fetch("BTC/USDT", interval="1h").candles.frame)


def test_bars_without_prices_are_left_out_and_counted(binance, markets):
    markets.faults.nulls = True
    bars = binance.fetch("BTC/USDT", interval="1h", start=moment("2026-11-18"))
    assert bars.notes[0] == ("1 bar was left out, without all four prices (2026-11-18).")
    assert moment("2026-11-18 01:00") not in bars.candles.frame.index


def test_a_listing_younger_than_the_start_is_noted(binance):
    bars = binance.fetch("NEW/USDT", interval="1h", start=moment("2026-11-01"))
    assert bars.candles.frame.index[0] == moment("2026-11-10")
    assert "There are no bars before 2026-11-10 00:00 UTC." in bars.notes


def test_weeks_begin_on_monday(binance):
    index = binance.fetch("BTC/USDT", interval="1w").candles.local_index
    assert (index.day_of_week == 0).all()
    assert str(index[-1].date()) == "2026-11-09"


def test_days_that_begin_at_another_midnight_keep_that_clock(binance, markets, monkeypatch):
    """Some exchanges count their days in Singapore."""
    request = type(binance._client).request

    def shifted(client, method, *args, **named):
        answer = request(client, method, *args, **named)
        is_page = method == "fetch_ohlcv"
        return [[row[0] - 8 * 3600_000, *row[1:]] for row in answer] if is_page else answer

    monkeypatch.setattr(type(binance._client), "request", shifted)
    candles = binance.fetch("BTC/USDT", interval="1d", start=moment("2026-11-01")).candles
    assert candles.zone == "Etc/GMT-8"
    assert (candles.local_index == candles.local_index.normalize()).all()


def test_the_exchanges_clock_decides_and_not_this_machines(binance, markets):
    binance._client._clock = lambda: markets.now + pd.Timedelta(minutes=50)
    bars = binance.fetch("BTC/USDT", interval="1h")
    assert bars.fetched_at == markets.now
    assert bars.candles.frame.index[-1] == moment("2026-11-18 16:00")


def test_too_many_bars_are_refused_without_a_request(binance, markets):
    binance.fetch("BTC/USDT", interval="1d")
    markets.requests.clear()
    with pytest.raises(InvalidRequest, match="too many for one request"):
        binance.fetch("BTC/USDT", interval="1m", start=moment("2026-01-01"))
    assert not markets.requests


def test_an_unknown_market_is_refused_with_similar_ones(binance):
    with pytest.raises(UnknownSymbol, match=r"no market 'BTC/USD'.*Did you mean BTC/USDT"):
        binance.fetch("BTC/USD", interval="1h")


def test_an_unknown_interval_is_refused_without_a_request(binance, markets):
    with pytest.raises(InvalidRequest, match="has no 10m bars"):
        binance.fetch("BTC/USDT", interval="10m")
    assert not markets.requests


def test_suggestions_are_its_own_markets(binance):
    found = [instrument.symbol for instrument in binance.suggest("btc")]
    assert found == ["BTC/USDT", "BTC/USDT:USDT", "ETH/BTC"]
    assert [instrument.symbol for instrument in binance.suggest("", limit=1)] == ["BTC/USDT"]
    assert binance.suggest("perpetual")[0].kind == "perpetual"


def test_markets_are_loaded_once_and_old_ones_stand_in_on_a_failure(binance, markets):
    binance.suggest("btc")
    binance.suggest("eth")
    assert markets.n_requests("/api/v3/exchangeInfo") == 1
    binance._loaded = -1e9
    markets.faults.everywhere, markets.faults.status = True, 400
    assert binance.suggest("eth")[0].symbol == "ETH/USDT"
    assert markets.n_requests("/api/v3/exchangeInfo") == 2


def test_an_unknown_exchange_is_refused():
    with pytest.raises(InvalidRequest, match="no exchange 'mtgox'"):
        Exchange("mtgox")
