"""Events that a visitor brings: used in his session, and in no other."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos import models
from kronos.decoding.decoder import generate
from kronos.errors import InvalidEvents
from kronos.events import Event, csv_file, event_inputs, load_events, read_events
from kronos.export import forecast_json
from kronos.forecast import SamplingParameters
from pages.ui.fan import exports
from pages.ui.fan.exports import events_code
from pages.ui.inputs.candles import sample_code
from pages.ui.inputs.events import event_from_form
from pages.ui.jobs import caches
from pages.ui.jobs.settings import ForecastSettings
from tests.pages.app_driver import SAMPLE_TITLES, charts, new_session, press, run_until, words

CSV = b"kind,time,region,symbol,name\nearnings,2013-03-12,,GOOG,My own report\n"
GOOG = load_sample("GOOG_1d")


def forecast_page():
    link = {"data": SAMPLE_TITLES[3], "horizon": "16", "paths": "10"}
    return run_until(new_session(**link).run(), lambda app: "Expected move" in words(app))


def chart_of(app) -> str:
    return charts(app)[0]


def test_a_file_is_marked_kept_and_taken_away_in_its_session_only():
    app = forecast_page()
    app.file_uploader(key="events_upload").upload("mine.csv", CSV, "text/csv").run()
    assert "Own events: 1" in words(app)
    assert "My own report" in chart_of(app)
    assert "My own report" not in chart_of(forecast_page()), "another session"
    assert all(event.name != "My own report" for event in load_events())
    press(app, "own_events_remove")
    assert "My own report" not in chart_of(app)


def test_a_file_that_cannot_be_read_names_line_and_column():
    app = forecast_page()
    bad = CSV.replace(b"2013-03-12", b"soon")
    app.file_uploader(key="events_upload").upload("mine.csv", bad, "text/csv").run()
    (error,) = app.error
    assert "mine.csv, line 2, column time" in error.value.replace("\\", "")


def test_a_file_is_read_outside_of_the_server_and_has_a_bound(monkeypatch):
    def never(*_):
        raise AssertionError("read in the process of the server")

    monkeypatch.setattr(csv_file, "_rows", never)
    app = forecast_page()
    app.file_uploader(key="events_upload").upload("mine.csv", CSV, "text/csv").run()
    assert "Own events: 1" in words(app)
    monkeypatch.setattr(caches, "MAX_EVENTS", 1)
    longer = CSV + b"earnings,2013-03-13,,GOOG,Another one\n"
    app.file_uploader(key="events_upload").upload("mine.csv", longer, "text/csv").run()
    assert "more than 1 events" in app.error[0].value.replace("\\", "")
    assert "Own events: 1" not in words(app)


def test_an_event_is_added_by_hand():
    app = forecast_page()
    app.selectbox(key="event_kind").select("earnings")
    app.selectbox(key="event_concerns").select("GOOG")
    app.button(key="FormSubmitter:own_event-Add event").click().run()
    assert "An event needs a date." in app.error[0].value.replace("\\", "")
    app.date_input(key="event_date").set_value(dt.date(2013, 3, 14))
    app.button(key="FormSubmitter:own_event-Add event").click().run()
    assert not app.error, app.error[0].value
    assert "Own events: 1" in words(app)
    assert "Earnings" in chart_of(app)


def test_times_by_hand_are_on_the_exchanges_clock():
    day, clock = dt.date(2013, 3, 14), dt.time(16, 5)
    event = event_from_form(GOOG, kind="earnings", region="", symbol="GOOG", day=day, clock=clock)
    assert event.time == pd.Timestamp("2013-03-14 20:05", tz="UTC")
    assert event.announced_time < event.time - pd.Timedelta(days=60)
    usual = event_from_form(GOOG, kind="cpi", region="US", symbol="", day=day, clock=None)
    assert usual.time == pd.Timestamp("2013-03-14 12:30", tz="UTC")
    with pytest.raises(InvalidEvents, match="has a region and no symbol"):
        event_from_form(GOOG, kind="cpi", region="", symbol="GOOG", day=day, clock=None)


def answer(settings, forecaster):
    """The forecast of the settings, drawn without an engine."""
    pending = forecaster.prepare(settings.request(GOOG, forecaster.facts))
    generate(forecaster.decoder, pending.sequences)
    return pending.result()


def test_the_snippet_tells_the_same_events(reader, tmp_path, capsys):
    file = tmp_path / "mine.csv"
    file.write_bytes(CSV)
    added = Event("earnings", pd.Timestamp("2013-03-14 20:05", tz="UTC"), symbol="GOOG", name="=b")
    told = event_inputs((*load_events(), *read_events(CSV, "mine.csv"), added), GOOG)
    sampling = SamplingParameters(sample_count=4, seed=3)
    settings = ForecastSettings("", reader, 16, sampling, GOOG.frame.index[-1], 64, told)
    shown = answer(settings, models.load(reader, device="cpu"))
    code = exports.python_snippet(
        sample_code("GOOG_1d"), shown, events=events_code(str(file), (added,))
    )
    found: dict = {}
    exec(code, found)
    np.testing.assert_array_equal(found["forecast"].paths, shown.paths)
    assert json.loads(forecast_json(GOOG, shown))["events_sha256"] == shown.events_hash
    assert "not the" not in capsys.readouterr().out
    exec(code.replace("merge_events(tables)", "load_events()"), {})
    assert "not the events that the page used" in capsys.readouterr().out


def test_a_model_that_reads_none_is_told_none(golden_folder):
    told = event_inputs(load_events(), GOOG)
    sampling = SamplingParameters(sample_count=2)
    settings = ForecastSettings("", "", 2, sampling, GOOG.frame.index[-1], 64, told)
    assert answer(settings, models.load(golden_folder, device="cpu")).events_hash is None
