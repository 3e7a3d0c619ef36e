"""`kronos watch` against loopback markets whose bars close while it waits."""

import json
import time
from itertools import pairwise

import pandas as pd
import pytest

from data_sources import registry
from data_sources.cache.cache import CachedBars
from data_sources.exchange.source import Exchange
from data_sources.yahoo.source import Yahoo
from kronos import cli
from kronos.cli import watch
from tests.loopback_markets import LoopbackMarkets, redirect, yahoo_session

COMMON = ("--model", "ewma", "--horizon", "3", "--paths", "40")


@pytest.fixture(scope="module")
def served():
    with LoopbackMarkets() as markets:
        yield markets


@pytest.fixture
def markets(served, monkeypatch, tmp_path):
    """The markets; their time moves while the command waits for a bar, and stands otherwise."""
    served.reset()
    clock = served.clock

    def pass_time(seconds):
        if seconds == watch._BUSY_SECONDS:
            time.sleep(0.005)
        else:
            served.now += pd.Timedelta(seconds=seconds)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_makers", {})
    monkeypatch.setattr(registry, "_opened", {})
    monkeypatch.setattr(registry, "_cached", lambda source: CachedBars(source, clock=clock))
    monkeypatch.setattr(watch, "_now", clock)
    monkeypatch.setattr(watch, "_wait", pass_time)
    session = yahoo_session(served.url)
    registry.register_source("yahoo", lambda: Yahoo(session, clock=clock))
    registry.register_source(
        "binance", lambda: Exchange("binance", configure=redirect(served.url), clock=clock)
    )
    return served


def lines_of(capsys, *arguments, code=0):
    assert cli.main(["watch", *arguments, *COMMON]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_forecast_is_written_whenever_a_bar_closes(markets, capsys):
    found = lines_of(
        capsys, "BTC/USDT", "ETH/USDT", "--source", "binance", "--interval", "1m",
        "--forecasts", "4",
    )  # fmt: skip
    assert {each["type"] for each in found} == {"forecast"}
    for symbol in ("BTC/USDT", "ETH/USDT"):
        own = [each for each in found if each["symbol"] == symbol]
        origins = [pd.Timestamp(each["origin"]) for each in own]
        assert origins == list(pd.date_range(origins[0], periods=4, freq="1min"))
        assert [each["skipped"] for each in own] == [0] * 4
        assert own[0]["change"] is None
        for before, after in pairwise(own):
            assert after["change"]["since"] == before["origin"]
            assert after["change"]["median"] == pytest.approx(
                after["median"] / before["median"] - 1
            )
            assert after["p10"] < after["median"] < after["p90"]


def test_alerts_follow_the_forecast_that_they_are_about(markets, capsys):
    found = lines_of(
        capsys, "BTC/USDT", "--source", "binance", "--interval", "1m", "--forecasts", "3",
        "--alert", "close>1", "--alert", "p_up>0.001", "--alert", "outside-band",
    )  # fmt: skip
    forecasts = [each for each in found if each["type"] == "forecast"]
    alerts = [each for each in found if each["type"] == "alert"]
    assert len(forecasts) == 3
    assert [each["rule"] for each in found[1:3]] == ["close>1", "p_up>0.001"]
    assert alerts[0]["value"] == forecasts[0]["last_close"]
    assert (alerts[1]["value"], alerts[1]["error"]) == (
        forecasts[0]["p_up"],
        forecasts[0]["p_up_error"],
    )
    # The other two begin to hold once; closes may leave the band again and again.
    assert {each["kind"] for each in alerts[2:]} <= {"outside-band"}


def test_a_fault_is_a_line_and_the_other_symbols_go_on(markets, capsys):
    found = lines_of(
        capsys, "NOPE", "AAPL", "--interval", "5m", "--forecasts", "2", "--format", "json"
    )
    (fault,) = [each for each in found if each["type"] == "fault"]
    assert (fault["symbol"], fault["again"]) == ("NOPE", None)
    assert "no such symbol" in fault["words"]
    assert [each["symbol"] for each in found if each["type"] == "forecast"] == ["AAPL"] * 2


def test_it_ends_with_an_error_where_nothing_can_be_followed(markets, capsys):
    (fault,) = lines_of(capsys, "NOPE", code=2)
    assert fault["type"] == "fault"


def test_text_is_one_line_to_read_for_each_event(markets, capsys):
    arguments = ["BTC/USDT", "--source", "binance", "--interval", "1m", "--forecasts", "2"]
    options = ["--format", "text", "--alert", "close>1", "--calibrated"]
    assert cli.main(["watch", *arguments, *options, *COMMON]) == 0
    first, alert, second = capsys.readouterr().out.splitlines()
    assert first.startswith("BTC/USDT 1m  2026-11-18T17:39:00+00:00  close ")
    assert "ALERT  close>1: " in alert
    assert "change: median " in second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alert", "volume>3"), "An alert must be such as"),
        (("--horizon", "0"), "--horizon must be from 1"),
        (("--forecasts", "0"), "--forecasts must be at least 1"),
        (("--model", "nope"), "nope"),
        (("--source", "mtgox"), "mtgox"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_fetched(markets, capsys, options, words):
    assert cli.main(["watch", "AAPL", *options]) == 2
    assert words in capsys.readouterr().err
    assert not markets.n_requests("chart")
