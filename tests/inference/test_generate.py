"""Laws of generation on the golden checkpoint's random weights."""

import pytest
import torch

from kronos.errors import ForecastCancelled
from kronos.forecast import SamplingParameters
from kronos.inference import generate as generation
from kronos.inference.cache import SharedPrefixCache
from kronos.inference.decode import decode_paths
from kronos.inference.generate import TokenContext, generate
from kronos.inference.sampling import path_uniforms


def make_context(lengths, horizon, seed=0):
    g = torch.Generator().manual_seed(seed)
    B, T = len(lengths), max(lengths)

    def random(high, *shape):
        return torch.randint(high, shape, generator=g)

    return TokenContext(
        random(1024, B, T),
        random(1024, B, T),
        random(7, B, T, 5),
        random(7, B, horizon, 5),
        torch.tensor(lengths),
    )


def run(model, context, n_paths=4, max_context=64, **kwargs):
    sampling = SamplingParameters(sample_count=n_paths, seed=11)
    noise = path_uniforms(11, n_paths, context.horizon)
    return generate(model, context, sampling, noise, max_context=max_context, **kwargs)


def test_cached_logits_equal_uncached_ones(model):
    """Step by step against reading everything anew, to 1e-5 of the logits' size."""
    from kronos.inference.generate import _Continuation

    context = make_context([20, 13], 6)
    sampling = SamplingParameters(sample_count=3, seed=1)
    with torch.inference_mode():
        continuation = _Continuation(model, context, sampling, path_uniforms(1, 3, 6))
        hidden = continuation._read_context()
        drawn = []
        for j in range(6):
            s1 = torch.randint(1024, (2, 3), generator=torch.Generator().manual_seed(j))
            s2 = torch.randint(1024, (2, 3), generator=torch.Generator().manual_seed(90 + j))
            cached = (model.s1_logits(hidden), continuation._s2_logits(hidden, s1))
            for b, n in enumerate(context.lengths.tolist()):
                for path in range(3):
                    past = [
                        torch.stack([d[i][b, path] for d in drawn])
                        if drawn
                        else torch.empty(0, dtype=torch.long)
                        for i in range(2)
                    ]
                    stamp = torch.cat((context.stamp[b, :n], context.future_stamp[b, :j]))
                    full = model.hidden(
                        torch.cat((context.s1[b, :n], past[0]))[None],
                        torch.cat((context.s2[b, :n], past[1]))[None],
                        stamp[None],
                    )
                    plain = (
                        model.s1_logits(full[:, -1]),
                        model.s2_logits_last(full, s1[b, path : path + 1]),
                    )
                    for one, other in zip(cached, plain, strict=True):
                        error = (one[b, path] - other[0]).abs().max()
                        assert error <= 1e-5 * other.abs().max()
            drawn.append((s1, s2))
            hidden = continuation._advance(s1, s2, j)


@pytest.mark.parametrize("max_context", [64, 30, 24])
def test_cache_changes_no_token_even_when_the_window_slides(model, max_context):
    context = make_context([24, 17], 12)
    cached = run(model, context, max_context=max_context)
    plain = run(model, context, max_context=max_context, use_cache=False)
    assert torch.equal(cached[0], plain[0])
    assert torch.equal(cached[1], plain[1])


def test_a_path_does_not_depend_on_its_batch(model):
    context = make_context([24, 9, 17], 8)
    together = run(model, context, n_paths=7)
    for b in range(3):
        alone = run(model, context.series(b), n_paths=7)
        fewer = run(model, context.series(b), n_paths=2)
        for i in range(2):
            assert torch.equal(together[i][b], alone[i][0])
            assert torch.equal(alone[i][0, :2], fewer[i][0])


def test_a_longer_horizon_begins_with_the_shorter_one(model):
    long = make_context([20], 12)
    short = TokenContext(long.s1, long.s2, long.stamp, long.future_stamp[:, :5], long.lengths)
    assert torch.equal(run(model, long)[0][..., :5], run(model, short)[0])


def test_progress_counts_every_step_and_can_stop(model):
    steps = []
    run(model, make_context([20], 5), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 5) for i in range(1, 6)]

    def stop(done, total):
        if done == 2:
            raise ForecastCancelled("stopped")

    with pytest.raises(ForecastCancelled):
        run(model, make_context([20], 5), progress=stop)


def test_progress_of_sliding_series_reaches_the_total(model):
    steps = []
    context = make_context([30, 20], 6)
    run(model, context, max_context=30, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 12) for i in range(1, 13)]


def test_decoding_with_a_shared_context_equals_decoding_whole_sequences(tokenizer):
    context = make_context([21, 14], 6)
    g = torch.Generator().manual_seed(4)
    s1 = torch.randint(1024, (2, 3, 6), generator=g)
    s2 = torch.randint(1024, (2, 3, 6), generator=g)
    paths, last = decode_paths(tokenizer, context, s1, s2, max_context=64)
    for b, n in enumerate((21, 14)):
        whole = tokenizer.decode(
            torch.cat((context.s1[b, :n].expand(3, -1), s1[b]), 1),
            torch.cat((context.s2[b, :n].expand(3, -1), s2[b]), 1),
        )
        torch.testing.assert_close(paths[b], whole[:, n:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(last[b], whole[0, n - 1], rtol=1e-4, atol=1e-5)


def test_a_horizon_longer_than_the_window_decodes(model, tokenizer):
    context = make_context([10], 20)
    s1, s2 = run(model, context, max_context=12)
    paths, last = decode_paths(tokenizer, context, s1, s2, max_context=12)
    assert paths.shape == (1, 4, 20, 6)
    assert last.shape == (1, 6)


def test_the_prefix_is_stored_once_whatever_the_number_of_paths():
    cache = SharedPrefixCache(torch.tensor([5]), capacity=2)
    k = torch.randn(1, 4, 5, 8)
    cache.store_prefix(0, k, k)
    assert cache._prefix[0][0].data_ptr() == k.data_ptr()
    out = cache.attend(0, torch.randn(1, 1000, 4, 1, 8))
    assert out.shape == (1, 1000, 4, 1, 8)


def test_reading_paths_in_chunks_changes_nothing(model, tokenizer, monkeypatch):
    context = make_context([24, 17], 12)

    def everything():
        s1, s2 = run(model, context, n_paths=7, max_context=24)
        return s1, s2, decode_paths(tokenizer, context, s1, s2, max_context=24)[0]

    at_once = everything()
    monkeypatch.setattr(generation, "CHUNK_TOKENS", 50)
    in_chunks = everything()
    assert torch.equal(at_once[0], in_chunks[0])
    assert torch.equal(at_once[1], in_chunks[1])
    torch.testing.assert_close(at_once[2], in_chunks[2], rtol=1e-4, atol=1e-5)


def test_decoding_shared_contexts_in_chunks_changes_nothing(tokenizer, monkeypatch):
    context = make_context([21, 14], 6)
    g = torch.Generator().manual_seed(4)
    s1, s2 = (torch.randint(1024, (2, 9, 6), generator=g) for _ in range(2))
    at_once, _ = decode_paths(tokenizer, context, s1, s2, max_context=64)
    monkeypatch.setattr(generation, "CHUNK_TOKENS", 30)
    in_chunks, _ = decode_paths(tokenizer, context, s1, s2, max_context=64)
    torch.testing.assert_close(at_once, in_chunks, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_cuda_gives_the_tokens_of_the_cpu(model, tokenizer):
    context = make_context([24, 17], 12)
    expected = run(model, context, n_paths=20)
    moved = TokenContext(
        *(getattr(context, n).cuda() for n in ("s1", "s2", "stamp", "future_stamp")),
        context.lengths,
    )
    drawn = run(model.cuda(), moved, n_paths=20)
    # Rounding differs between devices: a draw next to a boundary may fall on the other side.
    assert (drawn[0].cpu() == expected[0]).float().mean() > 0.98
