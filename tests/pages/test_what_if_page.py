"""The what-if page by Streamlit's own test driver: what it says and does, without a browser."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from benchmarks.gates.broken_models import write_adapter
from kronos.models.adapters import adapters_folder
from pages.ui.jobs import caches
from tests.pages.app_driver import SAMPLE_TITLES, charts, new_session, press, run_until, words

GOOG = {"data": SAMPLE_TITLES[3], "horizon": "16", "paths": "20"}
"""Daily bars, of which the 13th ahead carries a meeting of the FOMC."""
FOMC = "on_fomc_us_2013-03-20"


def what_if(**link: object) -> AppTest:
    return new_session("what_if", **(GOOG | link)).run()


def is_done(app: AppTest) -> bool:
    return "what if, next" in words(app)


def event_inputs_of(app: AppTest) -> list:
    return [run.settings.events for run in app.session_state["what_if_runs"]]


def test_a_model_that_reads_no_events_says_so_and_draws_one_fan(golden_folder):
    adapter = adapters_folder() / "reads-none.safetensors"
    write_adapter(adapter, str(golden_folder), golden_folder)
    caches.models.clear()
    app = run_until(what_if(told_model="reads-none"), is_done)
    adapter.unlink()
    said = words(app).replace("*", "")
    assert "reads-none does not read events." in said
    assert "These models read events: Bundled." in said
    assert event_inputs_of(app) == [None]
    assert len(charts(app)) == 1
    assert not app.checkbox
    assert not app.dataframe


def test_an_event_is_switched_off_and_the_second_fan_drawn(reader, fresh_seed):
    app = run_until(what_if(seed=fresh_seed, told_model=reader), is_done)
    assert "+13, 20 Mar 2013" in app.checkbox(key=FOMC).label.replace("\\", "")
    assert len(charts(app)) == 1, "nothing is assumed yet"
    app.checkbox(key=FOMC).uncheck().run()
    assert "Settings changed: press Run." in words(app)
    run_until(press(app, "run_what_if"), lambda app: len(charts(app)) == 2)
    before, after = event_inputs_of(app)
    assert set(before.events) - set(after.events) == {
        event for event in before.events if event.release_day == "2013-03-20"
    }
    table = app.dataframe[0].value
    assert table["bar"].tolist() == [4, 8, 16]
    assert (table["± median"] >= 0).all()
    assert "of 20 paths differ" in words(app)
    assert words(app).count("nothing of Bitcoin") == 1


def test_chronos_reads_events_as_well(chronos, fresh_seed):
    link = {"told_model": chronos, FOMC: "false"}
    app = run_until(what_if(seed=fresh_seed, **link), is_done)
    before, after = event_inputs_of(app)
    assert len(before.events) == len(after.events) + 1
    assert len(charts(app)) == 2
    assert (app.dataframe[0].value["change of median"] != 0).any()


def test_chronos_reads_what_lies_on_the_last_bar(chronos, fresh_seed):
    app = run_until(what_if(seed=fresh_seed, told_model=chronos, add="GDP", horizon="1"), is_done)
    assert "The fan can change from bar +1 of 1." in words(app)
    assert len(charts(app)) == 2


def test_a_link_carries_the_edits(reader, fresh_seed):
    edits = {"add": "Earnings", "surprise": "CPI", "size_cpi": "-2", FOMC: "false"}
    app = run_until(what_if(seed=fresh_seed, told_model=reader, **edits), is_done)
    before, after = event_inputs_of(app)
    assert before.surprise is None
    assert (after.surprise.kind, after.surprise.score) == ("cpi", -2.0)
    (added,) = set(after.events) - set(before.events)
    assert (added.kind, added.symbol) == ("earnings", "GOOG")
    assert "The fan can change from bar +1 of 16." in words(app)


def test_a_model_that_reads_ahead_changes_the_bar_of_the_event(ahead_reader, fresh_seed):
    link = {"told_model": ahead_reader, "horizon": "1", "add": "GDP"}
    app = run_until(what_if(seed=fresh_seed, **link), is_done)
    assert "The fan can change from bar +1 of 1." in words(app)
    assert len(event_inputs_of(app)) == 2
    assert (app.dataframe[0].value["change of width"] != 0).all()


def test_what_is_never_read_is_said_and_draws_no_second_fan(reader, fresh_seed):
    link = {"told_model": reader, "horizon": "1", "add": "GDP"}
    app = run_until(what_if(seed=fresh_seed, **link), is_done)
    assert "The model reads no difference" in words(app)
    assert len(event_inputs_of(app)) == 1


def test_the_bundled_model_answers_a_release_that_is_switched_off(fresh_seed):
    app = run_until(what_if(seed=fresh_seed, **{FOMC: "false"}), is_done)
    assert app.selectbox(key="told_model").value == "Bundled"
    assert len(charts(app)) == 2
    assert (app.dataframe[0].value["change of width"] != 0).any()
