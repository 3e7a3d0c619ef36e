"""What a model is told of events: which ones, by which key, and in which channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Event, EventInputs, Surprise, event_inputs, load_events
from kronos.forecast import SamplingParameters
from kronos.request import ModelFacts
from pages.ui.jobs.settings import ForecastSettings

GOOG = load_sample("GOOG_1d")
MEETING = pd.Timestamp("2013-03-20 18:00", tz="UTC")


def digest(events: EventInputs | None) -> str:
    facts = ModelFacts("model", "Model", "1", 2, 512, shares_window=True, reads_events=True)
    sampling = SamplingParameters(sample_count=10)
    settings = ForecastSettings("data", "model", 16, sampling, GOOG.frame.index[-1], events=events)
    return settings.request(GOOG, facts).digest


def test_only_events_that_set_a_channel_are_told():
    others = [
        Event("cpi", MEETING, "EU"),
        Event("rate_decision", MEETING, "EU"),
        Event("earnings", MEETING, symbol="IBM"),
        Event("split", MEETING, symbol="GOOG"),
        Event("news", MEETING, "US", name="news"),
    ]
    told = [Event("fomc", MEETING, "US"), Event("earnings", MEETING, symbol="goog")]
    assert list(event_inputs([*others, *told], GOOG).events) == told
    euro = event_inputs(others, replace(GOOG, symbol="EURUSD", calendar="fx"))
    assert [(event.kind, event.region) for event in euro.events] == [("rate_decision", "EU")]
    nameless = Event("earnings", MEETING, "US")
    assert not event_inputs([nameless], replace(GOOG, symbol="")).events


def test_the_digest_covers_the_event_rows():
    told = event_inputs(load_events(), GOOG)
    again = event_inputs(list(load_events()), GOOG)
    assert digest(told) == digest(again)
    fewer = replace(told, events=())
    supposed = replace(told, surprise=Surprise("cpi", 1.0))
    digests = {digest(one) for one in (None, told, fewer, supposed)}
    assert len(digests) == 4
    renamed = replace(told.events[0], name="another name", source="another")
    same = replace(told, events=(renamed, *told.events[1:]))
    assert digest(same) == digest(told), "names set no channel"


def test_a_surprise_stands_on_the_last_known_bar_alone():
    known, told = GOOG.slice(-40), event_inputs(load_events(), GOOG)
    future = known.future(16)
    plain = told.rows(known, future)
    supposed = replace(told, surprise=Surprise("fomc", -2.0)).rows(known, future)
    changed = np.argwhere(plain != supposed)
    assert set(changed[:, 0]) == {39}
    row = dict(zip(CHANNELS, supposed[39], strict=True))
    assert (row["is_fomc"], row["fomc_hawkish_score"]) == (1.0, -2.0)
    assert (row["days_to_fomc_sin"], row["days_to_fomc_cos"]) == (0.0, 1.0)
    assert plain[40 + 12, CHANNELS.index("is_fomc")] == 1.0


@pytest.mark.parametrize(("kind", "score"), [("gdp", 1.0), ("cpi", 3.5), ("fomc", 2.5)])
def test_no_surprise_is_told_that_no_model_ever_heard(kind, score):
    with pytest.raises(InvalidRequest, match="urprise"):
        Surprise(kind, score)
