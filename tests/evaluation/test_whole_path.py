"""The number of closes inside the band is judged by the fan's own paths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.evaluation.whole_path import count_inside


def walks(n, horizon, seed):
    steps = np.random.default_rng(seed).normal(0, 0.01, (n, horizon))
    return 100.0 * np.exp(np.cumsum(steps, axis=1))


@settings(max_examples=40)
@given(n=st.integers(3, 40), horizon=st.integers(1, 12), seed=st.integers(0, 99))
def test_every_path_is_counted_in_the_band_of_all_others(n, horizon, seed):
    paths = walks(n, horizon, seed)
    counts = []
    for i in range(n):
        low, high = np.quantile(np.delete(paths, i, axis=0), (0.1, 0.9), axis=0)
        counts.append(int(((paths[i] >= low) & (paths[i] <= high)).sum()))
    found = count_inside(paths, paths[0])
    assert found.expected == pytest.approx(np.mean(counts))
    assert min(counts) <= found.low <= found.high <= max(counts)


def test_neighbouring_bars_make_the_plausible_range_wide():
    walk = count_inside(walks(400, 60, 0), walks(1, 60, 1)[0])
    rng = np.random.default_rng(2)
    apart = count_inside(rng.normal(100, 1, (400, 60)), rng.normal(100, 1, 60))
    assert walk.n_known == apart.n_known == 60
    # Independent closes: 47.8 expected, a binomial 95% of about 41 to 54. A walk: far wider.
    assert 40 <= apart.low <= 43
    assert 52 <= apart.high <= 55
    assert walk.low < 20
    assert walk.high == 60


def test_outcomes_from_the_same_law_are_plausible_in_about_the_promised_share():
    paths = walks(300, 40, 5)
    inside = [count_inside(paths, other).is_plausible for other in walks(600, 40, 6)]
    assert 0.92 < np.mean(inside) < 0.99


def test_an_outcome_far_away_is_not_plausible():
    paths = np.random.default_rng(0).normal(100, 1, (200, 30))
    found = count_inside(paths, np.full(30, 120.0))
    assert (found.n_inside, found.is_plausible, found.can_judge) == (0, False, True)


def test_bars_that_are_not_known_do_not_count():
    actual = np.full(10, np.nan)
    paths = walks(50, 10, 1)
    assert count_inside(paths, actual) is None
    assert count_inside(paths[:2], paths[0]) is None
    actual[3] = 100.0
    found = count_inside(paths, actual)
    assert (found.n_known, found.n_inside) == (1, 1)
    assert not found.can_judge  # of one bar in or out, both are plausible
