"""Windows never normalise with their future, never repeat across ranks, always resume."""

import dataclasses

import numpy as np
import pytest
import torch

from kronos.errors import InvalidRequest
from kronos.training.windows import WindowPlan, WindowSampler

PLAN = WindowPlan(contexts=(32, 48), future=16, bars_per_batch=640)


def test_context_has_mean_zero_and_deviation_one(corpus):
    batch = WindowSampler(corpus, dataclasses.replace(PLAN, clip=1e9), seed=1).batch(0)
    context = batch.x[:, : batch.n_context]
    spoken = context[:, :, 4].abs().sum(1) > 0
    np.testing.assert_allclose(context.mean(1)[spoken], 0, atol=1e-4)
    np.testing.assert_allclose(context.std(1, correction=0)[spoken], 1, atol=1e-3)


def test_normalisation_ignores_the_future(corpus):
    """Scaling every bar behind the contexts leaves the contexts as they were."""
    sampler = WindowSampler(corpus, PLAN, seed=1)
    rows = np.arange(100, 148)[None]
    silent = np.array([False])
    before = sampler._normalise(rows, 32, silent)
    changed = corpus.values.copy()
    changed[132:] *= 1.7
    other = WindowSampler(dataclasses.replace(corpus, values=changed), PLAN, seed=1)
    after = other._normalise(rows, 32, silent)
    assert torch.equal(before.x[:, :32], after.x[:, :32])
    assert torch.equal(before.bar_sigma, after.bar_sigma)
    assert not torch.equal(before.x[:, 32:], after.x[:, 32:])


def test_batches_depend_on_seed_step_and_part_alone(corpus):
    def batch(seed, part, step):
        return WindowSampler(corpus, PLAN, seed=seed).batch(step, part)

    again = batch(1, 0, 5)
    assert torch.equal(batch(1, 0, 5).x, again.x)
    others = [batch(2, 0, 5), batch(1, 1, 5), batch(1, 0, 6)]
    assert all(o.x.shape != again.x.shape or not torch.equal(o.x, again.x) for o in others)
    # Processes wait for each other: the parts of a step must have windows of one length.
    assert all(batch(1, 0, i).n_context == batch(1, 1, i).n_context for i in range(20))


def test_windows_never_cross_from_one_series_into_the_next(corpus):
    starts = np.array([s.start for s in corpus.series])
    marked = dataclasses.replace(
        corpus,
        values=np.repeat(
            np.searchsorted(starts, np.arange(len(corpus.values)), side="right")[:, None], 6, 1
        ).astype(np.float32),
    )
    sampler = WindowSampler(marked, PLAN, seed=3)
    for i in range(30):
        # One series' windows are constant, so they normalise to zero everywhere.
        assert sampler.batch(i).x.abs().max() == 0


def test_volume_is_dropped_in_the_share_asked_for(corpus):
    sampler = WindowSampler(corpus, dataclasses.replace(PLAN, drop_volume=0.5), seed=0)
    silent = torch.cat([(sampler.batch(i).x[:, :, 4:] == 0).all((1, 2)) for i in range(30)])
    assert 0.35 < silent.float().mean() < 0.65


def test_positions_behind_a_clipped_price_do_not_count(corpus):
    sampler = WindowSampler(corpus, PLAN, seed=0)
    values = corpus.values.copy()
    values[140:, :4] *= 5.0
    jumped = WindowSampler(dataclasses.replace(corpus, values=values), PLAN, seed=0)
    rows = np.arange(100, 148)[None]
    inside = jumped._normalise(rows, 32, np.array([False])).inside[0]
    assert inside[:41].all()  # the bar that leaves is learned
    assert not inside[41:].any()
    assert sampler._normalise(rows, 32, np.array([False])).inside.float().mean() > 0.8


def test_windows_longer_than_every_series_are_refused(corpus):
    with pytest.raises(InvalidRequest, match="No series has the 5016 bars"):
        WindowSampler(corpus, WindowPlan(contexts=(5000,), future=16), seed=0)
