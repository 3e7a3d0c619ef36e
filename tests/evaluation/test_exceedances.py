"""Tests of a value at risk, against closed forms and simulation."""

import numpy as np
import pytest
from scipy.stats import binom, chi2

from kronos.errors import InvalidRequest
from kronos.evaluation.exceedances import exceedance_tests


def test_the_count_is_tested_by_a_ratio_of_binomials() -> None:
    hits = np.zeros(250, bool)
    hits[[10, 60, 90, 120, 150, 180, 200, 230]] = True
    found = exceedance_tests(hits, 0.01)
    ratio = 2 * (binom.logpmf(8, 250, 8 / 250) - binom.logpmf(8, 250, 0.01))
    assert found.p_count == pytest.approx(chi2.sf(ratio, 1))
    assert (found.n, found.exceeded, found.expected) == (250, 8, 2.5)
    # Kupiec 1995, table of non-rejection: 8 of 250 refuses 99%, 6 does not.
    assert found.p_count < 0.05
    hits[[10, 60]] = False
    assert exceedance_tests(hits, 0.01).p_count > 0.05


def test_clusters_are_seen_and_the_right_count_is_not_blamed() -> None:
    spread, clustered = np.zeros(400, bool), np.zeros(400, bool)
    spread[::20] = True
    clustered[100:110] = clustered[300:310] = True
    assert exceedance_tests(clustered, 0.05).p_count == pytest.approx(1.0)
    assert exceedance_tests(clustered, 0.05).p_independence < 1e-6
    assert exceedance_tests(clustered, 0.05).p_both < 1e-6
    assert exceedance_tests(spread, 0.05).p_independence > 0.05


def test_a_right_forecaster_is_refused_in_one_case_of_twenty() -> None:
    rng = np.random.default_rng(0)
    found = [exceedance_tests(rng.random(1000) < 0.05, 0.05) for _ in range(1000)]
    for name in ("p_count", "p_independence", "p_both"):
        refused = np.mean([getattr(each, name) < 0.05 for each in found])
        assert 0.03 < refused < 0.08, name


def test_no_exceedance_says_nothing_of_independence() -> None:
    found = exceedance_tests(np.zeros(300, bool), 0.05)
    assert found.p_count < 1e-6
    assert np.isnan(found.p_independence)
    assert np.isnan(found.p_both)


def test_too_few_forecasts_and_shares_out_of_range_are_refused() -> None:
    for hits, share in ((np.zeros(1, bool), 0.05), (np.zeros(9, bool), 1.0)):
        with pytest.raises(InvalidRequest, match="2 forecasts or more"):
            exceedance_tests(hits, share)
