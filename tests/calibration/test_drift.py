"""Belief in the drift of fans: laws of the slope, on streams whose truth is known, and the fans."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from kronos.calibration import CalibrationState, calibrate, calibration_status, drift_words
from kronos.calibration.drift import RIDGE, DriftTracker, fan_means
from kronos.calibration.record import read_outcomes
from kronos.calibration.state import DriftState, Stream, StreamState, bucket_of
from kronos.calibration.tracker import Outcomes, learned_state, replay, shifts_at_issue
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import LEVELS, crps_of_errors
from kronos.export import forecast_json, load_forecast, save_forecast
from kronos.models import cut_off
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

QUANTILES = np.array(LEVELS)
DAY = 86_400 * 10**9
REVISION = "0123456789abcdef"


def outcomes_of(*, slope, n=1500, size=0.6, seed=0):
    """A normal fan a day, whose mean is of this size; outcomes follow it by this slope."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0, size, n)
    outcomes = slope * means + rng.normal(size=n)
    issued = np.arange(n) * DAY
    streams = pd.DataFrame(
        {
            "model": "bundled", "revision": "r1", "asset_class": "crypto", "interval": "1d",
            "bucket": bucket_of(np.ones(n, dtype=int)),
        }
    )  # fmt: skip
    fans = means[:, None] + norm.ppf(QUANTILES)
    return Outcomes(
        streams, issued, issued + DAY, outcomes[:, None] - fans, means, np.arange(n), QUANTILES
    )


def crps(outcomes, shifts, rows):
    return crps_of_errors((outcomes.scores - shifts)[rows], QUANTILES).mean()


def test_drift_that_is_noise_is_dropped_and_the_score_improves():
    outcomes = outcomes_of(slope=0.0)
    trackers = replay(outcomes)
    assert all(tracker.drift.slope < 0.06 for tracker in trackers.values())
    shifts = shifts_at_issue(trackers, outcomes)
    known = np.isfinite(shifts[:, 0])
    assert known.sum() > 1200
    own = replace(outcomes, means=np.zeros(len(outcomes)))  # offsets alone
    raw = crps(outcomes, 0.0, known)
    offsets_only = crps(outcomes, shifts_at_issue(replay(own), own), known)
    found = crps(outcomes, shifts, known)
    # A standard normal scores 1 / sqrt(pi), and one whose mean is off by .6 scores .10 more.
    assert found == pytest.approx(1 / np.sqrt(np.pi), abs=0.03)
    assert found < offsets_only - 0.04
    assert found < raw - 0.06


def test_drift_that_is_true_is_believed_once_there_are_outcomes_enough():
    outcomes = outcomes_of(slope=1.0)
    trackers = replay(outcomes)
    for tracker in trackers.values():
        slopes = tracker.drift.slopes_at(np.arange(len(outcomes)) * DAY)
        assert slopes[0] == 0.0
        assert slopes[20] < 0.75
        assert slopes[-1] == pytest.approx(1.0, abs=0.07)
    shifts = shifts_at_issue(trackers, outcomes)
    late = outcomes.issued > 500 * DAY
    assert crps(outcomes, shifts, late) == pytest.approx(crps(outcomes, 0.0, late), abs=0.01)


def test_the_slope_is_that_of_a_ridge_regression_through_the_origin():
    outcomes = outcomes_of(slope=0.5, n=400)
    (tracker, *_) = replay(outcomes).values()
    actual = outcomes.scores @ np.diff([0, *(QUANTILES[1:] + QUANTILES[:-1]) / 2, 1])
    m, y = outcomes.means, outcomes.means + actual
    assert tracker.drift.slope == pytest.approx((m @ y) / (m @ m + RIDGE * np.mean(y * y)))


@pytest.mark.parametrize(("slope", "kept"), [(-2.0, 0.0), (4.0, 1.0)])
def test_a_fan_keeps_between_none_and_all_of_its_drift(slope, kept):
    assert {t.drift.slope for t in replay(outcomes_of(slope=slope)).values()} == {kept}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 110))
def test_a_later_outcome_never_changes_an_earlier_slope(seed, cut):
    rng = np.random.default_rng(seed)
    issued = np.sort(rng.integers(0, 60, 120)) * DAY // 4
    resolved = issued + rng.integers(1, 30, 120) * DAY // 4
    order = np.argsort(resolved, kind="stable")
    issued, resolved = issued[order], resolved[order]
    means, actual = rng.normal(size=(2, 120))
    slopes = []
    for wild in (1.0, -9.0):
        tracker = DriftTracker()
        for moment in np.unique(resolved):
            rows = resolved == moment
            size = wild if moment > resolved[cut] else 1.0
            tracker.resolve(int(moment), issued[rows], means[rows], size * actual[rows])
        slopes.append(tracker.slopes_at(np.arange(0, resolved[cut] + 1, DAY // 4)))
    np.testing.assert_array_equal(*slopes)


def learned(*groups):
    """The sums after some groups of outcomes: moment, moment of issue, means and outcomes."""
    tracker = DriftTracker()
    for moment, issued, means, actual in groups:
        count = len(means)
        tracker.resolve(moment, np.full(count, issued), np.array(means), np.array(actual))
    return tracker.state


def test_steps_instruments_and_overlapping_forecasts_are_one_piece_of_evidence():
    one = learned((9 * DAY, 0, [0.5], [0.8]))
    assert one.products == pytest.approx(0.4)
    assert one.squares == pytest.approx(0.25)
    steps = [(n * DAY, 0, [0.5], [0.8]) for n in range(1, 25)]
    assert learned(*steps) == one
    assert learned((9 * DAY, 0, [0.5] * 50, [0.8] * 50)) == one
    overlapping = [(9 * DAY + n, n, [0.5], [0.8]) for n in range(1, 8)]
    assert learned((9 * DAY, 0, [0.5], [0.8]), *overlapping) == one
    # The next one was made when the first was known: evidence of its own.
    after = learned((9 * DAY, 0, [0.5], [0.8]), (18 * DAY, 9 * DAY, [0.5], [0.8]))
    assert after.squares == pytest.approx(0.5)
    same_day = learned((DAY // 8, 0, [0.5], [0.8]), (DAY // 4, DAY // 8, [0.5], [0.8]))
    assert same_day == one


def test_learning_goes_on_from_a_state():
    outcomes = outcomes_of(slope=1.0, n=600)
    whole = learned_state(replay(outcomes), QUANTILES)

    def part(rows):
        names = ("issued", "resolved", "scores", "means", "forecasts")
        return Outcomes(
            streams=outcomes.streams[rows],
            **{name: getattr(outcomes, name)[rows] for name in names},
            levels=QUANTILES,
        )

    first = learned_state(replay(part(outcomes.issued < 300 * DAY)), QUANTILES)
    both = learned_state(replay(outcomes, start=first.streams), QUANTILES)
    for stream, entry in whole.streams.items():
        assert 0 < first.streams[stream].drift.squares < entry.drift.squares
        assert both.streams[stream].drift.slope == pytest.approx(entry.drift.slope, abs=1e-5)


def state_of(slope, *, offsets=0.0):
    drift = None if slope is None else DriftState(slope, 3.0, 9.0)
    entry = StreamState(np.full(15, offsets), 500, pd.Timestamp("2019-08-01", tz="UTC"), drift)
    streams = {Stream("bundled", REVISION, "crypto", "30m", b): entry for b in (1, 3, 6, 12, 24)}
    return CalibrationState(QUANTILES, streams, learned_from="made up")


def mean_of(forecast):
    """(H,) mean log-returns by the quantiles that a store has."""
    return fan_means(np.log(forecast.quantile(QUANTILES) / forecast.last_close).T, QUANTILES)


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0])
def test_a_calibrated_fan_keeps_its_share_of_the_mean_and_all_of_its_shape(simulate, slope):
    candles, forecast = simulate(n_paths=400)
    found = calibrate(forecast, candles, state_of(slope))
    np.testing.assert_allclose(mean_of(found), slope * mean_of(forecast), atol=1e-12)
    assert np.abs(mean_of(forecast)).max() > 1e-4
    moved = np.log(found.column("close") / forecast.column("close"))
    np.testing.assert_allclose(np.ptp(moved, axis=0), 0, atol=1e-12)
    assert found.drift_shares == (slope,) * 24
    assert f"keeps {100 * slope:.0f}% of the model's drift" in (
        calibration_status(state_of(slope), forecast, candles).words
    )


def test_offsets_act_on_the_fan_without_its_drift(simulate):
    candles, forecast = simulate(n_paths=400)
    up = calibrate(forecast, candles, state_of(0.0, offsets=0.3))
    level = calibrate(forecast, candles, state_of(0.0))
    share = mean_of(up) / np.sqrt(np.arange(1, 25))
    np.testing.assert_allclose(share, share[0], rtol=1e-6)
    np.testing.assert_allclose(mean_of(level), 0, atol=1e-12)
    assert share[0] > 0


def test_files_say_how_much_of_the_drift_is_there(simulate, tmp_path):
    candles, forecast = simulate()
    found = calibrate(forecast, candles, state_of(0.25))
    assert '"drift_shares": [\n    0.25,' in forecast_json(candles, found)
    assert "drift_shares" not in forecast_json(candles, forecast)
    save_forecast(found, tmp_path / "found")
    assert load_forecast(tmp_path / "found").drift_shares == (0.25,) * 24


def test_a_calibration_from_before_drift_was_learned_loads_and_its_fans_stay(simulate, tmp_path):
    candles, forecast = simulate(n_paths=400)
    before = state_of(None, offsets=0.1)
    before.save(tmp_path / "calibration.json")
    assert '"format": 1' in (tmp_path / "calibration.json").read_text()
    assert "drift" not in (tmp_path / "calibration.json").read_text()
    again = CalibrationState.load(tmp_path / "calibration.json")
    assert again.digest == before.digest
    found = calibrate(forecast, candles, again)
    kept = calibrate(forecast, candles, state_of(1.0, offsets=0.1))
    np.testing.assert_array_equal(found.paths, kept.paths)
    assert found.drift_shares is None
    assert "drift" not in calibration_status(again, forecast, candles).words
    # What is learned next starts with no belief.
    stream = Stream("bundled", "r1", "crypto", "1d", 1)
    (entry, *_) = before.streams.values()
    start = {stream: replace(entry, latest=pd.Timestamp(0, tz="UTC"))}
    tracker = replay(outcomes_of(slope=1.0, n=300), start=start)[stream]
    assert tracker.drift.slopes_at(np.array([0])) == 0.0
    assert tracker.drift.slope > 0.8


@pytest.mark.parametrize("drift", [{"slope": 1.5}, {"slope": float("nan")}, {"squares": -1}, None])
def test_a_drift_that_cannot_be_is_refused(drift, tmp_path):
    file = tmp_path / "calibration.json"
    state_of(0.5).save(file)
    facts = json.loads(file.read_text())
    row = facts["streams"][0]
    row["drift"] = drift if drift is None else row["drift"] | drift
    file.write_text(json.dumps(facts))
    with pytest.raises(InvalidRequest, match="no calibration that can be read"):
        CalibrationState.load(file)


def test_the_mean_of_the_record_is_that_of_the_fan_to_be_calibrated(tmp_path):
    candles = make_candles(200, interval="1d", begin="2024-03-01")
    forecast = make_forecast(candles, 150, horizon=3, seed=4, model="ewma")
    with Store(str(tmp_path / "store.sqlite3")) as store:
        store.save(forecast, candles, paths="none")
        score_candles(store, candles)
        outcomes = read_outcomes(store, cut_off)
    sigma = (mean_of(forecast) / outcomes.means) / np.sqrt([1, 2, 3])
    np.testing.assert_allclose(sigma, sigma[0])


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ([0.0, 0.0], "0% of the model's drift"),
        ([0.004, 0.126], "0% to 13% of the model's drift"),
        ([1.0], "100% of the model's drift"),
    ],
)
def test_the_share_is_said_in_words(kept, words):
    assert drift_words(kept) == words
