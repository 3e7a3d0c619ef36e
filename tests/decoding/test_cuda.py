"""Static memory and captured graphs draw the tokens of plain decoding."""

import gc
from dataclasses import fields

import pytest
import torch

from kronos.decoding import cuda
from kronos.decoding.cuda import Shape, StaticDecoder
from kronos.decoding.decoder import Decoder, generate
from tests.decoding.test_decoder import make_context, new_sequence, run

MIXED = (
    {"length": 20, "horizon": 6, "n_paths": 30},
    {"length": 9, "horizon": 3, "n_paths": 40, "T": 0.6, "top_p": 0.7},
    {"length": 33, "horizon": 8, "n_paths": 5, "T": 0.0},
    {"length": 14, "horizon": 8, "n_paths": 33, "top_k": 4, "seed": 8},
)


def make(length, horizon, **settings):
    return new_sequence(make_context(length, horizon, length), **settings)


def drawn(decoder, *sequences):
    generate(decoder, sequences)
    return [torch.stack((seq.s1, seq.s2)) for seq in sequences]


def test_static_memory_draws_the_tokens_of_plain_decoding(model):
    decoder = StaticDecoder(model)
    # Twice: the second time in memory that the first one used.
    for settings in (MIXED, MIXED[::-1]):
        expected = drawn(Decoder(model), *(make(**s) for s in settings))
        found = drawn(decoder, *(make(**s) for s in settings))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("max_context", [40, 24])
def test_static_memory_hands_over_to_the_sliding_window(model, max_context):
    make = lambda: new_sequence(make_context(22, 9), 35, max_context=max_context)  # noqa: E731
    (found,) = drawn(StaticDecoder(model), make())
    assert torch.equal(found, run(Decoder(model), make()))


def test_portions_and_many_series_go_through_the_lanes_in_turn(model, monkeypatch):
    settings = [{"length": 10 + i, "horizon": 4, "n_paths": 70, "seed": i} for i in range(3)]
    expected = drawn(Decoder(model), *(make(**s) for s in settings))
    monkeypatch.setattr(cuda, "MAX_LANES", 3)
    found = drawn(StaticDecoder(model), *(make(**s) for s in settings))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_memory_is_reused_and_freed_by_sequences_without_a_reference(model):
    decoder = StaticDecoder(model)
    abandoned = make(20, 8, n_paths=4)
    decoder.step([abandoned])
    batch = abandoned.state
    assert not batch.is_free
    del abandoned
    gc.collect()
    assert batch.is_free
    fresh = make(20, 8, n_paths=4, seed=1)
    decoder.step([fresh])
    assert fresh.state is batch


def test_only_a_few_shapes_are_cached(model):
    decoder = StaticDecoder(model)
    for n in range(1, 8):
        drawn(decoder, make(12, 2, n_paths=32 * n))
    assert len(decoder._batches) <= cuda.CACHED_SHAPES + 1


def test_close_sizes_share_a_shape():
    series = [make(n, h, n_paths=30, max_context=128) for n in range(40, 60) for h in (17, 24)]
    shapes = {Shape.holding([seq]) for seq in series}
    assert len(shapes) == 1
    (shape,) = shapes
    assert shape == Shape(n_lanes=1, n_prefix=64, n_steps=24, filters=False)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_graphs_give_the_tokens_of_the_cpu(model, dtype):
    """A draw next to a boundary may fall on the other side: few do, and first steps agree."""
    expected = drawn(Decoder(model), *(make(**s) for s in MIXED))
    decoder = StaticDecoder(model.to("cuda", dtype))
    for _ in range(2):
        series = [make(**s) for s in MIXED]
        moved = [copied_to("cuda", seq) for seq in series]
        found = drawn(decoder, *moved)
        agree = [
            (a[..., 0] == b[..., 0].cpu()).float().mean()
            for a, b in zip(expected, found, strict=True)
        ]
        assert min(agree) > (0.98 if dtype == torch.float32 else 0.85)


def copied_to(device, seq):
    parts = (getattr(seq.context, f.name) for f in fields(seq.context))
    moved = type(seq.context)(*(None if part is None else part.to(device) for part in parts))
    return type(seq)(moved, seq.sampling, max_context=seq.max_context)
