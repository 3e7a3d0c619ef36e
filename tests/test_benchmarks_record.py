"""The commands behind the Track record: ties are ties, gains are gains, scores are of the fans."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import card_record, claims
from kronos.evaluation.cone import cone_scale
from kronos.evaluation.evidence import evidence
from kronos.evaluation.scores import fair_crps


@pytest.mark.parametrize("case", claims.TIES)
def test_in_a_tie_neither_gains(case):
    seeds = np.random.SeedSequence(3).spawn(60)
    sums = [claims.simulated(case, 10, np.random.default_rng(s))["gain"].mean() for s in seeds]
    assert abs(np.mean(sums)) < 3.5 * np.std(sums) / np.sqrt(len(sums))


def test_a_gain_is_as_large_as_it_is_called():
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    spread = claims.spread_of(0.03)
    scores = [claims.expected_score(float(np.exp(spread * node))) for node in nodes]
    assert 1 - claims.expected_score(1.0) / (weights @ scores / weights.sum()) == pytest.approx(
        0.03, abs=1e-4
    )
    assert claims.expected_score(claims.equal_width(0.75)) == pytest.approx(
        claims.expected_score(0.75)
    )


def test_a_watched_record_has_a_look_after_every_block():
    pairs = claims.simulated(0.05, 30, np.random.default_rng(0))
    seen = claims.watch(pairs)
    n = len(evidence(pairs).times)
    assert len(seen.claimed) == len(seen.above) == n >= 30
    assert not seen.above[: claims.FIRST_LOOK - 1].any()
    assert (np.diff(seen.claimed.astype(int)) >= 0).all()
    report = claims.tables(2, 12)
    assert report.count("| tie, ") == len(claims.TIES)
    assert report.count("| gain of ") == 2 * len(claims.GAINS)


def test_the_scores_of_a_window_are_those_of_fan_and_cone():
    rng = np.random.default_rng(1)
    scale = cone_scale(0.01, 24)
    paths = np.cumsum(0.01 * rng.normal(size=(100, 24)), axis=1)
    actual = np.cumsum(0.01 * rng.normal(size=24))
    found = card_record.more_scores(np.arange(24), actual, paths, scale)
    np.testing.assert_allclose(found["bundled_crps"], fair_crps(actual, paths) / scale)
    density = stats.norm.logpdf(actual / scale)
    np.testing.assert_allclose(found["ewma_log_score"], -density)
    # The fan draws from the cone: both score about alike, in the same units.
    assert np.abs(found["bundled_log_score"] + density).mean() < 0.5
    assert (np.abs(found["gain"]) <= found["bound"] + 1e-12).all()
    assert found["ewma_qlike"][0] == pytest.approx(found["bundled_qlike"][0], abs=0.2)
    still = card_record.more_scores(np.arange(24), np.zeros(24), paths, scale)
    assert np.isnan(still["ewma_qlike"]).all()
