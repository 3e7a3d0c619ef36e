"""What a model is told of events: which ones, by which key, and in which channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Event, load_events
from kronos.forecast import SamplingParameters
from pages.ui.inputs.request import ForecastRequest
from pages.ui.inputs.told import Surprise, ToldEvents, told_by, told_channels

GOOG = load_sample("GOOG_1d")
MEETING = pd.Timestamp("2013-03-20 18:00", tz="UTC")


def request(told: ToldEvents | None) -> ForecastRequest:
    sampling = SamplingParameters(sample_count=10)
    return ForecastRequest("data", "model", "1", 16, sampling, GOOG.frame.index[-1], events=told)


def test_only_events_that_set_a_channel_are_told():
    others = [
        Event("cpi", MEETING, "EU"),
        Event("rate_decision", MEETING, "EU"),
        Event("earnings", MEETING, symbol="IBM"),
        Event("split", MEETING, symbol="GOOG"),
        Event("news", MEETING, "US", name="news"),
    ]
    told = [Event("fomc", MEETING, "US"), Event("earnings", MEETING, symbol="goog")]
    assert list(told_by([*others, *told], GOOG).events) == told
    euro = told_by(others, replace(GOOG, symbol="EURUSD", calendar="fx"))
    assert [(event.kind, event.region) for event in euro.events] == [("rate_decision", "EU")]
    nameless = Event("earnings", MEETING, "US")
    assert not told_by([nameless], replace(GOOG, symbol="")).events


def test_the_key_names_what_is_told():
    told = told_by(load_events(), GOOG)
    again = told_by(list(load_events()), GOOG)
    assert request(told).key == request(again).key
    later = replace(told, events=told.events[1:])
    supposed = replace(told, surprise=Surprise("cpi", 1.0))
    keys = {request(one).key for one in (None, told, later, supposed)}
    assert len(keys) == 4
    renamed = replace(told.events[0], name="another name", source="another")
    same = replace(told, events=(renamed, *told.events[1:]))
    assert request(same).key == request(told).key, "names set no channel"


def test_a_surprise_stands_on_the_last_known_bar_alone():
    known, told = GOOG.slice(-40), told_by(load_events(), GOOG)
    future = known.future(16)
    plain = told_channels(known, future, told)
    supposed = told_channels(known, future, replace(told, surprise=Surprise("fomc", -2.0)))
    changed = np.argwhere(plain != supposed)
    assert set(changed[:, 0]) == {39}
    row = dict(zip(CHANNELS, supposed[39], strict=True))
    assert (row["is_fomc"], row["fomc_hawkish_score"]) == (1.0, -2.0)
    assert (row["days_to_fomc_sin"], row["days_to_fomc_cos"]) == (0.0, 1.0)
    assert plain[40 + 12, CHANNELS.index("is_fomc")] == 1.0


@pytest.mark.parametrize(("kind", "score"), [("gdp", 1.0), ("cpi", 3.5), ("fomc", 2.5)])
def test_no_surprise_is_told_that_no_model_ever_heard(kind, score):
    with pytest.raises(InvalidRequest, match="surprise"):
        Surprise(kind, score)
