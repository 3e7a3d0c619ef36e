"""Lines of loopback markets whose bars close during the test."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import CheckpointUnavailable, MissingExtra
from kronos.follow import Fault, Line, Made
from kronos.follow.alerts import read_rules

WHEN = pd.Timestamp("2026-11-18 17:40:20", tz="UTC")  # a Wednesday; New York trades


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def origins(events, name):
    return [event.forecast.origin for event in events if event.line.name == name]


def test_each_bar_that_closes_is_forecast_once_and_none_is_missed(desk):
    desk.markets.now = WHEN
    desk.follower.follow([desk.line("BTC/USDT"), desk.line("ETH/USDT", "5m")])
    desk.move_to(WHEN + pd.Timedelta(minutes=12))
    assert all(isinstance(event, Made) for event in desk.events), desk.events
    assert origins(desk.events, "BTC/USDT") == list(
        pd.date_range("2026-11-18 17:39", periods=13, freq="1min", tz="UTC")
    )
    assert origins(desk.events, "ETH/USDT") == list(
        pd.date_range("2026-11-18 17:35", periods=3, freq="5min", tz="UTC")
    )
    assert sum(event.n_skipped for event in desk.events) == 0


def test_the_forecast_is_that_of_the_same_request_made_alone(desk):
    desk.markets.now = WHEN
    desk.follower.follow([desk.line("BTC/USDT", seed=7)])
    desk.move_to(WHEN + pd.Timedelta(minutes=1))
    made = desk.events[-1]
    alone = desk.service.run(made.line.request(made.bars))
    np.testing.assert_array_equal(made.forecast.paths, alone.paths)
    assert made.forecast.parameters.seed == 7
    assert made.forecast.request_hash == made.request.digest


def test_the_change_is_against_the_forecast_before(desk):
    desk.markets.now = WHEN
    desk.follower.follow([desk.line("BTC/USDT")])
    first, second = desk.move_to(WHEN + pd.Timedelta(minutes=1))
    assert first.change is None
    before, after = first.forecast, second.forecast
    medians = [np.median(each.column("close")[:, -1]) for each in (before, after)]
    assert second.change.median == pytest.approx(medians[1] / medians[0] - 1)
    widths = [
        np.subtract(*each.quantile((0.9, 0.1))[:, -1]) / each.last_close for each in (before, after)
    ]
    assert second.change.width == pytest.approx(widths[1] / widths[0] - 1)
    ups = [each.probability_up()[-1] for each in (before, after)]
    assert second.change.p_up.value == pytest.approx(ups[1] - ups[0])
    assert second.change.since == before.origin


def test_lines_of_equal_bars_share_one_fetch(desk):
    desk.markets.now = WHEN
    desk.follower.follow(desk.line("BTC/USDT", name=f"line {i}", seed=i) for i in range(5))
    desk.look()
    n_before = desk.markets.n_requests("/klines")
    assert len(desk.move_to(WHEN + pd.Timedelta(minutes=1))) == 5
    assert desk.markets.n_requests("/klines") == n_before + 1


def test_a_session_ends_and_the_line_waits_for_the_next_one(desk):
    """New York closes at 21:00 UTC; a look in the night would only burden the source."""
    desk.markets.now = utc("2026-11-18 20:29:30")
    desk.follower.follow([desk.line("AAPL", "30m", source="yahoo")])
    desk.move_to("2026-11-18 21:05Z")
    assert desk.follower.closes("AAPL") == utc("2026-11-19 15:00")
    n_before = desk.markets.n_requests("/v8/finance/chart/AAPL")
    desk.move_to("2026-11-19 14:59:59Z")
    assert desk.markets.n_requests("/v8/finance/chart/AAPL") == n_before
    desk.move_to("2026-11-19 15:05Z")
    assert [f"{each.tz_convert('UTC'):%d %H:%M}" for each in origins(desk.events, "AAPL")] == [
        "18 19:30", "18 20:00", "18 20:30", "19 14:30",
    ]  # fmt: skip


def test_a_half_day_closes_early(desk):
    """The day after Thanksgiving New York closes at 18:00 UTC."""
    desk.markets.now = utc("2026-11-27 17:31")
    desk.follower.follow([desk.line("AAPL", "1d", source="yahoo")])
    desk.look()
    assert desk.follower.closes("AAPL") == utc("2026-11-27 18:00")
    desk.move_to("2026-11-27 18:10Z")
    assert [f"{each:%m-%d}" for each in origins(desk.events, "AAPL")] == ["11-25", "11-27"]
    assert desk.follower.closes("AAPL") == utc("2026-11-30 21:00")


def test_a_bar_that_is_published_late_is_looked_for_with_growing_pauses(desk):
    """Quotes of London are 15 minutes late."""
    desk.markets.now = utc("2026-11-18 10:50")
    desk.follower.follow([desk.line("VOD.L", "1h", source="yahoo")])
    desk.look()
    n_before = desk.markets.n_requests("/v8/finance/chart/VOD.L")
    found = desk.move_to("2026-11-18 11:30Z")
    assert [f"{each.tz_convert('UTC'):%H:%M}" for each in origins(found, "VOD.L")] == ["10:00"]
    assert found[0].n_skipped == 0
    assert desk.markets.n_requests("/v8/finance/chart/VOD.L") - n_before <= 25


def test_a_market_that_sends_no_more_bars_is_reported_once(desk):
    desk.markets.now = WHEN
    line = desk.line("BTC/USDT", "15m")
    held = line.fetch()
    desk.follower.follow([Line("halted", lambda: held, line.request)])
    found = desk.move_to(WHEN + pd.Timedelta(hours=3))
    assert [type(event) for event in found] == [Made, Fault]
    assert "The bar that closed at 2026-11-18 17:45 UTC has not come." in found[1].words
    # A dozen looks while it may be on its way, then one in a quarter of an hour or less.
    assert found[1].again is not None


def test_a_source_that_fails_is_reported_once_and_followed_on(desk):
    desk.markets.now = WHEN
    desk.follower.follow([desk.line("BTC/USDT")])
    desk.look()
    desk.markets.faults.status = 503
    failed = desk.move_to(WHEN + pd.Timedelta(minutes=4))
    assert [type(event) for event in failed] == [Fault]
    assert "Binance" in failed[0].words
    assert failed[0].again > failed[0].again.floor("1min")
    desk.markets.faults.status = 0
    found = desk.move_to(WHEN + pd.Timedelta(minutes=10))
    assert isinstance(found[0], Made)
    assert found[0].n_skipped > 0  # bars that closed meanwhile came together
    assert not any(isinstance(event, Fault) for event in found)
    closed = sum(1 + event.n_skipped for event in found)
    assert closed == 10


def test_a_line_that_cannot_be_followed_ends_and_the_others_go_on(desk):
    def no_model(bars):
        raise CheckpointUnavailable("The model is not on this machine.")

    def no_client():
        raise MissingExtra("Market data needs the extra: pip install 'kronos-fan[markets]'.")

    desk.markets.now = WHEN
    good = desk.line("BTC/USDT")
    desk.follower.follow(
        [
            desk.line("NOPE/USDT"), good, Line("no model", good.fetch, no_model),
            Line("no client", no_client, good.request),
        ]
    )  # fmt: skip
    found = {event.line.name: event for event in desk.look()}
    assert found["no client"].again is None
    assert found["NOPE/USDT"].again is None
    assert "NOPE/USDT" in found["NOPE/USDT"].words
    assert found["no model"].again is None
    assert desk.follower.lines == (good,)
    assert origins(desk.move_to(WHEN + pd.Timedelta(minutes=1)), "BTC/USDT")


def test_an_unexpected_error_ends_nothing(desk):
    calls = []
    good = desk.line("BTC/USDT")

    def breaks_once():
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("column")
        return good.fetch()

    desk.markets.now = WHEN
    desk.follower.follow([Line("odd", breaks_once, good.request)])
    fault, made = desk.move_to(WHEN + pd.Timedelta(seconds=30))
    assert fault.words == "Unexpected error (KeyError); details are in the log."
    assert isinstance(made, Made)


def test_an_alert_comes_with_the_forecast_that_it_is_about(desk):
    desk.markets.now = WHEN
    rules = read_rules(["close>1", "p_up>0.999", "close<1"])
    desk.follower.follow([desk.line("BTC/USDT", rules=rules)])
    first, second = desk.move_to(WHEN + pd.Timedelta(minutes=1))
    assert [alert.rule.text for alert in first.alerts] == ["close>1"]
    assert first.alerts[0].value == first.forecast.last_close
    assert second.alerts == ()


def test_a_line_that_is_left_is_fetched_no_more(desk):
    desk.markets.now = WHEN
    desk.follower.follow([desk.line("BTC/USDT")])
    desk.look()
    desk.follower.leave("BTC/USDT")
    n_before = len(desk.markets.requests)
    assert desk.follower.next_look() is None
    desk.markets.now += pd.Timedelta(minutes=5)
    assert desk.look() == []
    assert len(desk.markets.requests) == n_before
