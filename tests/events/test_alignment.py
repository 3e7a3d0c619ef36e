"""Rows that hold the schedule of the next bar: flags, countdowns, pauses, release bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Surprise, event_channels, event_inputs
from kronos.events.event import Event
from tests.events.conftest import utc

XNYS = {"calendar": "XNYS", "zone": "America/New_York"}
CRYPTO = {"calendar": "24/7", "zone": "UTC"}


def column(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, CHANNELS.index(name)]


def five_minutes(start: str, n: int) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n, freq="5min", tz="UTC")


def ahead(index: pd.DatetimeIndex, events: list[Event], n_context: int, **about) -> np.ndarray:
    return event_channels(index, n_context=n_context, events=events, alignment="ahead", **about)


def test_the_row_before_a_release_says_that_it_comes(make_event):
    """The bar of 8:30 in New York is the 7th of the hour that begins with the 2nd bar."""
    index = five_minutes("2024-03-12 11:55", 16)
    release = make_event("cpi", "2024-03-12 08:30")
    rows = ahead(index, [release], 4, interval="5m", **CRYPTO)
    own = event_channels(
        index, interval="5m", n_context=4, events=[release], alignment="bar", **CRYPTO
    )
    assert np.flatnonzero(column(own, "is_cpi")).tolist() == [*range(1, 13)]
    assert np.flatnonzero(column(rows, "is_cpi")).tolist() == [*range(12)]
    assert index[7] == release.time
    assert np.flatnonzero(column(rows, "is_release_bar")).tolist() == [6]
    # 0 days on the bar of the release, so in the row before.
    assert column(rows, "days_to_cpi_sin")[6] == 0
    assert not column(own, "is_release_bar").any()


def test_an_outcome_stays_in_the_row_of_the_bar_in_which_it_was_released(make_event):
    index = five_minutes("2024-03-20 17:30", 24)
    decision = make_event("fomc", "2024-03-20 14:00", actual=5.5, previous=5.25)
    rows = ahead(index, [decision], 20, interval="5m", **CRYPTO)
    score = column(rows, "fomc_hawkish_score")
    assert index[6] == decision.time
    assert not score[:6].any()
    assert (score[6:18] == 1.0).all()


def test_the_last_row_has_no_schedule(make_event):
    index = five_minutes("2024-03-12 12:00", 6)
    rows = ahead(index, [make_event("cpi", "2024-03-12 08:30")], 6, interval="5m", **CRYPTO)
    assert column(rows, "is_cpi").tolist() == [1.0] * 5 + [0.0]
    assert not rows[-1].any()
    assert not ahead(index[:1], [], 1, interval="5m", **CRYPTO).any()


def test_the_row_before_a_pause_says_how_long_it_is():
    """The last bars of a Thursday and a Friday in New York, before a night and a weekend."""
    days = ["2024-03-07", "2024-03-08", "2024-03-11"]
    index = pd.DatetimeIndex([t for day in days for t in five_minutes(f"{day} 14:30", 78)])
    index = index[:-78].append(five_minutes("2024-03-11 13:30", 78))  # summer time
    pause = column(ahead(index, [], 10, interval="5m", **XNYS), "pause_before")
    assert np.flatnonzero(pause).tolist() == [77, 155]
    assert pause[77] == pytest.approx(np.log1p(17.5) / 4)
    assert pause[155] == pytest.approx(np.log1p(64.5) / 4)
    crypto = ahead(five_minutes("2024-03-07", 400), [], 10, interval="5m", **CRYPTO)
    assert not crypto.any()


def test_a_halt_that_no_calendar_knows_is_no_pause():
    index = five_minutes("2024-03-07 14:30", 78)
    halted = index.delete(range(20, 40))
    rows = ahead(halted, [], 10, interval="5m", **XNYS)
    assert not column(rows, "pause_before").any()


def test_a_release_whose_hour_is_not_certain_marks_no_bar(make_event):
    index = five_minutes("2024-03-12 11:55", 16)
    release = replace(make_event("cpi", "2024-03-12 08:30"), is_time_exact=False)
    rows = ahead(index, [release], 4, interval="5m", **CRYPTO)
    assert column(rows, "is_cpi").any()
    assert not column(rows, "is_release_bar").any()
    days = pd.date_range("2024-03-10", periods=5, freq="D", tz="UTC")
    daily = ahead(days, [release], 2, interval="1d", **CRYPTO)
    assert np.flatnonzero(column(daily, "is_release_bar")).tolist() == [1]


def test_another_alignment_is_refused():
    with pytest.raises(InvalidRequest, match="bar or ahead, found 'next'"):
        event_channels(
            five_minutes("2024-03-12", 3), interval="5m", n_context=2, events=[],
            alignment="next", **CRYPTO,
        )  # fmt: skip


def test_an_outcome_that_is_assumed_was_scheduled_in_the_row_before():
    known = load_sample("GOOG_1d").slice(-60)
    plain = event_inputs([], known)
    edited = replace(plain, surprise=Surprise("cpi", 1.5))
    future = known.future(4)
    for alignment, scheduled in (("bar", 59), ("ahead", 58)):
        rows = edited.rows(known, future, [alignment])
        assert np.flatnonzero(column(rows, "cpi_surprise_z")).tolist() == [59]
        assert np.flatnonzero(column(rows, "is_cpi")).tolist() == [scheduled]
        assert rows[scheduled, CHANNELS.index("days_to_cpi_cos")] == 1.0
    both = edited.rows(known, future, ["bar", "ahead"])
    assert both.shape == (64, 40)
    np.testing.assert_array_equal(both[:, 20:], rows)
    # Nothing to write on before the first bar.
    one = edited.rows(known.slice(-1), future, ["ahead"])
    assert not column(one, "is_cpi").any()


def test_a_release_on_the_first_bar_to_forecast_is_in_the_last_known_row():
    known = load_sample("GOOG_1d").slice(-60)
    future = known.future(4)
    day = future[0].tz_convert(known.zone).strftime("%Y-%m-%d")
    event = Event("nfp", utc(f"{day} 08:30", known.zone), "US")
    inputs = event_inputs([event], known)
    (flagged,) = np.flatnonzero(column(inputs.rows(known, future, ["ahead"]), "is_nfp"))
    assert flagged == 59
