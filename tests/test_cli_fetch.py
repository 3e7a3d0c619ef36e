"""`kronos fetch`, with the real clients against loopback markets."""

import io

import numpy as np
import pandas as pd
import pytest

from data_sources import registry
from data_sources.csv.reader import read_csv
from data_sources.exchange.source import Exchange
from data_sources.yahoo.source import Yahoo
from kronos import cli
from tests.loopback_markets import LoopbackMarkets, redirect, yahoo_session


@pytest.fixture(scope="module")
def served():
    with LoopbackMarkets() as markets:
        yield markets


@pytest.fixture
def markets(served, monkeypatch, tmp_path):
    served.reset()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_makers", {})
    monkeypatch.setattr(registry, "_opened", {})
    session = yahoo_session(served.url)
    registry.register_source("yahoo", lambda: Yahoo(session, clock=served.clock))
    registry.register_source(
        "binance",
        lambda: Exchange("binance", configure=redirect(served.url), clock=served.clock),
    )
    return served


def fetched(capsys, *arguments):
    assert cli.main(["fetch", *arguments]) == 0
    return capsys.readouterr()


@pytest.mark.parametrize(
    "arguments",
    [
        ("AAPL", "--start", "2025-01-01"),
        ("VOD.L", "--interval", "1h", "--start", "2026-09-01"),
        ("EURUSD=X", "--interval", "1h", "--start", "2026-10-01"),
        ("ES=F", "--start", "2025-06-01"),
        ("BTC/USDT", "--source", "binance", "--interval", "4h"),
        ("BTC/USDT:USDT", "--source", "binance", "--interval", "1w"),
        ("AAPL", "--interval", "1w"),
    ],
    ids=" ".join,
)
def test_what_is_written_is_read_as_the_same_candles(markets, capsys, arguments):
    text = fetched(capsys, *arguments).out
    read = read_csv(text.encode(), "bars.csv").candles
    source = "binance" if "binance" in arguments else "yahoo"
    source_bars = registry.open_source(source).fetch(arguments[0], interval=read.interval).candles
    assert (read.symbol, read.calendar) == (source_bars.symbol, source_bars.calendar)
    # A file says on which dates bars lie, and leaves the clock of the exchange to its reader.
    is_daily = read.width >= pd.Timedelta(days=1)
    stamps = [
        bars.local_index.tz_localize(None) if is_daily else bars.frame.index
        for bars in (read, source_bars)
    ]
    n_bars = len(read)
    assert (stamps[0] == stamps[1][-n_bars:]).all()
    np.testing.assert_allclose(read.frame, source_bars.frame.iloc[-n_bars:], rtol=1e-12)
    assert n_bars > 100


def test_times_are_meant_on_the_exchanges_clock_and_an_end_is_all_of_its_day(markets, capsys):
    text = fetched(capsys, "AAPL", "--start", "2026-11-02", "--end", "2026-11-06").out
    days = pd.read_csv(io.StringIO(text))["timestamp"]
    assert [days.iloc[0], days.iloc[-1], len(days)] == ["2026-11-02", "2026-11-06", 5]
    text = fetched(
        capsys, "AAPL", "--interval", "15m", "--start", "2026-11-16 10:00", "--end",
        "2026-11-16 11:00",
    ).out  # fmt: skip
    times = pd.read_csv(io.StringIO(text))["timestamp"]
    assert times.iloc[0] == "2026-11-16T10:00:00-05:00"
    assert times.iloc[-1] == "2026-11-16T11:00:00-05:00"


def test_the_description_of_the_bars_goes_to_stderr(markets, capsys, tmp_path):
    path = tmp_path / "bars.csv"
    said = fetched(capsys, "AAPL", "-o", str(path))
    assert said.out == ""
    assert "bars of 1d" in said.err
    assert "is not finished and was left out" in said.err
    assert path.read_text().startswith("symbol,timestamp,open,high,low,close,volume,amount\n")
    assert fetched(capsys, "AAPL", "--quiet").err == ""


def test_a_failure_is_one_line_and_stale_bars_say_so(markets, capsys):
    assert cli.main(["fetch", "NOPE"]) == 2
    assert "Yahoo Finance has no such symbol" in capsys.readouterr().err
    assert cli.main(["fetch", "AAPL", "--start", "soon"]) == 2
    assert '--start must be a time such as "2024-11-01 15:30"' in capsys.readouterr().err
    assert cli.main(["fetch", "AAPL", "--source", "mtgox"]) == 2
    assert "mtgox" in capsys.readouterr().err
