"""Laws of the tracker, on simulated streams whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.calibration.state import ETA, DriftState, StreamState
from kronos.calibration.tracker import LOCATION, QuantileTracker
from kronos.errors import InvalidRequest

LEVELS = np.array([0.1, 0.5, 0.9])
Z = np.array([-1.2816, 0.0, 1.2816])


def stream(n, *, seed, delay=1, narrow=0.45):
    """Outcomes of a fan that is far too narrow, in regimes: scores (n, 3), issued, resolved."""
    rng = np.random.default_rng(seed)
    sigma = np.where((np.arange(n) // 700) % 2, 1.6, 1.0)
    y = sigma * rng.standard_t(5, n) / np.sqrt(5 / 3)
    moments = np.arange(n) * 10
    return y[:, None] - narrow * Z, moments, moments + 10 * delay + 1


def run(tracker, scores, issued, resolved):
    for i in range(len(scores)):
        tracker.resolve(
            int(resolved[i]),
            issued[i : i + 1],
            scores[i : i + 1],
            np.zeros(1),
            np.array([i]),
            np.array([i]),
        )
    return tracker


@pytest.mark.parametrize("delay", [1, 24])
def test_long_run_coverage_is_the_nominal_one_through_regimes_and_late_outcomes(delay):
    scores, issued, resolved = stream(6000, seed=4, delay=delay)
    tracker = run(QuantileTracker(LEVELS), scores, issued, resolved)
    shown = tracker.offsets_at(issued)
    known = np.isfinite(shown[:, 0])
    below = (scores <= shown)[known].mean(axis=0)
    assert known.sum() > 5700
    assert (scores <= 0)[known].mean(axis=0)[0] > 0.2  # the raw fan is far off
    np.testing.assert_allclose(below, LEVELS, atol=0.012)


def test_errors_of_the_shown_fan_add_up_to_the_way_of_the_offsets():
    scores, issued, resolved = stream(900, seed=1)
    tracker = run(QuantileTracker(LEVELS, warm=100), scores, issued, resolved)
    first = tracker.offsets_at(resolved[99:100])
    in_force = np.where(issued[100:, None] < resolved[99], first, tracker.offsets_at(issued[100:]))
    errors = LEVELS - (scores[100:] <= in_force)
    way = (tracker.offsets - first)[0]
    # Its widening at one pace, its moving at another.
    wider, moved = (way - way[::-1]) / 2, (way + way[::-1]) / 2
    total = errors.sum(axis=0)
    np.testing.assert_allclose(wider, ETA * (total - total[::-1]) / 2, atol=1e-12)
    np.testing.assert_allclose(moved, ETA * LOCATION * (total + total[::-1]) / 2, atol=1e-12)


def test_the_burn_in_gives_the_split_conformal_quantiles_drawn_towards_none():
    scores = np.arange(1.0, 100.0)[:, None] * [1, 2, 3]
    tracker = QuantileTracker(LEVELS, warm=99)
    for i in range(98):
        number = np.array([i])
        tracker.resolve(5 + i, number % 30, scores[i : i + 1], np.zeros(1), number, number)
    assert np.isnan(tracker.offsets).all()
    tracker.resolve(200, np.zeros(1), scores[98:], np.zeros(1), np.array([98]), np.array([98]))
    # The 10th, 50th and 90th of 99 are 10, 100 and 270: 130 wider to either side, and 140 higher
    # (the median 100), of which a quarter counts; all believed as far as 99 days go.
    np.testing.assert_allclose(tracker.offsets, np.array([35 - 130, 25, 35 + 130]) * 99 / 149)


def test_a_fan_that_lies_too_low_is_moved_in_the_long_run():
    scores, issued, resolved = stream(6000, seed=9, narrow=1.0)
    scores += 0.3
    tracker = run(QuantileTracker(LEVELS), scores, issued, resolved)
    late = issued > issued[2000]
    below = (scores <= tracker.offsets_at(issued))[late].mean(axis=0)
    assert (scores <= 0)[late].mean(axis=0)[1] < 0.43
    np.testing.assert_allclose(below, LEVELS, atol=0.012)


def test_levels_without_a_mirror_image_are_refused():
    with pytest.raises(InvalidRequest, match=r"found 0\.1, 0\.5"):
        QuantileTracker(np.array([0.1, 0.5]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(40, 120))
def test_a_later_outcome_never_changes_an_earlier_offset(seed, cut):
    scores, issued, resolved = stream(160, seed=seed, delay=7)
    other = scores.copy()
    other[cut:] = np.random.default_rng(seed).normal(0, 9, other[cut:].shape)
    one, two = (run(QuantileTracker(LEVELS, warm=30), s, issued, resolved) for s in (scores, other))
    early = np.arange(0, resolved[cut])
    np.testing.assert_array_equal(one.offsets_at(early), two.offsets_at(early))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_within_a_moment_does_not_matter(seed, random):
    rng = np.random.default_rng(seed)
    one, two = QuantileTracker(LEVELS, warm=10), QuantileTracker(LEVELS, warm=10)
    for moment in range(1, 30):
        scores, issued = rng.normal(size=(6, 3)), rng.integers(0, moment, 6)
        order = random.sample(range(6), 6)
        forecasts = rng.integers(0, 100, 6)
        means = rng.normal(size=6)
        one.resolve(moment, issued, scores, means, forecasts, issued)
        two.resolve(
            moment, issued[order], scores[order], means[order], forecasts[order], issued[order]
        )
    np.testing.assert_allclose(one.offsets, two.offsets, atol=1e-12)
    assert one.drift.slope == pytest.approx(two.drift.slope, abs=1e-12)


def test_one_days_outcomes_are_no_burn_in_however_many():
    tracker = QuantileTracker(LEVELS, warm=50, warm_days=3)
    for day in (1, 2):
        many = np.full(500, day)
        tracker.resolve(day, many - 1, np.zeros((500, 3)), np.zeros(500), np.arange(500), many)
        assert not tracker.is_warm
    tracker.resolve(3, np.array([2]), np.zeros((1, 3)), np.zeros(1), np.array([7]), np.array([3]))
    assert tracker.is_warm


def test_the_steps_of_one_forecast_are_one_forecast_of_the_burn_in():
    tracker = QuantileTracker(LEVELS, warm=10, warm_days=1)
    for moment in range(1, 100):
        tracker.resolve(
            moment, np.array([0]), np.zeros((1, 3)), np.zeros(1), np.array([3]), np.array([moment])
        )
    assert not tracker.is_warm


def test_many_outcomes_of_one_moment_move_the_offsets_as_far_as_one():
    start = StreamState(np.zeros(3), 500, pd.Timestamp(0, tz="UTC"), DriftState())
    one, many = QuantileTracker(LEVELS, start=start), QuantileTracker(LEVELS, start=start)
    one.resolve(9, np.array([3]), np.full((1, 3), 5.0), np.zeros(1), np.array([0]), np.array([0]))
    many.resolve(
        9, np.full(50, 3), np.full((50, 3), 5.0), np.zeros(50), np.arange(50), np.zeros(50)
    )
    expected = ETA * (LEVELS - 0.5 + LOCATION * 0.5)
    np.testing.assert_allclose(one.offsets, expected)
    np.testing.assert_allclose(many.offsets, expected)
    assert (one.n_outcomes, many.n_outcomes) == (501, 550)


def test_outcomes_out_of_order_are_refused():
    tracker = QuantileTracker(LEVELS)
    one = np.zeros((1, 3)), np.zeros(1), np.array([0]), np.array([0])
    tracker.resolve(10, np.array([1]), *one)
    with pytest.raises(InvalidRequest, match="order"):
        tracker.resolve(10, np.array([1]), *one)
    with pytest.raises(InvalidRequest, match="before its outcome"):
        tracker.resolve(11, np.array([11]), *one)
