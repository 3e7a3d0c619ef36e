"""The track-record page: empty, filled by a walk, filtered, and stopped."""

import pytest

from kronos.store import open_store
from pages.ui.track_record.record import record
from tests.pages.app_driver import new_session, press, run_until, words


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))
    record().refresh()
    yield
    record().refresh()


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
