"""Moved paths: equal ranks, corrected quantiles, candles valid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.calibration.fan import move_paths, move_values
from kronos.errors import InvalidRequest

LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])


def candles(n_paths=200, horizon=5, seed=0):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n_paths, horizon)), axis=1))
    opens = close * np.exp(rng.normal(0, 0.004, close.shape))
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.997
    volume = rng.lognormal(3, 1, close.shape)
    return np.stack([opens, high, low, close, volume, volume * close], axis=-1)


def test_no_shift_changes_nothing():
    paths = candles()
    moved = move_paths(paths, 100.0, LEVELS, np.zeros((5, 7)))
    np.testing.assert_array_equal(moved, paths)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 3), st.integers(1, 60))
def test_candles_stay_valid_and_ranks_are_kept_whatever_the_shifts(seed, size, n_paths):
    paths = candles(n_paths, 3, seed)
    shifts = np.random.default_rng(seed).normal(0, size, (3, 7))
    moved = move_paths(paths, 100.0, LEVELS, shifts)
    opens, high, low, close = (moved[..., i] for i in range(4))
    assert (moved[..., :4] > 0).all()
    assert (high >= np.maximum(opens, close)).all()
    assert (low <= np.minimum(opens, close)).all()
    np.testing.assert_array_equal(moved[..., 4:], paths[..., 4:])
    order = np.argsort(paths[..., 3], axis=0)
    assert (np.diff(np.take_along_axis(close, order, axis=0), axis=0) >= -1e-9 * 100).all()


def test_a_bar_keeps_its_shape():
    paths = candles()
    moved = move_paths(paths, 100.0, LEVELS, np.tile(np.linspace(-0.02, 0.03, 7), (5, 1)))
    factor = moved[..., 3] / paths[..., 3]
    np.testing.assert_allclose(moved[..., :4], paths[..., :4] * factor[..., None], rtol=1e-12)
    assert np.ptp(factor) > 0.04


def test_quantiles_go_where_they_are_sent_and_tails_move_in_parallel():
    values = np.random.default_rng(1).normal(0, 1, 2001)
    shifts = np.array([-0.9, -0.6, -0.3, 0.1, 0.2, 0.5, 0.8])
    moved = move_values(values, LEVELS, shifts)
    wanted = np.quantile(values, LEVELS) + shifts
    np.testing.assert_allclose(np.quantile(moved, LEVELS), wanted, atol=0.01)
    assert moved.max() - values.max() == pytest.approx(0.8)
    assert moved.min() - values.min() == pytest.approx(-0.9)


def test_quantiles_that_would_cross_are_sorted():
    values = np.random.default_rng(2).normal(0, 1, 501)
    shifts = np.array([3.0, 0, 0, 0, 0, 0, -3.0])
    moved = move_values(values, LEVELS, shifts)
    assert (np.diff(moved[np.argsort(values)]) >= 0).all()


def test_equal_paths_stay_equal():
    moved = move_values(np.full(30, 0.5), LEVELS, np.linspace(-1, 1, 7))
    np.testing.assert_allclose(moved, 0.5)


def test_shifts_of_another_shape_are_refused():
    with pytest.raises(InvalidRequest, match="Shifts are"):
        move_paths(candles(), 100.0, LEVELS, np.zeros((4, 7)))
