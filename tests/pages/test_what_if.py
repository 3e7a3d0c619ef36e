"""Edits of the events, and how two fans differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.events import CHANNELS, Surprise, event_inputs, load_events
from kronos.forecast import Forecast, SamplingParameters
from pages.ui.what_if.text import change_table, change_text, changes
from pages.ui.what_if.work import (
    Edits,
    assumed_event,
    first_changed,
    kinds_to_add,
    look_ahead,
)

GOOG = load_sample("GOOG_1d").slice(-60)
TOLD = event_inputs(load_events(), GOOG)
AHEAD = look_ahead(GOOG, 16, TOLD)


def test_what_is_scheduled_stands_on_its_bar():
    (meeting,) = AHEAD.scheduled
    assert (meeting.kind, meeting.release_day, AHEAD.bars) == ("fomc", "2013-03-20", (13,))
    secret = replace(meeting, announced=meeting.time)
    assert not look_ahead(GOOG, 16, replace(TOLD, events=(secret,))).scheduled


@pytest.mark.parametrize(
    ("kind", "bar", "first", "in_time"),
    [
        ("earnings", 1, 2, 1),
        ("nfp", 15, 16, 15),
        ("gdp", 16, None, 16),  # the last bar's row is never read
        ("cpi", 16, 1, 1),  # of which the days until tell before
    ],
)
def test_from_which_bar_on_a_fan_can_change(kind, bar, first, in_time):
    event = assumed_event(kind, bar, AHEAD, TOLD)
    assert first_changed(AHEAD, TOLD, Edits(added=event)) == first
    assert first_changed(AHEAD, TOLD, Edits(added=event), alignments=["ahead"]) == in_time
    rows = Edits(added=event).apply(TOLD).rows(GOOG, AHEAD.future)
    assert rows[60 + bar - 1, CHANNELS.index(f"is_{kind}")] == 1.0


def test_events_switched_off_and_assumed_count():
    assert first_changed(AHEAD, TOLD, Edits()) is None
    assert first_changed(AHEAD, TOLD, Edits(off=AHEAD.scheduled)) == 1
    for alignments in (["bar"], ["ahead"]):
        assumed = Edits(surprise=Surprise("nfp", 1.5))
        assert first_changed(AHEAD, TOLD, assumed, alignments=alignments) == 1
    edits = Edits(off=AHEAD.scheduled)
    assert set(TOLD.events) - set(edits.apply(TOLD).events) == set(AHEAD.scheduled)


def test_kinds_that_an_instrument_has():
    assert "earnings" in kinds_to_add(TOLD, "XNYS")
    assert "rate_decision" not in kinds_to_add(TOLD, "XNYS")
    euro = event_inputs((), replace(GOOG, symbol="EURUSD", calendar="fx"))
    assert {"fomc", "rate_decision"} <= set(kinds_to_add(euro, "fx"))
    assert "earnings" not in kinds_to_add(euro, "fx")
    assert assumed_event("rate_decision", 1, AHEAD, euro).region == "EU"


def fan(closes: np.ndarray) -> Forecast:
    """A forecast with these closes (N, H), and everything else made up."""
    paths = np.repeat(closes[..., None], 6, axis=-1)
    return Forecast(
        paths=paths,
        timestamps=pd.date_range("2020-01-02", periods=closes.shape[1], tz="UTC"),
        origin=pd.Timestamp("2020-01-01", tz="UTC"),
        last_close=100.0,
        parameters=SamplingParameters(sample_count=len(closes)),
        model_name="made up",
        model_revision="0",
        context_hash="0",
        n_context=40,
        anchor_factor=1.0,
        seconds=0.0,
    )


def test_changes_are_those_of_median_and_width():
    noise = np.random.default_rng(1).normal(size=(200, 2))
    before = fan(100.0 + noise)
    (shifted,) = changes(before, fan(102.0 + noise), [2])
    assert shifted.median == pytest.approx(2.0)
    assert (shifted.median_error, shifted.width_error) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert shifted.verdict.startswith("median")
    (wider,) = changes(before, fan(100.0 + 2.0 * noise), [1])
    low, high = np.quantile(noise[:, 0], (0.1, 0.9))
    assert wider.width == pytest.approx(high - low)
    assert wider.verdict == "width"


def test_pairs_of_independent_paths_differ_by_chance_only():
    rng = np.random.default_rng(2)
    before, after = (fan(100.0 + rng.normal(size=(200, 1))) for _ in range(2))
    (change,) = changes(before, after, [1])
    # Of the median of 200 standard normals, twice: sqrt(2 pi / 2 / 200).
    assert change.median_error == pytest.approx(np.sqrt(np.pi / 200), rel=0.35)
    assert change.verdict == "neither"
    assert "Neither change is significant." in change_text(before, after)
    table = change_table(before, after, [1])
    assert table["change of median"].tolist() == [change.median]
    assert table["significant"].tolist() == ["neither"]


def test_fans_that_are_the_same_are_said_to_be():
    before = fan(np.full((20, 3), 100.0))
    assert change_text(before, before).startswith("All 20 paths are equal")
    assert changes(before, before, [3])[0].verdict == "neither"
