"""Raw and calibrated fans on the pages: which one is shown, and what is said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import kronos
from data_sources.samples import load_sample
from kronos import models
from kronos.calibration import CalibrationState, calibrate
from kronos.calibration.state import DriftState, Stream, StreamState, user_file
from kronos.evaluation.scores import LEVELS
from pages.ui.fan import exports
from pages.ui.fan.calibration import PROMISE
from pages.ui.inputs.candles import sample_code
from pages.ui.jobs import caches
from tests.pages import app_driver as driver
from tests.pages.app_driver import new_session, run_until


def state_until(
    latest: str,
    *,
    asset_class: str = "crypto",
    interval: str = "30m",
    drift: DriftState | None = None,
):
    """Offsets that widen every fan of the bundled model a lot."""
    offsets = 2.0 * (np.array(LEVELS) - 0.5)
    entry = StreamState(offsets.round(6), 640, pd.Timestamp(latest, tz="UTC"), drift)
    revision = models.available()[0].revision
    buckets = (1, 3, 6, 12, 24)
    streams = {Stream("bundled", revision, asset_class, interval, b): entry for b in buckets}
    return CalibrationState(np.array(LEVELS), streams, learned_from="made up")


@pytest.fixture
def keep():
    """A function that makes a state the user's own."""

    def save(state):
        state.save(user_file())
        caches.calibration.clear()

    yield save
    user_file().unlink()
    caches.calibration.clear()


def has_forecast(app):
    return "Expected move" in words(app)


def words(app):
    """What the page says, with the tooltips of its captions."""
    tooltips = "\n".join(caption.help for caption in app.caption)
    return f"{driver.words(app)}\n{tooltips}".replace("\\", "")


def test_a_good_record_is_used_unasked_and_the_raw_fan_is_one_click_away(keep):
    keep(state_until("2019-06-01"))
    app = run_until(new_session().run(), has_forecast)
    calibrated = words(app)
    assert "Calibrated fan. Calibrated on 3,200 outcomes up to 01 Jun 2019" in calibrated
    assert "Calibrated on 3,200 outcomes\n" in driver.words(app), "one line beside the numbers"
    assert PROMISE in calibrated
    app.segmented_control(key="fan_kind").set_value("raw").run()
    raw = words(app)
    assert "Raw fan." in raw
    assert PROMISE not in raw

    def share_up(text):
        return text[text.index("80% range") :][:60]

    assert share_up(raw) != share_up(calibrated)
    linked = run_until(new_session(fan_kind="Raw fan").run(), has_forecast)
    assert "Raw fan." in words(linked)


def test_the_page_names_the_share_of_the_drift_and_the_raw_fan_has_all_of_it(keep):
    keep(state_until("2019-06-01", drift=DriftState(0.04, 1.0, 21.0)))
    app = run_until(new_session(details="How it was made").run(), has_forecast)
    calibrated = words(app)
    assert "Calibrated fan, 4% of the model's drift. Calibrated on 3,200 outcomes" in calibrated
    assert "4% of the model's drift, SHA-256" in calibrated
    app.segmented_control(key="fan_kind").set_value("raw").run()
    raw = words(app)
    assert "Raw fan. The calibrated fan is available." in raw
    assert "drift, SHA-256" not in raw


def test_a_stale_record_is_used_only_when_asked(keep):
    keep(state_until("2016-06-01"))
    app = run_until(new_session().run(), has_forecast)
    assert "Raw fan. Stale" in words(app)
    app.segmented_control(key="stale_fan_kind").set_value("calibrated").run()
    assert "Calibrated fan. Stale" in words(app)


def test_hindsight_is_told_and_used_only_when_asked(keep):
    keep(state_until("2019-12-01"))
    app = run_until(new_session().run(), has_forecast)
    assert "Raw fan. The calibrated fan uses hindsight" in words(app)
    app.segmented_control(key="stale_fan_kind").set_value("calibrated").run()
    assert "Calibrated fan with hindsight. Calibrated on" in words(app)


def test_without_a_record_of_its_kind_there_is_no_switch(keep):
    keep(state_until("2019-06-01", asset_class="fx", interval="1d"))
    app = run_until(new_session().run(), has_forecast)
    assert "Raw fan. Not calibrated: too few outcomes" in words(app)
    assert "fan_kind" not in {control.key for control in app.segmented_control}


def test_a_damaged_record_is_told_and_the_raw_fan_is_there(keep):
    keep(state_until("2019-06-01"))
    user_file().write_text("{}")
    caches.calibration.clear()
    app = run_until(new_session().run(), has_forecast)
    assert "Raw fan." in words(app)
    assert "is no calibration that can be read" in words(app)


def test_a_comparison_says_of_every_fan_which_one_it_is(keep):
    keep(state_until("2019-06-01"))
    app = new_session("compare", b="EWMA cone", horizon=4, paths=20).run()
    run_until(app, lambda app: "B: Raw fan" in words(app))
    said = words(app)
    (caption,) = (
        one
        for one in app.caption
        if "A: Calibrated fan · B: Raw fan" in one.value.replace("\\", "")
    )
    assert "B: Not calibrated: too few outcomes of ewma" in caption.help.replace("\\", "")
    assert "A: Calibration holds in the long run" in said
    app = new_session("compare", b="EWMA cone", horizon=4, paths=20, fan_kind="Raw fan").run()
    run_until(app, lambda app: "Raw fan" in words(app))
    assert "A: Raw fan" not in words(app), "one name for all"


def test_the_snippet_repeats_a_calibrated_fan_and_tells_of_another_calibration(keep, capsys):
    state = state_until("2010-01-01", asset_class="equity", interval="1d")
    keep(state)
    candles = load_sample("GOOG_1d")
    known = candles.at_origin(pd.Timestamp("2010-03-01", tz="America/New_York")).history
    raw = kronos.load("bundled").forecast(
        known.frame,
        x_timestamp=known.local_index,
        y_timestamp=known.future(3).tz_convert(known.zone),
        sample_count=8,
        lookback=64,
    )
    shown = calibrate(raw, candles, state)
    code = exports.python_snippet(sample_code("GOOG_1d"), shown)
    found: dict = {}
    exec(code, found)
    np.testing.assert_array_equal(found["forecast"].paths, shown.paths)
    assert "calibration" not in capsys.readouterr().out
    state_until("2010-01-02", asset_class="equity", interval="1d").save(user_file())
    exec(code, {})
    assert "calibration is not the one" in capsys.readouterr().out
    assert "calibrat" not in exports.python_snippet(sample_code("GOOG_1d"), raw)
    assert exports.file_stem(candles, shown) == exports.file_stem(candles, raw) + "_calibrated"
