"""Scores of single forecasts against what their definitions say."""

import numpy as np
import pytest

from kronos.errors import InvalidRequest
from kronos.evaluation.scores import LEVELS, energy_score, score_steps

LEVELS_OF = np.array(LEVELS)
RNG = np.random.default_rng(5)
PATHS = RNG.normal(0, [1.0, 2.0, 3.0, 4.0], (80, 4))
ACTUAL = np.array([0.3, -1.0, 9.0, -2.0])
QUANTILES = np.quantile(PATHS, LEVELS, axis=0).T


@pytest.fixture(scope="module")
def scores():
    return score_steps(ACTUAL, QUANTILES, LEVELS_OF, PATHS)


def test_the_crps_is_the_fair_one_of_the_paths(scores):
    distance = np.abs(PATHS - ACTUAL).mean(axis=0)
    spread = np.abs(PATHS[:, None] - PATHS[None]).sum(axis=(0, 1)) / (80 * 79)
    np.testing.assert_allclose(scores.crps, distance - spread / 2)
    assert scores.crps_estimator == "fair"


def test_pinball_and_interval_score_by_hand():
    levels, quantiles = np.array([0.1, 0.5, 0.9]), np.array([[-1.0, 0.5, 2.0]])
    scores = score_steps(np.array([3.0]), quantiles, levels)
    losses = [0.1 * 4.0, 0.5 * 2.5, 0.9 * 1.0]
    assert scores.pinball == pytest.approx(np.mean(losses))
    band = 3.0 + 2 / 0.2 * 1.0
    assert scores.interval_score == pytest.approx((0.5 * 2.5 + 0.1 * band) / 1.5)
    assert (scores.inside, scores.width, scores.absolute_error) == (0, 3.0, 2.5)


def test_the_crps_of_quantiles_comes_near_that_of_the_paths():
    normal = RNG.normal(size=(20_000, 200))
    actual = RNG.normal(size=200)
    quantiles = np.quantile(normal, LEVELS, axis=0).T
    exact = score_steps(actual, quantiles, LEVELS_OF, normal)
    rough = score_steps(actual, quantiles, LEVELS_OF)
    assert rough.crps_estimator == "quantiles"
    assert rough.crps.mean() == pytest.approx(exact.crps.mean(), rel=0.03)
    np.testing.assert_allclose(rough.pit, exact.pit, atol=0.02)


def test_the_band_holds_what_lies_between_its_ends_and_on_them():
    paths = np.linspace(-1, 1, 101)[:, None] * np.ones(5)
    quantiles = np.quantile(paths, LEVELS, axis=0).T
    actual = np.array([quantiles[0, 2], -0.81, 0.0, quantiles[0, -3], 0.81])
    scores = score_steps(actual, quantiles, LEVELS_OF, paths)
    assert scores.inside.tolist() == [1, 0, 1, 1, 0]
    np.testing.assert_allclose(scores.width, 1.6)


def test_the_pit_of_a_calibrated_forecast_is_uniform_and_never_0_or_1():
    paths, actual = RNG.normal(size=(50, 4000)), RNG.normal(size=4000)
    quantiles = np.quantile(paths, LEVELS, axis=0).T
    pit = score_steps(actual, quantiles, LEVELS_OF, paths).pit
    assert 0 < pit.min() < pit.max() < 1
    counts = np.histogram(pit, np.linspace(0, 1, 6))[0] / 4000
    np.testing.assert_allclose(counts, 0.2, atol=0.03)
    tied = score_steps(np.zeros(1), np.zeros((1, 15)), LEVELS_OF, np.zeros((9, 1)))
    assert tied.pit == 0.5


def test_direction_is_the_sign_of_the_median_where_there_is_one():
    quantiles = np.array([[-1, 1, 2], [-1, 1, 2], [-2, 0, 2], [-2, -1, 0]], float)
    scores = score_steps(np.array([0.5, -0.5, 0.5, 0.0]), quantiles, np.array([0.1, 0.5, 0.9]))
    np.testing.assert_array_equal(scores.direction, [1, 0, np.nan, np.nan])


def test_one_path_is_scored_as_a_point():
    path = np.array([[0.1, 0.2]])
    quantiles = np.repeat(path.T, 15, axis=1)
    scores = score_steps(np.array([0.3, 0.1]), quantiles, LEVELS_OF, path)
    np.testing.assert_allclose(scores.crps, [0.2, 0.1])
    assert scores.crps_estimator == "point"
    assert energy_score(np.array([0.3, 0.1]), path) == pytest.approx(np.hypot(0.2, 0.1))


def test_the_energy_score_is_fair_and_of_one_step_the_crps(scores):
    few, many = RNG.normal(size=(400, 6, 3)), RNG.normal(size=(400, 200, 3))
    actual = RNG.normal(size=(400, 3))
    small = np.mean([energy_score(a, p) for a, p in zip(actual, few, strict=True)])
    large = np.mean([energy_score(a, p) for a, p in zip(actual, many, strict=True)])
    assert small == pytest.approx(large, abs=0.04)
    single = energy_score(ACTUAL[:1], PATHS[:, :1])
    assert single == pytest.approx(scores.crps[0])


@pytest.mark.parametrize("levels", [[0.1, 0.9], [0.1, 0.5, 0.8], [0.2, 0.5, 0.8], [0.1, 0.2, 0.9]])
def test_levels_without_median_or_band_are_refused(levels):
    with pytest.raises(InvalidRequest, match="symmetric"):
        score_steps(np.zeros(1), np.zeros((1, len(levels))), np.array(levels))
