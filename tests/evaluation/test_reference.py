"""Scores against those of scoringrules, a library that compiles for ten seconds when imported."""

import numpy as np
import pytest

from kronos.evaluation.scores import (
    LEVELS,
    energy_score,
    fair_crps,
    score_cone,
    score_steps,
    variogram_score,
)

pytestmark = pytest.mark.slow
LEVELS_OF = np.array(LEVELS)
MIDDLE = len(LEVELS) // 2


@pytest.fixture(scope="module")
def reference():
    import scoringrules

    return scoringrules


@pytest.mark.parametrize("n", [2, 3, 50, 101])
def test_the_crps_is_the_fair_one(reference, n):
    rng = np.random.default_rng(n)
    actual, paths = rng.normal(size=7), rng.standard_t(3, (n, 7))
    wanted = reference.crps_ensemble(actual, paths.T, estimator="fair")
    np.testing.assert_allclose(fair_crps(actual, paths), wanted, rtol=1e-9, atol=1e-12)


def test_the_cone_is_scored_in_closed_form(reference):
    rng = np.random.default_rng(4)
    actual, scale = rng.normal(size=50), rng.uniform(0.1, 3.0, 50)
    expected = reference.crps_normal(actual, 0.0, scale) / scale
    np.testing.assert_allclose(score_cone(actual, scale).crps, expected, rtol=1e-9, atol=1e-12)


def test_quantiles_have_its_pinball_losses_and_its_weighted_interval_score(reference):
    rng = np.random.default_rng(5)
    actual = 2 * rng.normal(size=40)
    quantiles = np.sort(rng.normal(size=(40, len(LEVELS))), axis=1)
    found = score_steps(actual, quantiles, LEVELS_OF)
    losses = reference.quantile_score(actual[:, None], quantiles, LEVELS_OF)
    np.testing.assert_allclose(found.pinball, losses.mean(axis=1))
    wanted = reference.weighted_interval_score(
        actual,
        quantiles[:, MIDDLE],
        quantiles[:, :MIDDLE],
        quantiles[:, :MIDDLE:-1],
        2 * LEVELS_OF[:MIDDLE],
    )
    np.testing.assert_allclose(found.interval_score, wanted)


def test_the_energy_score_is_its_own_with_pairs_counted_fairly(reference):
    rng = np.random.default_rng(6)
    for n in (2, 30):
        actual, paths = rng.normal(size=5), rng.normal(size=(n, 5))
        distance = np.linalg.norm(paths - actual, axis=1).mean()
        biased = distance - float(reference.es_ensemble(actual, paths))
        assert energy_score(actual, paths) == pytest.approx(distance - biased * n / (n - 1))


def test_the_variogram_score_is_the_mean_over_pairs(reference):
    rng = np.random.default_rng(7)
    actual, paths = rng.normal(size=4), rng.normal(size=(30, 4))
    # The library sums over ordered pairs, of which there are 4 * 3.
    wanted = float(reference.vs_ensemble(actual, paths, p=0.5)) / 12
    assert variogram_score(actual, paths) == pytest.approx(wanted)
