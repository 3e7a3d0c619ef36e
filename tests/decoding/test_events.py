"""Laws of decoding with events, with an event embedding of random weights."""

from dataclasses import replace

import pytest
import torch

from kronos.decoding.cpu import TileDecoder
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.graphs import StaticDecoder
from kronos.decoding.sliding import SharedWindow
from kronos.nn.checkpoint import load_model
from kronos.nn.config import N_EVENT_CHANNELS
from tests.decoding.test_decoder import (
    begun,
    hidden_of,
    make_context,
    require_logits_of_the_window,
    run,
    watch_logits,
)
from tests.decoding.test_graphs import begun_on

DECODERS = [Decoder, TileDecoder, StaticDecoder]


def told(length, horizon, seed=0):
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


def states_of(decoder, c, company=(), n_steps=5):
    """Hidden states (steps, D, R) while a series is drawn in company."""
    found = []
    for _ in range(n_steps):
        decoder.step([*company[:1], c, *company[1:]])
        found.append(hidden_of(c))
    return torch.stack(found)


def test_cached_logits_equal_uncached_ones(decoder, eventful_model, monkeypatch):
    """With and without events in one batch, of which every series fills a tile."""
    seen = watch_logits(decoder, monkeypatch)
    pair = [begun(told(20, 5), 32), begun(make_context(13, 5, 1), 32)]
    generate(decoder, pair)
    for j in range(5):
        for i, c in enumerate(pair):
            for path in (0, 9, 31):
                found = [logits[j][32 * i + path] for logits in seen.values()]
                require_logits_of_the_window(eventful_model, c, path, j, found)


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
    c = begun(told(20, 12), 5, max_context=24)
    generate(decoder, [c])
    assert len(seen["s1"]) == len(seen["s2"]) == 12 - c.n_cached == 7
    for step, logits in enumerate(zip(*seen.values(), strict=True)):
        for path in range(5):
            found = [part[path] for part in logits]
            require_logits_of_the_window(eventful_model, c, path, c.n_cached + step, found)


@pytest.mark.parametrize("max_context", [24, 8])
def test_the_cache_changes_no_token_even_when_the_window_slides(decoder, max_context):
    context = told(min(24, max_context), 12)
    cached = run(decoder, begun(context, max_context=max_context))
    plain = run(decoder, begun(context, max_context=max_context, use_cache=False))
    assert torch.equal(cached, plain)


def test_every_decoder_draws_the_same_tokens(eventful_model):
    def drawn(kind):
        series = [begun(told(20, 9), 40, max_context=24), begun(make_context(14, 7), 33)]
        return run(kind(eventful_model), *series, begun(told(30, 6, 2), 5, T=0.6, top_p=0.8))

    plain, *others = map(drawn, DECODERS)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def test_tokens_do_not_depend_on_company(decoder):
    """Beside series without events, and series without events beside this one."""
    make = [lambda: begun(told(20, 6), 30), lambda: begun(make_context(17, 6, 2), 40)]
    together = run(decoder, *(c() for c in make))
    assert all(torch.equal(run(decoder, c()), t) for c, t in zip(make, together, strict=True))


@pytest.mark.parametrize("kind", [Decoder, TileDecoder])
@pytest.mark.parametrize("make", [told, make_context], ids=["with events", "without"])
def test_hidden_states_are_bitwise_the_same_in_any_company(eventful_model, kind, make):
    decoder = kind(eventful_model)
    alone = states_of(decoder, begun(make(21, 8, 3), 30))
    company = [begun(make_context(9, 8, 5), 7), begun(told(40, 8, 6), 45)]
    assert torch.equal(states_of(decoder, begun(make(21, 8, 3), 30), company), alone)


@pytest.mark.parametrize("kind", [Decoder, TileDecoder])
def test_hidden_states_are_bitwise_the_same_for_any_horizon(eventful_model, kind):
    decoder, long = kind(eventful_model), told(20, 12)
    short = replace(long, future_stamp=long.future_stamp[:6], events=long.events[:26])
    assert torch.equal(states_of(decoder, begun(long)), states_of(decoder, begun(short)))


@pytest.mark.parametrize("kind", DECODERS)
def test_no_events_are_the_base_model(root, kind, eventful_model):
    """Neither an unused event embedding, nor events that a fresh one reads, change a bit."""
    fresh = load_model(root / "tests/golden/model")
    fresh.add_event_embedding()
    context = told(22, 7)
    silent = replace(context, events=None)

    def drawn(model, context):
        decoder = kind(model)
        tokens = run(decoder, begun(context, 10, max_context=24))
        if kind is StaticDecoder:
            return tokens, None
        return tokens, states_of(decoder, begun(context, 10), n_steps=4)

    tokens, states = drawn(load_model(root / "tests/golden/model"), silent)
    for model, read in ((eventful_model, silent), (fresh, context), (fresh, silent)):
        found_tokens, found_states = drawn(model, read)
        assert torch.equal(found_tokens, tokens)
        assert states is None or torch.equal(found_states, states)
    assert not torch.equal(drawn(eventful_model, context)[0], tokens)


@pytest.mark.parametrize("max_context", [64, 24])
def test_events_after_a_bar_never_change_paths_up_to_it(decoder, max_context):
    """The row of a bar is read with its token: it tells of the bars after it."""
    context = told(22, 6)
    expected = run(decoder, begun(context, 20, max_context=max_context))
    for bar in (0, 4):
        other = run(decoder, begun(changed_from(context, 22 + bar), 20, max_context=max_context))
        assert torch.equal(other[..., : bar + 1], expected[..., : bar + 1])
        assert not torch.equal(other[..., bar + 1], expected[..., bar + 1])


def test_events_of_the_context_are_read(decoder):
    context = told(22, 1)
    expected = run(decoder, begun(context, 20))
    for bar in (0, 21):
        assert not torch.equal(run(decoder, begun(changed_from(context, bar), 20)), expected)


def test_portions_and_repeated_steps_are_told_the_same(decoder):
    context = told(22, 4)
    expected = run(decoder, begun(context, 70))
    c = begun(context, 70)
    for _ in range(2):
        decoder.step([c])
    assert c.shrink()
    assert torch.equal(run(decoder, c), expected)


@pytest.mark.gpu
def test_graphs_are_told_of_events(eventful_model):
    """A draw next to a boundary may fall on the other side: few do, and first steps agree."""
    series = [begun(told(20, 6), 30), begun(make_context(14, 8), 33), begun(told(33, 8, 2), 40)]
    moved = [begun_on("cuda", c) for c in series]
    generate(Decoder(eventful_model), series)
    generate(StaticDecoder(eventful_model.to("cuda")), moved)
    for c, other in zip(series, moved, strict=True):
        assert (c.s1[:, :2] == other.s1[:, :2].cpu()).float().mean() > 0.95
