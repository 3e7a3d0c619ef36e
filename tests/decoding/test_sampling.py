"""Filters compose, draws follow the probabilities, noise belongs to the path."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.decoding.sampling import RowFilters, draw
from kronos.forecast import SamplingParameters, path_uniforms


def filtered_probabilities(logits, **sampling):
    """`RowFilters.probabilities` with one setting for all rows (R, V)."""
    filters = RowFilters.of([SamplingParameters(**sampling)], logits.shape[-1])
    return filters.probabilities(logits)


@pytest.fixture
def logits():
    return torch.randn(6, 50, generator=torch.Generator().manual_seed(1)) * 2


def test_temperature_zero_is_greedy(logits):
    probabilities = filtered_probabilities(logits, T=0.0, top_k=5, top_p=0.3)
    assert torch.equal(probabilities.argmax(-1), logits.argmax(-1))
    assert torch.equal(probabilities.sum(-1), torch.ones(6))
    assert (probabilities > 0).sum() == 6


def test_low_temperature_approaches_greedy(logits):
    cold = filtered_probabilities(logits, T=1e-3)
    torch.testing.assert_close(cold, filtered_probabilities(logits, T=0.0), atol=1e-6, rtol=0)


def test_top_k_and_top_p_compose(logits):
    """Top-p works on what top-k left; upstream's top-k switched it off."""
    k_only = filtered_probabilities(logits, top_k=10)
    both = filtered_probabilities(logits, top_k=10, top_p=0.5)
    assert ((k_only > 0).sum(-1) == 10).all()
    assert ((both > 0).sum(-1) < 10).all()
    expected = filtered_probabilities(k_only.log(), top_p=0.5)
    torch.testing.assert_close(both, expected)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 1.0), st.integers(0, 60), st.floats(0.1, 5.0))
def test_filtered_probabilities_are_a_distribution_on_the_likeliest_tokens(top_p, top_k, T):
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(2))
    before = logits.clone()
    probabilities = filtered_probabilities(logits, T=T, top_k=top_k, top_p=top_p)
    assert torch.equal(logits, before)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3))
    kept = probabilities > 0
    for row, keep in zip(logits, kept, strict=True):
        assert keep[row.argmax()]
        assert not (~keep).any() or row[keep].min() >= row[~keep].max()


@given(st.floats(0, 1, exclude_max=True))
def test_a_draw_never_lands_on_a_removed_token(u):
    probabilities = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0])
    assert int(draw(probabilities, torch.tensor(u, dtype=torch.float64))) == (1 if u < 0.25 else 3)


def test_draws_have_the_given_frequencies():
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3])
    uniforms = torch.from_numpy(path_uniforms(7, 2000, 8).reshape(-1))
    ids = draw(probabilities.expand(len(uniforms), -1), uniforms)
    shares = torch.bincount(ids, minlength=4) / len(ids)
    # Five standard errors of a share estimated from 32,000 draws.
    assert (shares - probabilities).abs().max() < 5 * (0.25 / len(ids)) ** 0.5


def test_noise_of_a_path_depends_on_seed_and_path_alone():
    few, many = path_uniforms(5, 3, 10), path_uniforms(5, 40, 25)
    assert np.array_equal(few, many[:3, :10])
    assert not np.array_equal(few, path_uniforms(6, 3, 10))
    assert len(np.unique(many)) == many.size
