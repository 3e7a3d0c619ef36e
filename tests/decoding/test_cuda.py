"""Static memory and captured graphs draw the tokens of plain decoding."""

import gc
from contextlib import contextmanager

import pytest
import torch

from benchmarks.gpu.recorded import recorded, recorded_halves
from kronos.decoding import cuda
from kronos.decoding.cuda import Shape, StaticBatch, StaticDecoder, cuda_graphs
from kronos.decoding.decoder import Decoder, generate
from tests.decoding.test_decoder import run
from tests.token_sequences import MIXED, copied_to, make, make_context, new_sequence


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
    assert len(decoder._batches) <= cuda.CACHED_SHAPES


def test_recorded_steps_draw_the_tokens_of_plain_decoding(model):
    """Recorded once and run again on the same memory, as a graph is: nothing that changes from
    step to step comes from Python, and no step puts a tensor in the place of another."""
    decoder = StaticDecoder(model)
    decoder.capture = recorded_halves
    for settings in (MIXED, MIXED[::-1], MIXED):
        expected = drawn(Decoder(model), *(make(**s) for s in settings))
        found = drawn(decoder, *(make(**s) for s in settings))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 29), (torch.bfloat16, 38)])
def test_a_layer_runs_few_operations(model, dtype, most):
    """Every one is a kernel to launch, which takes longer than most of them run. On a GPU there
    are fewer: each of the two norms, counted as five or seven here, is one."""
    model.to(dtype)
    counts = []
    for n_layers in (2, 1):
        model.transformer = model.transformer[:n_layers]
        decoder, seq = StaticDecoder(model), make(20, 8)
        decoder.step([seq])
        counts.append(len(recorded(seq.state.decode_step).operations))
    two, one = counts
    assert two - one <= most


def test_memory_that_does_not_fit_takes_the_place_of_memory_that_is_free(model, monkeypatch):
    decoder = StaticDecoder(model)
    drawn(decoder, make(12, 2), make(40, 8))
    running = make(20, 8, n_paths=70)
    decoder.step([running])
    (cached,) = (batch for batch in all_batches(decoder) if batch is not running.state)
    refused = []

    def limited(self, layers, shape):
        if len(all_batches(decoder)) > 1 or refused[:1] == ["again"]:
            refused.append(shape)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        original(self, layers, shape)

    original = StaticBatch.__init__
    monkeypatch.setattr(StaticBatch, "__init__", limited)
    expected = drawn(Decoder(model), make(50, 5, n_paths=130))
    found = drawn(decoder, make(50, 5, n_paths=130))
    assert torch.equal(found[0], expected[0])
    assert len(refused) == 1
    assert cached not in all_batches(decoder)
    assert running.state in all_batches(decoder)

    refused[:] = ["again"]  # and what was drawn last is dropped in vain
    with pytest.raises(torch.OutOfMemoryError):
        decoder.step([make(90, 5, max_context=128)])
    generate(decoder, [running])
    assert running.is_done


def all_batches(decoder):
    return [batch for batches in decoder._batches.values() for batch in batches]


def test_a_capture_is_on_the_models_device_and_leaves_other_threads_alone(model, monkeypatch):
    """Recorded stand-ins for what needs a GPU: the order of the calls and their arguments."""
    calls = []

    class Stream:
        def __init__(self, device=None):
            self.device = device

        def wait_stream(self, other):
            pass

    current = Stream("current")

    class Graph:
        replay = None

        def pool(self):
            return "pool of the first"

    def entering(name):
        @contextmanager
        def context(*args, **keywords):
            calls.append((name, args, keywords))
            yield
            calls.append((name, "end"))

        return context

    for name in ("device", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, entering(name))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
    cuda._capture_stream.cache_clear()
    seq = make(20, 8)
    StaticDecoder(model).step([seq])
    with torch.inference_mode():
        for _ in range(2):
            cuda_graphs(seq.state)
    cuda._capture_stream.cache_clear()
    device, (_, (stream,), _), _, decode, _, sample, *_ = calls
    assert device[1] == (model.norm.weight.device,)
    assert calls[7] == ("device", "end")
    assert stream.device == model.norm.weight.device
    assert stream is not current
    assert {id(call[1][0]) for call in calls if call[0] == "stream" and call[1] != "end"} == {
        id(stream)
    }
    assert decode[2] == {"stream": stream, "capture_error_mode": "thread_local"}
    assert sample[1][1:] == ("pool of the first", stream)
    assert sample[2] == {"capture_error_mode": "thread_local"}


def test_close_sizes_share_a_shape():
    series = [make(n, h, n_paths=30, max_context=128) for n in range(40, 60) for h in (17, 24)]
    shapes = {Shape.holding([seq]) for seq in series}
    assert len(shapes) == 1
    (shape,) = shapes
    assert shape == Shape(n_lanes=1, n_prefix=64, n_steps=24, filters=False)


def test_any_number_of_paths_takes_one_of_a_few_numbers_of_lanes(model):
    """A series more or less in a batch seldom needs memory and graphs of its own."""
    series = [make(20, 8, n_paths=n) for n in range(1, 257)]
    assert {Shape.holding([seq]).n_lanes for seq in series} == {1, 2, 4, 8}
    five = [make(20, 8, n_paths=30, seed=i) for i in range(5)]
    assert Shape.holding(five).n_lanes == 8


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
