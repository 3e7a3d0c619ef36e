"""The track-record page: empty, filled by a walk, filtered, and stopped."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from data_sources.source import Bars, Instrument
from kronos.errors import UnknownSymbol
from kronos.evaluation.card import unpack_card
from kronos.evaluation.scores import LEVELS
from kronos.store import open_store
from kronos.store.scoring import score_candles
from pages.ui.track_record import walks as walking
from pages.ui.track_record.record import record
from pages.ui.track_record.study import Chosen, choices_of, labels_of, study
from pages.ui.track_record.text import scope_text
from pages.ui.track_record.walks import walks
from tests.pages.app_driver import new_session, press, run_until, words
from tests.source_tree import ROOT
from tests.store.made import make_forecast


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))
    record().refresh()
    yield
    record().refresh()
    walks.reset()


def has_answer(app):
    return "record shown" in app.session_state


def opened():
    return run_until(new_session("track_record").run(), has_answer)


def test_an_empty_record_tells_how_to_fill_it():
    app = opened()
    said = words(app)
    assert "No stored forecast yet" in said
    assert "kronos forecast --save" in said
    assert "kronos walk-forward" in app.code[0].value
    assert "says nothing about a single day" in said


def test_the_first_visit_sees_the_record_of_the_model_card_marked_as_such():
    app = run_until(opened(), lambda app: "card shown" in app.session_state)
    said = words(app)
    assert "Record of the model card: 1,249 forecasts of 164 series" in said
    assert "Forecasts of this server are not in it" in said
    assert any(header.value.startswith("bundled") for header in app.header)
    # No returns, and so nothing that would need them.
    assert "Worst misses" not in [header.value for header in app.header]
    (rivals, _) = (frame.value for frame in app.dataframe)
    assert rivals["Baseline"].tolist() == ["EWMA cone"]
    assert rivals["Log score gain"].iloc[0] != "no scores"
    assert rivals["QLIKE gain"].iloc[0] != "no scores"
    # As a record of its own it has filters.
    app.selectbox(key="record_of").set_value("card").run()
    app = run_until(app, lambda app: "record_interval_card" in app.session_state)
    app.selectbox(key="record_interval_card").set_value("5m").run()
    run_until(app, lambda app: "forecasts of 10 series" in words(app))


def test_forecasts_of_a_sample_leave_the_record_of_the_model_card_in_sight():
    sample = load_sample("GOOG_1d")
    forecast = make_forecast(sample, len(sample.frame) - 40, model="bundled")
    with closing(open_store()) as store:
        store.save(forecast, sample, source="samples")
        score_candles(store, sample, of_source="samples", bars_source="samples")
    record().refresh()
    app = run_until(opened(), lambda app: "card shown" in app.session_state)
    said = words(app)
    assert "are in sample" in said
    assert "Record of the model card: 1,249 forecasts" in said
    app.selectbox(key="record_sample").set_value("any").run()
    run_until(app, lambda app: "1 forecast" in words(app) and "1,249" not in words(app))


def test_a_record_of_other_weights_is_not_shown(monkeypatch):
    from kronos.evaluation import card as cards

    unpack = cards.unpack_card

    def of_others(data):
        found = unpack(data)
        found.facts["revision"] = "of others"
        return found

    monkeypatch.setattr(cards, "unpack_card", of_others)
    record.reset()
    app = run_until(opened(), lambda app: "card shown" in app.session_state)
    assert "no record of the model card for the weights on this machine" in words(app)
    record.reset()


def test_a_damaged_store_is_named_and_read_again_once_it_is_back(tmp_path):
    file = tmp_path / "store.sqlite3"
    file.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 32)
    # The answer of a test before may still be on its way.
    app = run_until(
        new_session("track_record").run(),
        lambda app: any("cannot be used" in error.value for error in app.error),
    )
    for _ in range(3):
        assert "cannot be used" in app.error[0].value
        assert "Waiting" not in words(app)
        app.run()
    file.unlink()
    record().refresh()
    assert "No stored forecast yet" in words(run_until(app.run(), has_answer))


def bars_file(n=420, seed=0):
    """A CSV file of hourly bars."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(0.01 * rng.normal(size=n)))
    stamps = pd.date_range("2026-03-02", periods=n, freq="h")
    lines = [
        f"{stamp:%Y-%m-%d %H:%M},{close},{close * 1.01},{close * 0.99},{close},10"
        for stamp, close in zip(stamps, closes, strict=True)
    ]
    return "\n".join(["timestamp,open,high,low,close,volume", *lines]).encode()


def test_own_files_are_walked_and_the_page_ends_on_the_result():
    app = opened()
    n_stored = open_store().counts()["ml_predictions"]
    app.segmented_control(key="walk_bars").set_value("files").run()
    assert app.button(key="walk_start").disabled
    app.file_uploader(key="watch_files").set_value(
        [("MINE.csv", bars_file(), "text/csv"), ("OTHER.csv", b"no,bars\n", "text/csv")]
    ).run()
    app.selectbox(key="walk_model").set_value("ewma")
    app.number_input(key="walk_origins").set_value(6)
    app.number_input(key="walk_horizon").set_value(5)
    app.toggle(key="walk_baselines").set_value(False)
    app.run()
    press(app, "walk_start")
    app = run_until(
        app, lambda app: "in this session only" in "".join(s.value for s in app.success)
    )
    assert "1 failed" in app.success[0].value
    assert "OTHER" in app.success[0].value
    app = run_until(app, lambda app: "walk shown" in app.session_state)
    said = words(app)
    assert app.selectbox(key="record_of").value == "walk"
    assert "6 forecasts of 1 series" in said
    assert "No forecast matches" not in said
    assert any(header.value.startswith("ewma") for header in app.header)
    assert "Worst misses" in [header.value for header in app.header]
    assert open_store().counts()["ml_predictions"] == n_stored
    # Another visitor sees neither the files nor that they were walked.
    other = opened()
    assert "MINE" not in words(other) + "".join(s.value for s in other.success)
    assert "OTHER" not in words(other) + "".join(s.value for s in other.success)
    assert list(other.selectbox(key="record_of").options) == ["This server", "Model card"]


def test_files_that_are_too_short_say_so():
    app = opened()
    app.segmented_control(key="walk_bars").set_value("files").run()
    app.file_uploader(key="watch_files").set_value(("S.csv", bars_file(100), "text/csv")).run()
    app.selectbox(key="walk_model").set_value("ewma")
    app.run()
    press(app, "walk_start")
    app = run_until(app, lambda app: bool(app.error))
    assert "256 bars" in app.error[0].value
    assert app.selectbox(key="record_of").value == "server"


def test_a_result_says_which_forecasts_are_in_sample():
    rows = unpack_card((ROOT / "assets/bundled/record.npz").read_bytes()).rows
    rows = rows[rows["model"] == "bundled"].head(80).reset_index(drop=True)
    rows["label"] = labels_of(rows)
    rows.loc[rows["prediction_id"].isin(rows["prediction_id"].unique()[:3]), "out_of_sample"] = (
        False
    )
    quantiles = np.full((len(rows), len(LEVELS)), np.nan)
    chosen = Chosen(rows["label"].iloc[0], sample="any")
    found = study(rows, quantiles, choices_of(rows), chosen, lambda *_: pd.DataFrame())
    assert "10 forecasts" in scope_text(found)
    assert "3 of them are in sample or not known" in scope_text(found)
    out = replace(chosen, sample="out")
    found = study(rows, quantiles, choices_of(rows), out, lambda *_: pd.DataFrame())
    assert "7 forecasts" in scope_text(found)
    assert "in sample" not in scope_text(found)


@pytest.mark.slow
def test_a_walk_fills_the_record_and_filters_read_it():
    app = opened()
    app.selectbox(key="walk_model").set_value("random-walk")
    app.number_input(key="walk_origins").set_value(5)
    app.run()
    press(app, "walk_start")
    app = run_until(
        app, lambda app: "windows to the record" in "".join(s.value for s in app.success)
    )
    assert open_store().counts()["ml_predictions"] == 5 * 5 * 5
    app = run_until(app, lambda app: "25 forecasts of 5 series" in words(app))
    assert app.selectbox(key="record_of").value == "walk"
    assert "of them are in sample" not in words(
        app
    )  # a baseline learns from the bars before each origin
    app.selectbox(key="record_of").set_value("server").run()
    app = run_until(app, lambda app: "record_model" in app.session_state)
    said = words(app)
    assert "25 forecasts of 5 series" in said
    assert "Worst misses" in [header.value for header in app.header]
    ewma = next(label for label in app.selectbox(key="record_model").options if "ewma" in label)
    app.selectbox(key="record_model").set_value(ewma).run()
    app = run_until(app, lambda app: any(h.value.startswith("ewma") for h in app.header))
    assert app.dataframe[0].value["Baseline"].tolist()[0] == "Random walk with drift"
    assert len(app.dataframe[0].value) == 4
    app.selectbox(key="record_class").set_value("equity").run()
    app = run_until(app, lambda app: "10 forecasts of 2 series" in words(app))
    app.selectbox(key="record_made").set_value("ahead").run()
    app = run_until(app, lambda app: "No forecast matches these filters" in words(app))


class OneMarket:
    """A source that has one sample under a ticker."""

    name, title, intervals = "yahoo", "A market", ("1h", "1d")

    def fetch(self, symbol, *, interval, start=None, end=None):
        if symbol != "GOOG":
            raise UnknownSymbol(f"{symbol} is not known.")
        found = load_sample("GOOG_1d")
        return Bars(found, Instrument(self.name, symbol), pd.Timestamp.now(tz="UTC"))


def test_tickers_are_walked_into_the_record_of_the_server(monkeypatch):
    monkeypatch.setattr(walking, "open_source", lambda name: OneMarket())
    app = opened()
    app.segmented_control(key="walk_bars").set_value("tickers").run()
    app.text_area(key="walk_symbols").set_value("goog nobody")
    app.selectbox(key="walk_model").set_value("ewma")
    app.number_input(key="walk_origins").set_value(5)
    app.toggle(key="walk_baselines").set_value(False)
    app.run()
    assert app.selectbox(key="walk_interval").value == "1d"
    press(app, "walk_start")
    app = run_until(app, lambda app: "to the record" in "".join(s.value for s in app.success))
    assert "5 windows" in app.success[0].value
    assert "1 failed" in app.success[0].value
    assert "NOBODY" in app.success[0].value
    app = run_until(app, lambda app: "5 forecasts of 1 series" in words(app))
    assert app.selectbox(key="record_of").value == "walk"
    assert open_store().series() == [("yahoo", "GOOG", "1d")]
