"""Laws of generation on the golden checkpoint's random weights."""

from dataclasses import replace

import pytest
import torch

from kronos.decoding import TILE, sequence, sliding
from kronos.decoding import cpu_kernels as kernels
from kronos.decoding import decoder as decoding
from kronos.decoding.cpu import TileDecoder, TileState
from kronos.decoding.cuda import BatchStep, StaticDecoder, signed_rotation
from kronos.decoding.decoder import (
    Decoder,
    TileStep,
    _product,
    columns,
    generate,
    of_series,
)
from kronos.decoding.detokenize import decode_paths
from kronos.decoding.weights import FusedModel
from kronos.errors import ForecastCancelled
from tests.token_sequences import make_context, new_sequence


@pytest.fixture(params=[Decoder, TileDecoder])
def decoder(request, model):
    return request.param(model)


def run(decoder, *sequences, progress=None):
    generate(decoder, sequences, progress)
    assert all(seq.is_done for seq in sequences)
    drawn = [torch.stack((seq.s1, seq.s2)) for seq in sequences]
    return drawn if len(drawn) > 1 else drawn[0]


def window(seq, path, j):
    """What is read of one path before step j, as `Kronos.hidden` takes it."""
    seen = slice(max(0, len(seq.context) + j - seq.max_context), len(seq.context) + j)
    s1 = torch.cat((seq.context.s1, seq.s1[path, :j]))[None, seen]
    s2 = torch.cat((seq.context.s2, seq.s2[path, :j]))[None, seen]
    stamp, events = seq.context.bars(seen)
    return s1, s2, stamp[None], None if events is None else events[None]


def watch_logits(decoder, monkeypatch):
    """Logits (rows, V) of every following step, by head."""
    seen = {"s1": [], "s2": []}
    if isinstance(decoder, TileDecoder):
        parts = {"s1": [], "s2": []}
        sample, sample_step, powers = decoder._sample, decoder.sample_step, kernels.powers
        found = []

        def watched_powers(logits, bias, temperature):
            found.append(torch.from_numpy(logits + bias[:, None]).t())
            powers(logits, bias, temperature)

        def watched_sample(head, hidden, seq, uniforms, ids):
            sample(head, hidden, seq, uniforms, ids)
            which = "s1" if head is decoder._s1_head else "s2"
            parts[which].append(found.pop()[: len(ids)])

        def watched_step(seqs):
            sample_step(seqs)
            for which, tiles in parts.items():
                seen[which].append(torch.cat(tiles))
                tiles.clear()

        monkeypatch.setattr(kernels, "powers", watched_powers)
        monkeypatch.setattr(decoder, "_sample", watched_sample)
        monkeypatch.setattr(decoder, "sample_step", watched_step)
        return seen
    step = decoder.batch_step if isinstance(decoder, StaticDecoder) else decoder.tile_step
    for which in seen:
        compute = getattr(step, f"{which}_logits")

        def watched(*args, which=which, compute=compute):
            seen[which].append(compute(*args))
            return seen[which][-1]

        monkeypatch.setattr(step, f"{which}_logits", watched)
    return seen


def require_logits_of_the_window(model, seq, path, j, found):
    """Logits (V,) of both heads before step j are those of the whole window, read anew."""
    hidden = model.hidden(*window(seq, path, j))
    s1 = model.head.proj_s1(hidden[:, -1])
    s2 = model.s2_logits_last(hidden, seq.s1[path : path + 1, j])
    for ours, expected in zip(found, (s1, s2), strict=True):
        assert (ours - expected[0]).abs().max() <= 1e-5 * expected.abs().max()


def hidden_of(seq):
    """Hidden states (D, R) of the rows in progress."""
    if isinstance(seq.state, TileState):
        tiles = seq.state.tiles
        return torch.cat([tile.hidden.tensor[:, : tile.n_rows] for tile in tiles], 1)
    return seq.state.hidden.clone()


@pytest.mark.parametrize("n_paths", [3, 40])
def test_cached_logits_equal_uncached_ones(decoder, model, monkeypatch, n_paths):
    """Step by step against reading everything anew, to 1e-5 of the logits' size."""
    seen = watch_logits(decoder, monkeypatch)
    pair = [new_sequence(make_context(n, 5, n), n_paths) for n in (20, 13)]
    generate(decoder, pair)

    for j in range(5):
        cached = [seen[which][j] for which in seen]
        for row, (seq, path) in enumerate((seq, path) for seq in pair for path in range(n_paths)):
            if path % 7:
                continue
            require_logits_of_the_window(model, seq, path, j, [ours[row] for ours in cached])


@pytest.mark.parametrize("max_context", [64, 30, 24])
def test_the_cache_changes_no_token_even_when_the_window_slides(decoder, max_context):
    context = make_context(24, 12)
    cached = run(decoder, new_sequence(context, max_context=max_context))
    plain = run(decoder, new_sequence(context, max_context=max_context, use_cache=False))
    assert torch.equal(cached, plain)


def test_a_window_full_of_drawn_tokens_is_read_like_any_other(decoder):
    context = make_context(10, 20)
    whole = run(decoder, new_sequence(context, max_context=12, use_cache=False))
    assert torch.equal(run(decoder, new_sequence(context, max_context=12)), whole)


def test_windows_read_in_small_chunks_are_the_same(decoder, monkeypatch):
    context = make_context(24, 12)
    at_once = run(decoder, new_sequence(context, 9, max_context=24))
    monkeypatch.setattr(sliding, "SCORES", 1)
    monkeypatch.setattr(sequence, "CHUNK_TOKENS", 24)
    assert torch.equal(run(decoder, new_sequence(context, 9, max_context=24)), at_once)


def test_hidden_states_are_bitwise_the_same_alone_and_in_any_batch(decoder):
    """Not only the draws: nothing that a path computes depends on who shares its tiles."""

    def states(decoder, *others, n_steps=4):
        seq = new_sequence(make_context(21, 8, 3), 30)
        hidden = []
        for _ in range(n_steps):
            decoder.step([*others[:1], seq, *others[1:]])
            hidden.append(hidden_of(seq))
        return torch.stack(hidden)

    alone = states(decoder)
    beside_one = states(decoder, new_sequence(make_context(9, 8, 5), 7, T=0.5, top_p=0.6))
    in_a_crowd = states(
        decoder,
        new_sequence(make_context(40, 8, 6), 45, seed=3),
        new_sequence(make_context(17, 8, 7), 1, T=0.0),
        new_sequence(make_context(33, 8, 8), 64, top_k=5),
    )
    assert torch.equal(alone, beside_one)
    assert torch.equal(alone, in_a_crowd)


def test_every_row_uses_its_own_parameters(decoder):
    settings = [
        {"T": 0.0},
        {"T": 0.7, "top_p": 0.8},
        {"T": 1.3, "top_k": 4, "seed": 5},
        {"T": 1.0, "top_k": 20, "top_p": 0.5, "n_paths": 50},
    ]
    make = [
        lambda s=s, i=i: new_sequence(make_context(12 + i, 6, i), **s)
        for i, s in enumerate(settings)
    ]
    together = run(decoder, *(new() for new in make))
    for new, expected in zip(make, together, strict=True):
        assert torch.equal(run(decoder, new()), expected)
    greedy = together[0]
    assert (greedy == greedy[:, :1]).all()


def test_a_series_that_joins_later_draws_the_same_paths(decoder):
    expected = run(decoder, new_sequence(make_context(15, 6, 1), 10))
    first, second = (
        new_sequence(make_context(20, 9, 2), 10),
        new_sequence(make_context(15, 6, 1), 10),
    )
    for _ in range(3):
        decoder.step([first])
    generate(decoder, [first, second])
    assert torch.equal(torch.stack((second.s1, second.s2)), expected)


def test_a_path_does_not_depend_on_the_number_of_paths(decoder):
    context = make_context(24, 8)
    assert torch.equal(
        run(decoder, new_sequence(context, n_paths=40))[:, :2],
        run(decoder, new_sequence(context, n_paths=2)),
    )


def test_a_longer_horizon_begins_with_the_shorter_one(decoder):
    long = make_context(20, 12)
    short = replace(long, future_stamp=long.future_stamp[:5])
    assert torch.equal(run(decoder, new_sequence(long))[..., :5], run(decoder, new_sequence(short)))


@pytest.mark.parametrize("max_context", [64, 24])
def test_paths_drawn_in_portions_are_the_same(decoder, monkeypatch, max_context):
    context = make_context(22, 6)
    at_once = run(decoder, new_sequence(context, 70, max_context=max_context))
    monkeypatch.setattr(sequence, "MAX_ROWS", 32)
    steps = []
    in_portions = run(
        decoder,
        new_sequence(context, 70, max_context=max_context),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert torch.equal(at_once, in_portions)
    assert steps == [(i, 18) for i in range(1, 19)]


def test_a_portion_that_shrinks_is_drawn_anew(decoder):
    context = make_context(22, 6)
    expected = run(decoder, new_sequence(context, 100))
    seq = new_sequence(context, 100)
    for _ in range(4):
        decoder.step([seq])
    assert seq.shrink()
    assert (seq.n_rows, seq.n_drawn) == (64, 0)
    generate(decoder, [seq])
    assert torch.equal(torch.stack((seq.s1, seq.s2)), expected)
    assert not new_sequence(context, 32).shrink()


def test_a_step_that_failed_can_be_repeated(decoder, monkeypatch):
    context = make_context(22, 6)
    expected = run(decoder, new_sequence(context))
    seq = new_sequence(context)
    decoder.step([seq])
    count_step = seq.count_step
    seq.count_step = lambda: (_ for _ in ()).throw(MemoryError)
    with pytest.raises(MemoryError):
        decoder.step([seq])
    seq.count_step = count_step
    generate(decoder, [seq])
    assert torch.equal(torch.stack((seq.s1, seq.s2)), expected)


def test_progress_counts_every_step_and_can_stop(decoder):
    steps = []
    run(decoder, new_sequence(make_context(20, 5)), progress=lambda *done: steps.append(done))
    assert steps == [(i, 5) for i in range(1, 6)]

    def stop(done, total):
        if done == 2:
            raise ForecastCancelled("stopped")

    with pytest.raises(ForecastCancelled):
        run(decoder, new_sequence(make_context(20, 5)), progress=stop)


def test_progress_of_several_series_reaches_the_total(decoder):
    steps = []
    series = [new_sequence(make_context(30, 6), max_context=30), new_sequence(make_context(20, 4))]
    run(decoder, *series, progress=lambda *done: steps.append(done))
    assert steps[-1] == (10, 10)
    assert sorted(steps) == steps


def test_more_series_than_fit_at_once_are_drawn_in_turn(decoder, monkeypatch):
    make = [lambda i=i: new_sequence(make_context(10 + i, 3 + i, i), 5) for i in range(6)]
    at_once = run(decoder, *(new() for new in make))
    monkeypatch.setattr(decoding, "MAX_ROWS", 11)
    widest = []
    step = Decoder.step
    monkeypatch.setattr(
        Decoder,
        "step",
        lambda self, seqs: (widest.append(sum(seq.n_rows for seq in seqs)), step(self, seqs)),
    )
    in_turn = run(decoder, *(new() for new in make))
    assert max(widest) == 10
    assert all(torch.equal(a, b) for a, b in zip(at_once, in_turn, strict=True))


def test_reading_paths_in_chunks_changes_nothing(decoder, tokenizer, monkeypatch):
    context = make_context(24, 12)

    def everything():
        s1, s2 = run(decoder, new_sequence(context, 7, max_context=24))
        return s1, s2, decode_paths(tokenizer, context, s1, s2, max_context=24)[0]

    at_once = everything()
    monkeypatch.setattr(sequence, "CHUNK_TOKENS", 50)
    in_chunks = everything()
    assert torch.equal(at_once[0], in_chunks[0])
    assert torch.equal(at_once[1], in_chunks[1])
    torch.testing.assert_close(at_once[2], in_chunks[2], rtol=1e-4, atol=1e-5)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_column_of_a_tile_is_rounded_the_same_wherever_it_stands():
    """The reason why products run over tiles of one size."""
    for K, n in ((64, 192), (256, 768), (832, 2496), (2048, 832)):
        weight, x, bias = random(n, K), random(K, TILE, seed=1), random(n, 1, seed=2)
        expected = torch.addmm(bias, weight, x)
        order = torch.randperm(TILE, generator=torch.Generator().manual_seed(3))
        assert torch.equal(torch.addmm(bias, weight, x[:, order].contiguous()), expected[:, order])
        other = random(K, TILE, seed=4)
        other[:, 5] = x[:, 9]
        assert torch.equal(torch.addmm(bias, weight, other)[:, 5], expected[:, 9])


def test_tile_step_and_batch_step_compute_the_same_layers(model):
    weights = FusedModel(model)
    tile_step, batch_step = TileStep(weights), BatchStep(weights)
    x, attended = random(48, 2 * TILE), random(48, 2 * TILE, seed=1)
    positions = [i % 11 for i in range(2 * TILE)]
    rotation = [t[positions][:, None, None] for t in signed_rotation(model, 11, x.device)]
    scale = tile_step.head_width**-0.5
    with torch.no_grad():
        for block in weights.blocks:
            q, k, v = tile_step.heads(block, x, tile_step.rotary(positions))
            expected_q, *kv = batch_step.heads(block, as_rows(x), rotation)
            torch.testing.assert_close(as_rows(q), expected_q * scale)
            torch.testing.assert_close([as_rows(k), as_rows(v)], kv)
            torch.testing.assert_close(
                as_rows(tile_step.output(block, x, attended)),
                batch_step.output(block, as_rows(x), as_rows(attended)),
            )


def as_rows(x):
    """Columns (..., R) as rows (R, ...)."""
    return x.movedim(-1, 0)


def test_columns_of_series_are_whole_tiles_and_taken_apart_again():
    parts = [random(4, n, seed=n) for n in (5, 40, 1)]
    together = columns(parts)
    assert together.shape == (4, 2 * TILE)
    assert (together[:, 46:] == 0).all()
    for part, back in zip(parts, of_series(together, [5, 40, 1]), strict=True):
        assert torch.equal(part, back)
        assert back._base is together


def test_a_product_of_columns_is_that_of_each_tile_alone():
    weight, bias, x = random(96, 48), random(96, seed=1), random(48, 3 * TILE, seed=2)
    for given in (bias, None):
        alone = [_product(weight, tile.contiguous(), given) for tile in x.chunk(3, 1)]
        assert torch.equal(_product(weight, x, given), torch.cat(alone, 1))
