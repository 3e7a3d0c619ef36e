"""Scores against what their definitions say."""

import numpy as np
import pytest
from scipy import stats

from kronos.errors import InvalidCandles
from kronos.evaluation.cone import cone_scale, ewma_volatility
from kronos.evaluation.scores import fair_crps, log_score, qlike, score_cone, score_paths
from kronos.evaluation.significance import paired_change


def test_ewma_volatility_of_constant_moves_is_the_move():
    closes = 100 * np.exp(0.01 * np.cumsum(np.tile([1, -1], 60)))
    assert ewma_volatility(closes) == pytest.approx(0.01)


def test_ewma_volatility_forgets():
    rng = np.random.default_rng(0)
    returns = np.r_[rng.normal(0, 0.05, 200), rng.normal(0, 0.01, 200)]
    assert ewma_volatility(np.exp(np.cumsum(returns))) == pytest.approx(0.01, rel=0.3)


def test_volatility_needs_history():
    with pytest.raises(InvalidCandles, match="needs 21 closes, found 5"):
        ewma_volatility(np.ones(5))


def test_cone_widens_with_the_square_root_of_time():
    np.testing.assert_allclose(cone_scale(0.02, 4), [0.02, 0.02 * 2**0.5, 0.02 * 3**0.5, 0.04])


def test_the_fair_crps_compares_every_path_with_every_other():
    rng = np.random.default_rng(2)
    for n in (2, 3, 50):
        actual, paths = rng.normal(size=7), rng.standard_t(3, (n, 7))
        pairs = np.abs(paths[:, None] - paths[None]).sum(axis=(0, 1)) / (n * (n - 1))
        expected = np.abs(paths - actual).mean(axis=0) - pairs / 2
        np.testing.assert_allclose(fair_crps(actual, paths), expected, rtol=1e-9, atol=1e-12)


def test_paths_from_the_cone_score_like_the_cone():
    """The sampled and the closed-form scores agree, and neither depends on the scale."""
    rng = np.random.default_rng(1)
    for sigma in (0.001, 0.5):
        scale = cone_scale(sigma, 6)
        actual = rng.normal(size=6) * scale
        sampled = score_paths(actual, rng.normal(size=(20_000, 6)) * scale, scale)
        exact = score_cone(actual, scale)
        np.testing.assert_allclose(sampled.crps, exact.crps, atol=0.02)
        np.testing.assert_allclose(sampled.width, exact.width, rtol=0.05)
        assert (sampled.inside == exact.inside).mean() >= 5 / 6


def test_crps_is_fair_to_small_ensembles():
    """The mean score of few paths equals that of many, in expectation."""
    rng = np.random.default_rng(2)
    scale = np.ones(4000)
    actual = rng.normal(size=4000)
    few = score_paths(actual, rng.normal(size=(5, 4000)), scale).crps.mean()
    many = score_paths(actual, rng.normal(size=(200, 4000)), scale).crps.mean()
    assert few == pytest.approx(many, abs=0.03)


def test_crps_is_the_fair_estimator():
    rng = np.random.default_rng(3)
    paths, actual = rng.normal(size=(7, 4)), rng.normal(size=4)
    pairs = np.abs(paths[:, None] - paths[None]).sum((0, 1)) / (7 * 6)
    expected = np.abs(paths - actual).mean(0) - pairs / 2
    np.testing.assert_allclose(score_paths(actual, paths, np.ones(4)).crps, expected)


def test_outcomes_inside_the_band_are_counted():
    paths = np.linspace(-1, 1, 101)[:, None] * np.ones(3)
    scores = score_paths(np.array([0.0, 0.79, 0.81]), paths, np.ones(3))
    assert scores.inside.tolist() == [True, True, False]
    np.testing.assert_allclose(scores.width, 1.6)


def test_a_paired_change_has_the_interval_of_its_pairs():
    """Windows differ far more than the two models: only pairs show which one is better."""
    rng = np.random.default_rng(0)
    before = rng.lognormal(0, 0.5, 200)
    better = before * rng.normal(0.95, 0.05, 200)
    found = paired_change(better, before, block=2)
    assert found["change"] == pytest.approx(better.mean() / before.mean() - 1)
    assert -0.07 < found["change_low"] < found["change"] < found["change_high"] < -0.03
    same = paired_change(before * rng.normal(1.0, 0.05, 200), before, block=2)
    assert same["change_low"] < 0 < same["change_high"]
    assert set(paired_change(better[:9], before[:9], block=2)) == {"change"}


def test_the_log_score_of_many_samples_is_that_of_their_distribution():
    rng = np.random.default_rng(5)
    paths, actual = rng.normal(size=(3000, 400)), rng.normal(size=400)
    found = log_score(actual, paths)
    exact = -stats.norm.logpdf(actual)
    assert np.mean(found - exact) == pytest.approx(0.0, abs=0.02)
    # A wrong width costs what it should.
    wide = np.mean(log_score(actual, 1.5 * paths) - found)
    lost = np.mean(-stats.norm.logpdf(actual, scale=1.5) - exact)
    assert wide == pytest.approx(lost, abs=0.03)


def test_the_log_score_by_its_formula_and_in_other_units():
    paths = np.array([-1.0, 0.0, 0.5, 2.0])[:, None]
    spread = min(np.std(paths, ddof=1), np.subtract(*np.quantile(paths, [0.75, 0.25])) / 1.349)
    kernels = stats.norm.pdf(0.3, paths, 0.9 * spread * 4**-0.2).sum()
    low, median, high = np.quantile(paths, [0.25, 0.5, 0.75])
    wide = stats.cauchy.pdf(0.3, median, (high - low) / 2)
    found = log_score(np.array([0.3]), paths)
    assert found == pytest.approx(-np.log((kernels + wide) / 5))
    assert log_score(np.array([3.0]), 10 * paths) == pytest.approx(found + np.log(10))


def test_one_outcome_beyond_all_samples_costs_no_more_than_a_fat_tail():
    paths = np.random.default_rng(6).normal(size=(30, 1))
    assert 5 < log_score(np.array([40.0]), paths)[0] < 15


def test_samples_that_are_few_or_alike_have_no_log_score():
    assert np.isnan(log_score(np.zeros(2), np.array([[0.0, 1.0], [1.0, 2.0]]))).all()
    assert np.isnan(log_score(np.zeros(1), np.ones((50, 1)))).all()


def test_qlike_is_least_for_the_variance_that_happens():
    rng = np.random.default_rng(7)
    paths = np.cumsum(rng.normal(size=(4000, 12)), axis=1)
    outcomes = np.cumsum(rng.normal(size=(400, 12)), axis=1)
    losses = [
        np.mean([qlike(actual, factor * paths) for actual in outcomes])
        for factor in (0.8, 1.0, 1.25)
    ]
    assert losses[1] == min(losses)
    # By hand: squares of 1, 2 against paths whose squares sum to 10 on average.
    found = qlike(np.array([1.0, 3.0]), np.array([[1.0, 4.0], [3.0, 2.0]]))
    assert found == pytest.approx(0.5 - np.log(0.5) - 1)
    assert np.isnan(qlike(np.zeros(3), paths[:, :3]))
    assert np.isnan(qlike(np.ones(3), np.zeros((5, 3))))
