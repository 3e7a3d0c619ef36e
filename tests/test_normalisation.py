"""Candles as tokenizers read them: the way back, units, and no look ahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.context import CLOSE, PRICES, Context
from kronos.errors import InvalidCandles
from kronos.normalisation import OUTLIER, ReturnScale, return_features

CLIP = 5.0


def bars(n=96, *, seed=0, sigma=0.01, gap=0.002, start=100.0):
    """(n, 6) candles of a random walk with gaps, wicks, volume and amount."""
    rng = np.random.default_rng(seed)
    opening = rng.normal(0, gap, n)
    close = np.cumsum(opening + rng.normal(0, sigma, n))
    opening = np.concatenate([[0.0], close[:-1]]) + opening
    high = np.maximum(opening, close) + rng.exponential(sigma / 3, n)
    low = np.minimum(opening, close) - rng.exponential(sigma / 3, n)
    prices = start * np.exp(np.column_stack([opening, high, low, close]))
    volume = rng.lognormal(8, 0.6, n)
    amount = volume * prices.mean(axis=1) * rng.lognormal(0, 0.01, n)
    return np.column_stack([prices, volume, amount])


def context(values):
    return Context(values, np.zeros((len(values), 5), np.int64))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), sigma=st.sampled_from([1e-5, 1e-3, 0.03]))
def test_what_is_read_of_later_bars_gives_them_back(seed, sigma):
    values = bars(seed=seed, sigma=sigma, gap=sigma / 5)
    features, _ = return_features(values[None], CLIP)
    read = ReturnScale(context(values[:64]), CLIP)
    np.testing.assert_allclose(read.z, features[0, :64], rtol=1e-12, atol=1e-12)
    paths, last = read.candles(np.repeat(features[:, 64:], 3, axis=0), np.zeros(6))
    np.testing.assert_allclose(paths, np.repeat(values[None, 64:], 3, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(last, values[63])


@settings(max_examples=40, deadline=None)
@given(bar=st.integers(33, 94), factor=st.floats(0.5, 2.0))
def test_no_bar_depends_on_a_later_one(bar, factor):
    values = bars()
    changed = values.copy()
    changed[bar + 1 :] *= factor
    before, after = (return_features(each[None], CLIP)[0][0] for each in (values, changed))
    np.testing.assert_array_equal(before[: bar + 1], after[: bar + 1])


@pytest.mark.parametrize("exponent", [-9, -4, 3, 6])
def test_the_units_of_price_and_volume_do_not_count(exponent):
    values = bars()
    scaled = values * 10.0 ** np.array([exponent] * 4 + [-exponent, exponent])
    before, after = (return_features(each[None], CLIP)[0] for each in (values, scaled))
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_moves_are_in_units_of_the_volatility_before_them():
    calm, wild = (
        return_features(bars(2000, sigma=s, gap=s / 5)[None], 9.0)[0] for s in (1e-4, 0.05)
    )
    np.testing.assert_allclose(np.sinh(calm[0, 100:, CLOSE]).std(), 1.0, atol=0.1)
    np.testing.assert_allclose(calm[..., PRICES], wild[..., PRICES], atol=1e-6)


def test_a_large_bar_widens_the_next_ones_of_its_path():
    read = ReturnScale(context(bars()), CLIP)
    z = np.zeros((2, 3, 6))
    z[0, 0, CLOSE] = np.arcsinh(OUTLIER)
    z[:, 1:, CLOSE] = 1.0
    closes = np.log(read.candles(z, np.zeros(6))[0][..., CLOSE])
    later = np.abs(np.diff(closes, axis=1))
    assert (later[0] > 1.3 * later[1]).all()


def test_bars_without_volume_have_none_later():
    values = bars()
    values[:, 4:] = 0.0
    read = ReturnScale(context(values), CLIP)
    assert not read.z[:, 4:].any()
    assert not read.candles(np.ones((2, 4, 6)), np.zeros(6))[0][..., 4:].any()


def test_a_series_that_stands_still_and_one_that_jumps_are_finite():
    still = np.full((64, 6), 5.0)
    jump = still.copy()
    jump[40:, PRICES] *= 1e6
    for values in (still, jump):
        read = ReturnScale(context(values), CLIP)
        paths, _ = read.candles(np.full((2, 24, 6), CLIP), np.zeros(6))
        assert np.isfinite(read.z).all()
        assert np.abs(read.z).max() <= CLIP
        assert np.isfinite(paths).all()


def test_prices_of_zero_are_refused():
    values = bars()
    values[7, 2] = 0.0
    with pytest.raises(InvalidCandles, match="row 7 of column 'low'"):
        ReturnScale(context(values), CLIP)


def test_one_series_has_the_features_that_it_has_among_others():
    """Training reads many at once, a forecast one: the numbers are the same to the last bit."""
    rng = np.random.default_rng(3)
    for n, silent in ((2, 0.0), (40, 0.4), (300, 1.0)):
        pair = np.stack([bars(n, seed=seed) for seed in (1, 2)])
        pair[..., 4:] *= rng.random((2, n, 1)) >= silent
        together, after = return_features(pair, CLIP)
        for i, one in enumerate(pair):
            alone, own = return_features(one[None], CLIP)
            assert np.array_equal(alone[0], together[i])
            for name in ("fast", "slow", "volume", "ratio", "close"):
                assert getattr(own, name)[0] == getattr(after, name)[i]
