"""The 20 channels against their definition, on cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.events.channels import (
    CHANNELS,
    N_CHANNELS,
    event_channels,
    hawkish_scores,
    surprise_scores,
)
from kronos.events.leaders import Leaders

NEW_YORK = "America/New_York"
XNYS = {"calendar": "XNYS", "zone": NEW_YORK}
CRYPTO = {"calendar": "24/7", "zone": "UTC"}


def hours(first: str, n: int, zone: str = "UTC", freq: str = "1h") -> pd.DatetimeIndex:
    return pd.date_range(pd.Timestamp(first, tz=zone), periods=n, freq=freq)


def days(*dates: str, zone: str = NEW_YORK) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(dates).tz_localize(zone)


def channel(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, CHANNELS.index(name)]


def test_there_are_twenty_channels_of_float32_in_the_published_order():
    table = event_channels(hours("2024-03-01", 5), interval="1h", n_context=3, events=[], **CRYPTO)
    assert table.shape == (5, N_CHANNELS) == (5, 20)
    assert table.dtype == np.float32
    assert not table.any()
    assert [CHANNELS.index(name) for name in (
        "is_fomc", "is_cpi", "is_nfp", "is_gdp", "is_pce", "cpi_surprise_z", "fomc_hawkish_score",
        "nfp_surprise_z", "is_earnings", "is_rate_decision", "days_to_fomc_sin",
        "days_to_cpi_sin", "btc_log_return_1h", "spy_log_return_1h", "dxy_log_return_1h",
        "vix_level_z",
    )] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17]  # fmt: skip


@pytest.mark.parametrize(
    ("day", "hour_utc"), [("2024-03-08", 13), ("2024-03-12", 12), ("2024-11-01", 12)]
)
def test_half_past_eight_in_new_york_is_another_hour_of_utc_in_winter(make_event, day, hour_utc):
    """The clocks of 2024 changed on 10 March and 3 November."""
    index = hours(day, 24)
    release = make_event("nfp", f"{day} 08:30")
    table = event_channels(index, interval="1h", n_context=24, events=[release], **CRYPTO)
    assert np.flatnonzero(channel(table, "is_nfp")).tolist() == [hour_utc]


def test_intraday_bars_of_the_release_hour_carry_the_flag(make_event):
    index = hours("2024-03-12 07:45", 8, NEW_YORK, "15min")
    table = event_channels(
        index, interval="15m", n_context=8, events=[make_event("cpi", "2024-03-12 08:30")], **CRYPTO
    )
    # 07:45 | 08:00 08:15 08:30 08:45 | 09:00 ...
    assert channel(table, "is_cpi").tolist() == [0, 1, 1, 1, 1, 0, 0, 0]


def test_a_release_before_the_opening_meets_the_first_bar(make_event):
    index = days("2024-03-11", "2024-03-12") + pd.Timedelta(hours=9.5)
    index = pd.DatetimeIndex([t + pd.Timedelta(hours=h) for t in index for h in range(7)])
    table = event_channels(
        index, interval="1h", n_context=14, events=[make_event("cpi", "2024-03-12 08:30")], **XNYS
    )
    assert np.flatnonzero(channel(table, "is_cpi")).tolist() == [7]


def test_daily_bars_carry_the_flag_of_their_own_date(make_event):
    index = days("2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02")
    table = event_channels(
        index,
        interval="1d",
        n_context=4,
        events=[
            make_event("fomc", "2024-01-31 14:00"),
            make_event("earnings", "2024-02-01 16:30", symbol="AAPL"),
            make_event("earnings", "2024-01-31 16:30", symbol="MSFT"),
            make_event("nfp", "2024-02-02 08:30"),
            make_event("rate_decision", "2024-02-01 07:00", region="GB"),
        ],
        symbol="aapl",
        **XNYS,
    )
    assert channel(table, "is_fomc").tolist() == [0, 1, 0, 0]
    assert channel(table, "is_earnings").tolist() == [0, 0, 1, 0]
    assert channel(table, "is_nfp").tolist() == [0, 0, 0, 1]
    assert not channel(table, "is_rate_decision").any()


def test_a_date_is_that_of_the_exchange(make_event):
    """14:00 in New York on the 31st is 04:00 in Tokyo on the 1st."""
    index = days("2024-01-31", "2024-02-01", zone="Asia/Tokyo")
    table = event_channels(
        index, interval="1d", n_context=2, events=[make_event("fomc", "2024-01-31 14:00")],
        calendar="XTKS", zone="Asia/Tokyo",
    )  # fmt: skip
    assert channel(table, "is_fomc").tolist() == [0, 1]


def test_a_release_on_a_holiday_counts_to_the_next_session(make_event):
    """Payrolls were published on Good Friday of 2023; the next session was Monday, 10 April."""
    index = days("2023-04-06", "2023-04-10", "2023-04-11")
    table = event_channels(
        index, interval="1d", n_context=3, events=[make_event("nfp", "2023-04-07 08:30")], **XNYS
    )
    assert channel(table, "is_nfp").tolist() == [0, 1, 0]


def test_rate_decisions_are_those_of_the_regions(make_event):
    index = days("2024-02-01", "2024-02-02", zone="Europe/London")
    decision = make_event("rate_decision", "2024-02-01 12:00", zone="Europe/London", region="GB")
    for regions, expected in ((("GB",), [1, 0]), (("US",), [0, 0])):
        table = event_channels(
            index, interval="1d", n_context=2, events=[decision], calendar="XLON",
            zone="Europe/London", regions=regions,
        )  # fmt: skip
        assert channel(table, "is_rate_decision").tolist() == expected


def releases(make_event, kind: str, surprises: list[float]) -> list:
    months = pd.date_range("2020-01-15 08:30", periods=len(surprises), freq="MS").strftime(
        "%Y-%m-15 08:30"
    )
    return [
        make_event(kind, when, actual=0.2 + surprise, consensus=0.2)
        for when, surprise in zip(months, surprises, strict=True)
    ]


def test_surprises_are_scaled_by_the_twenty_before(make_event):
    rng = np.random.default_rng(1)
    surprises = list(rng.normal(0, 0.1, 24))
    scores = surprise_scores(releases(make_event, "cpi", surprises))
    assert not scores[:20].any()
    for i in range(20, 24):
        sigma = np.std(surprises[i - 20 : i], ddof=1)
        assert scores[i] == pytest.approx(np.clip(surprises[i] / sigma, -3, 3))


def test_a_release_without_consensus_has_no_score_and_is_not_among_the_twenty(make_event):
    events = releases(make_event, "cpi", [0.1, -0.1] * 10 + [0.3])
    scores = surprise_scores(events)
    events[5] = replace(events[5], consensus=None)
    assert scores[-1] == pytest.approx(0.3 / np.std([0.1, -0.1] * 10, ddof=1))
    assert not surprise_scores(events).any()  # only 19 are left before the last


def test_equal_surprises_give_no_scale(make_event):
    assert not surprise_scores(releases(make_event, "cpi", [0.0] * 20 + [0.3])).any()


@pytest.mark.parametrize(
    ("before", "after", "score"),
    [(5.25, 5.5, 1), (5.5, 5.0, -2), (1.25, 0.25, -2), (0.25, 1.0, 2), (4.5, 4.5, 0)],
)
def test_hawkish_score_is_in_steps_of_a_quarter_point(make_event, before, after, score):
    event = make_event("fomc", "2024-01-31 14:00", actual=after, previous=before)
    assert hawkish_scores([event]).tolist() == [score]


def test_scores_stand_from_the_release_bar_on(make_event):
    event = make_event("fomc", "2024-01-31 14:30", actual=5.5, previous=5.25)
    index = hours("2024-01-31 13:45", 8, NEW_YORK, "15min")
    table = event_channels(index, interval="15m", n_context=8, events=[event], **CRYPTO)
    assert channel(table, "is_fomc").tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert channel(table, "fomc_hawkish_score").tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


def test_a_decision_after_the_close_scores_on_the_next_daily_bar(make_event):
    """19:00 in London is after the close: that day's bar cannot know the outcome."""
    event = make_event("fomc", "2024-01-31 14:00", actual=5.5, previous=5.25)
    index = days("2024-01-31", "2024-02-01", "2024-02-02", zone="Europe/London")
    table = event_channels(
        index, interval="1d", n_context=3, events=[event], calendar="XLON", zone="Europe/London"
    )
    assert channel(table, "is_fomc").tolist() == [1, 0, 0]
    assert channel(table, "fomc_hawkish_score").tolist() == [0, 1, 0]


def test_days_until_turn_once_in_a_cycle_and_are_zero_on_the_day(make_event):
    index = days("2024-01-17", "2024-01-30", "2024-01-31", "2024-02-01")
    events = [make_event("fomc", "2024-01-31 14:00"), make_event("fomc", "2024-03-20 14:00")]
    table = event_channels(index, interval="1d", n_context=4, events=events, **XNYS)
    turn = 2 * np.pi * np.array([14, 1, 0, 48]) / 56
    np.testing.assert_allclose(channel(table, "days_to_fomc_sin"), np.sin(turn), atol=1e-6)
    np.testing.assert_allclose(channel(table, "days_to_fomc_cos"), np.cos(turn), atol=1e-6)
    assert not table[:, 12:14].any()  # no CPI is known: neither sine nor cosine


def test_days_until_count_parts_of_days_within_a_day(make_event):
    index = hours("2024-03-11 12:30", 25, NEW_YORK)
    event = make_event("cpi", "2024-03-12 08:30")
    table = event_channels(index, interval="1h", n_context=25, events=[event], **CRYPTO)
    turn = 2 * np.pi * (20 / 24) / 42
    assert channel(table, "days_to_cpi_sin")[0] == pytest.approx(np.sin(turn))
    assert channel(table, "days_to_cpi_cos")[20] == 1.0  # the release bar
    assert not table[21:, 12:14].any()


def test_leaders_are_read_off_closed_bars(make_event, make_bars):
    index = hours("2024-03-12 10:00", 6)
    btc = make_bars(index, [100.0, 110.0, 121.0, 100.0, 90.0, 99.0])
    half = index + pd.Timedelta(minutes=30)
    table = event_channels(
        half, interval="30m", n_context=4, events=[], leaders=Leaders(btc=btc), **CRYPTO
    )
    # The bar 10:30-11:00 ends with the leader's 10:00 bar; of that one only its open is known.
    expected = [0.0, np.log(1.1), np.log(1.1), np.log(100 / 121), 0.0, 0.0]
    np.testing.assert_allclose(channel(table, "btc_log_return_1h"), expected, atol=1e-6)


def test_leaders_are_zero_while_their_market_is_shut(make_bars):
    sessions = days("2024-03-07", "2024-03-08", "2024-03-11")
    opens = [d + pd.Timedelta(hours=9.5 + h) for d in sessions for h in range(7)]
    spy = make_bars(
        pd.DatetimeIndex(opens), np.exp(0.01 * np.arange(21)), zone=NEW_YORK, calendar="XNYS"
    )
    index = hours("2024-03-08 09:00", 80, NEW_YORK, "1h")
    table = event_channels(
        index, interval="1h", n_context=80, events=[], leaders=Leaders(spy=spy), **CRYPTO
    )
    returns = pd.Series(channel(table, "spy_log_return_1h"), index)
    ends = returns.index + pd.Timedelta(hours=1)
    is_shut = (ends.hour * 60 + ends.minute <= 570) | (ends.hour > 16) | (ends.day_of_week > 4)
    assert not returns[is_shut].any()
    # 11:00 on Friday: the bar 9:30-10:30 has closed; after the night only its own hour counts.
    assert returns.loc[pd.Timestamp("2024-03-08 10:00", tz=NEW_YORK)] == pytest.approx(0.01)
    assert (returns[~is_shut] != 0).sum() == 12  # 10:30 to 16:00 on Friday and on Monday


def test_a_return_over_a_pause_is_that_of_the_bar_itself(make_bars):
    index = pd.DatetimeIndex(
        ["2024-03-07 15:30", "2024-03-08 09:30", "2024-03-08 10:30"]
    ).tz_localize(NEW_YORK)
    spy = make_bars(index, [100.0, 200.0, 220.0], zone=NEW_YORK, calendar="XNYS")
    spy.frame.loc[spy.frame.index[1], ["open", "low"]] = 190.0
    bars = hours("2024-03-08 09:30", 2, NEW_YORK)
    table = event_channels(
        bars, interval="1h", n_context=2, events=[], leaders=Leaders(spy=spy), **XNYS
    )
    np.testing.assert_allclose(
        channel(table, "spy_log_return_1h"), [np.log(200 / 190), np.log(1.1)], atol=1e-6
    )


def test_the_vix_is_scored_against_the_days_before(make_bars):
    sessions = pd.bdate_range("2024-04-01", periods=30)  # no holiday among them
    levels = 15 + np.random.default_rng(2).normal(0, 1, 30)
    vix = make_bars(
        sessions.tz_localize(NEW_YORK), levels, interval="1d", zone=NEW_YORK, calendar="XNYS"
    )
    index = sessions.tz_localize(NEW_YORK)
    table = event_channels(
        index, interval="1d", n_context=30, events=[], leaders=Leaders(vix=vix), **XNYS
    )
    scores = channel(table, "vix_level_z")
    assert not scores[:20].any()
    for i in (20, 29):
        before = levels[:i]
        expected = (levels[i] - before.mean()) / before.std(ddof=1)
        assert scores[i] == pytest.approx(np.clip(expected, -3, 3), abs=1e-5)


def test_bars_of_another_width_are_no_leaders(make_bars):
    daily = make_bars(days("2024-03-07", zone="UTC"), [1.0], interval="1d")
    with pytest.raises(InvalidRequest, match="spy must have bars of 1h, found 1d"):
        Leaders(spy=daily)


@pytest.mark.parametrize("n_context", [0, 6])
def test_the_context_must_lie_within_the_bars(n_context):
    with pytest.raises(InvalidRequest, match="from 1 to the number of bars, 5"):
        event_channels(
            hours("2024-03-01", 5), interval="1h", n_context=n_context, events=[], **CRYPTO
        )


def test_timestamps_must_increase():
    with pytest.raises(InvalidRequest, match="increase"):
        event_channels(
            hours("2024-03-01", 5)[::-1], interval="1h", n_context=3, events=[], **CRYPTO
        )
