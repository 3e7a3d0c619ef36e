"""Laws of decoding with events, on an event embedding of random weights."""

from dataclasses import replace

import pytest
import torch

from kronos.decoding.cpu import TileDecoder
from kronos.decoding.cuda import StaticDecoder
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.sliding import SharedWindow
from kronos.nn.checkpoint import load_model
from kronos.nn.config import N_EVENT_CHANNELS
from tests.decoding.test_cuda import copied_to
from tests.decoding.test_decoder import (
    hidden_of,
    make_context,
    new_sequence,
    require_logits_of_the_window,
    run,
    watch_logits,
)

DECODERS = [Decoder, TileDecoder, StaticDecoder]


def event_context(length, horizon, seed=0):
    """A context with random events."""
    generator = torch.Generator().manual_seed(100 + seed)
    events = torch.randn(length + horizon, N_EVENT_CHANNELS, generator=generator)
    return replace(make_context(length, horizon, seed), events=events)


def changed_from(context, bar):
    """The context with other events from a bar on."""
    events = context.events.clone()
    events[bar:] += 1.0
    return replace(context, events=events)


@pytest.fixture(params=DECODERS)
def decoder(request, eventful_model):
    return request.param(eventful_model)


def states_of(decoder, seq, others=(), n_steps=5):
    """Hidden states (steps, D, R) while a series is drawn beside others."""
    found = []
    for _ in range(n_steps):
        decoder.step([*others[:1], seq, *others[1:]])
        found.append(hidden_of(seq))
    return torch.stack(found)


def test_cached_logits_equal_uncached_ones(decoder, eventful_model, monkeypatch):
    """With and without events in one batch, of which every series fills a tile."""
    seen = watch_logits(decoder, monkeypatch)
    pair = [
        new_sequence(event_context(20, 5), 32),
        new_sequence(make_context(13, 5, 1), 32),
    ]
    generate(decoder, pair)
    for j in range(5):
        for i, seq in enumerate(pair):
            for path in (0, 9, 31):
                found = [logits[j][32 * i + path] for logits in seen.values()]
                require_logits_of_the_window(eventful_model, seq, path, j, found)


def test_logits_beyond_the_window_equal_those_of_whole_windows(
    decoder, eventful_model, monkeypatch
):
    seen = {"s1": [], "s2": []}

    def watch(owner, method, which):
        compute = getattr(owner, method)

        def watched(*args):
            seen[which].append(compute(*args))
            return seen[which][-1]

        monkeypatch.setattr(owner, method, watched)

    watch(eventful_model, "s1_logits", "s1")
    watch(SharedWindow, "s2_logits", "s2")
    seq = new_sequence(event_context(20, 12), 5, max_context=24)
    generate(decoder, [seq])
    assert len(seen["s1"]) == len(seen["s2"]) == 12 - seq.n_cached == 7
    for step, logits in enumerate(zip(*seen.values(), strict=True)):
        for path in range(5):
            found = [part[path] for part in logits]
            require_logits_of_the_window(eventful_model, seq, path, seq.n_cached + step, found)


@pytest.mark.parametrize("max_context", [24, 8])
def test_the_cache_changes_no_token_even_when_the_window_slides(decoder, max_context):
    context = event_context(min(24, max_context), 12)
    cached = run(decoder, new_sequence(context, max_context=max_context))
    plain = run(decoder, new_sequence(context, max_context=max_context, use_cache=False))
    assert torch.equal(cached, plain)


def test_every_decoder_draws_the_same_tokens(eventful_model):
    def drawn(kind):
        series = [
            new_sequence(event_context(20, 9), 40, max_context=24),
            new_sequence(make_context(14, 7), 33),
        ]
        return run(
            kind(eventful_model),
            *series,
            new_sequence(event_context(30, 6, 2), 5, T=0.6, top_p=0.8),
        )

    plain, *others = map(drawn, DECODERS)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def test_tokens_do_not_depend_on_the_batch(decoder):
    """Beside series without events, and series without events beside this one."""
    make = [
        lambda: new_sequence(event_context(20, 6), 30),
        lambda: new_sequence(make_context(17, 6, 2), 40),
    ]
    together = run(decoder, *(new() for new in make))
    assert all(torch.equal(run(decoder, new()), t) for new, t in zip(make, together, strict=True))


@pytest.mark.parametrize("kind", [Decoder, TileDecoder])
@pytest.mark.parametrize("make", [event_context, make_context], ids=["with events", "without"])
def test_hidden_states_are_bitwise_the_same_in_any_batch(eventful_model, kind, make):
    decoder = kind(eventful_model)
    alone = states_of(decoder, new_sequence(make(21, 8, 3), 30))
    others = [
        new_sequence(make_context(9, 8, 5), 7),
        new_sequence(event_context(40, 8, 6), 45),
    ]
    assert torch.equal(states_of(decoder, new_sequence(make(21, 8, 3), 30), others), alone)


@pytest.mark.parametrize("kind", [Decoder, TileDecoder])
def test_hidden_states_are_bitwise_the_same_for_any_horizon(eventful_model, kind):
    decoder, long = kind(eventful_model), event_context(20, 12)
    short = replace(long, future_stamp=long.future_stamp[:6], events=long.events[:26])
    assert torch.equal(
        states_of(decoder, new_sequence(long)), states_of(decoder, new_sequence(short))
    )


@pytest.mark.parametrize("kind", DECODERS)
def test_no_events_are_the_base_model(root, kind, eventful_model):
    """Neither an unused event embedding, nor events that a fresh one reads, change a bit."""
    fresh = load_model(root / "tests/golden/model")
    fresh.add_event_embedding()
    context = event_context(22, 7)
    silent = replace(context, events=None)

    def drawn(model, context):
        decoder = kind(model)
        tokens = run(decoder, new_sequence(context, 10, max_context=24))
        if kind is StaticDecoder:
            return tokens, None
        return tokens, states_of(decoder, new_sequence(context, 10), n_steps=4)

    tokens, states = drawn(load_model(root / "tests/golden/model"), silent)
    for model, read in ((eventful_model, silent), (fresh, context), (fresh, silent)):
        found_tokens, found_states = drawn(model, read)
        assert torch.equal(found_tokens, tokens)
        assert states is None or torch.equal(found_states, states)
    assert not torch.equal(drawn(eventful_model, context)[0], tokens)


@pytest.mark.parametrize("max_context", [64, 24])
def test_events_after_a_bar_never_change_paths_up_to_it(decoder, max_context):
    """The event row of a bar is read with its token, before the next bar is drawn."""
    context = event_context(22, 6)
    expected = run(decoder, new_sequence(context, 20, max_context=max_context))
    for bar in (0, 4):
        other = run(
            decoder, new_sequence(changed_from(context, 22 + bar), 20, max_context=max_context)
        )
        assert torch.equal(other[..., : bar + 1], expected[..., : bar + 1])
        assert not torch.equal(other[..., bar + 1], expected[..., bar + 1])


def test_events_of_the_context_are_read(decoder):
    context = event_context(22, 1)
    expected = run(decoder, new_sequence(context, 20))
    for bar in (0, 21):
        assert not torch.equal(run(decoder, new_sequence(changed_from(context, bar), 20)), expected)


def test_portions_and_repeated_steps_read_the_same_events(decoder):
    context = event_context(22, 4)
    expected = run(decoder, new_sequence(context, 70))
    seq = new_sequence(context, 70)
    for _ in range(2):
        decoder.step([seq])
    assert seq.shrink()
    assert torch.equal(run(decoder, seq), expected)


@pytest.mark.gpu
def test_graphs_read_events(eventful_model):
    """A draw next to a boundary may fall on the other side: few do, and first steps agree."""
    series = [
        new_sequence(event_context(20, 6), 30),
        new_sequence(make_context(14, 8), 33),
        new_sequence(event_context(33, 8, 2), 40),
    ]
    moved = [copied_to("cuda", seq) for seq in series]
    generate(Decoder(eventful_model), series)
    generate(StaticDecoder(eventful_model.to("cuda")), moved)
    for seq, other in zip(series, moved, strict=True):
        assert (seq.s1[:, :2] == other.s1[:, :2].cpu()).float().mean() > 0.95
