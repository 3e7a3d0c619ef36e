"""Forecasts corrected by a record, and what is said of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import kronos.store
from kronos.calibration import CalibrationState, calibrate, calibration_status, load_state
from kronos.calibration.state import Stream, StreamState, user_file
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import origin_volatility
from kronos.export import forecast_json, load_forecast, quantiles_csv, save_forecast
from kronos.forecast import SamplingParameters

LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
WIDER = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
REVISION = "0123456789abcdef"


def state_of(latest="2019-08-01", *, revision=REVISION, offsets=WIDER, interval="30m"):
    entry = StreamState(np.asarray(offsets), 500, pd.Timestamp(latest, tz="UTC"))
    buckets = (1, 3, 6, 12, 24)
    streams = {Stream("bundled", revision, "crypto", interval, b): entry for b in buckets}
    return CalibrationState(LEVELS, streams, learned_from="made up")


def test_every_quantile_moves_by_its_offset_times_volatility_and_root_of_the_step(simulate):
    candles, forecast = simulate(n_paths=400)
    found = calibrate(forecast, candles, state_of())
    sigma = origin_volatility(candles, forecast.origin)
    moved = np.log(found.quantile(LEVELS) / forecast.quantile(LEVELS))
    wanted = WIDER[:, None] * sigma * np.sqrt(np.arange(1, 25))
    np.testing.assert_allclose(moved, wanted, rtol=0.03, atol=2e-4)
    assert found.calibration_hash == state_of().digest
    assert forecast.calibration_hash is None


def test_offsets_of_nothing_leave_the_paths(simulate):
    candles, forecast = simulate()
    found = calibrate(forecast, candles, state_of(offsets=np.zeros(5)))
    np.testing.assert_array_equal(found.paths, forecast.paths)


def test_bars_after_the_origin_make_no_difference(simulate):
    candles, forecast = simulate(n_known=20)
    known = candles.at_origin(forecast.origin).history
    one, two = (calibrate(forecast, bars, state_of()) for bars in (candles, known))
    np.testing.assert_array_equal(one.paths, two.paths)


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        (state_of(), "calibrated", "Calibrated on 2,500 outcomes up to 01 Aug 2019"),
        (state_of("2019-09-01"), "calibrated", "uses hindsight"),
        (state_of("2017-08-01"), "stale", "older than the origin"),
        (state_of(revision="another"), "stale", "other weights"),
        (state_of(interval="any"), "uncalibrated", "too few outcomes"),
        (CalibrationState(LEVELS, {}), "uncalibrated", "too few outcomes"),
    ],
)
def test_what_the_record_is_worth_is_said(simulate, state, kind, said):
    candles, forecast = simulate()
    found = calibration_status(state, forecast, candles)
    assert found.kind == kind
    assert said in found.words
    assert found.is_hindsight == ("later than the origin" in found.words)


def test_a_record_of_the_models_own_fans_says_nothing_of_a_narrowed_one(simulate):
    candles, forecast = simulate(parameters=SamplingParameters(T=0.7, sample_count=60))
    assert calibration_status(state_of(), forecast, candles).kind == "uncalibrated"
    with pytest.raises(InvalidRequest, match="T = 1"):
        calibrate(forecast, candles, state_of())


def test_bars_without_a_move_have_no_volatility_to_measure_by(simulate):
    candles, forecast = simulate()
    still = replace(candles, frame=candles.frame.assign(open=1.0, high=1.0, low=1.0, close=1.0))
    assert "volatility" in calibration_status(state_of(), forecast, still).words


def test_a_calibrated_fan_is_neither_calibrated_again_nor_stored(simulate, tmp_path):
    candles, forecast = simulate()
    found = calibrate(forecast, candles, state_of())
    with pytest.raises(InvalidRequest, match="calibrated already"):
        calibrate(found, candles, state_of())
    with pytest.raises(InvalidRequest, match="not stored"):
        kronos.store.save(found, candles, url=str(tmp_path / "store.sqlite3"))


def test_files_say_which_fan_they_hold(simulate, tmp_path):
    candles, forecast = simulate()
    found = calibrate(forecast, candles, state_of())
    assert found.calibration_hash in forecast_json(candles, found)
    assert "calibration" not in forecast_json(candles, forecast)
    assert ",calibrated," in quantiles_csv(candles, found)
    assert "calibrated" not in quantiles_csv(candles, forecast)
    save_forecast(found, tmp_path / "found")
    assert load_forecast(tmp_path / "found").calibration_hash == found.calibration_hash


def test_the_users_own_calibration_goes_before_the_bundled_one():
    state_of().save(user_file())
    try:
        assert load_state().digest == state_of().digest
    finally:
        user_file().unlink()
    assert load_state().digest != state_of().digest
