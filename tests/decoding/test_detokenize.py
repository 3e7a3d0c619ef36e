"""Decoding with a shared context equals decoding whole sequences."""

import pytest
import torch

from kronos.decoding import sequence
from kronos.decoding.decoder import Decoder
from kronos.decoding.detokenize import decode_paths
from tests.decoding.test_decoder import make_context, new_sequence, run


def ids(*shape):
    g = torch.Generator().manual_seed(4)
    return [torch.randint(1024, shape, generator=g) for _ in range(2)]


@pytest.mark.parametrize("length", [21, 2])
def test_decoding_with_a_shared_context_equals_decoding_whole_sequences(tokenizer, length):
    context, (s1, s2) = make_context(length, 6), ids(3, 6)
    paths, last = decode_paths(tokenizer, context, s1, s2, max_context=64)
    whole = tokenizer.decode(
        torch.cat((context.s1.expand(3, -1), s1), 1), torch.cat((context.s2.expand(3, -1), s2), 1)
    )
    torch.testing.assert_close(paths, whole[:, length:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last, whole[0, length - 1], rtol=1e-4, atol=1e-5)


def test_decoding_in_chunks_changes_nothing(tokenizer, monkeypatch):
    context, (s1, s2) = make_context(21, 6), ids(9, 6)
    at_once, _ = decode_paths(tokenizer, context, s1, s2, max_context=64)
    monkeypatch.setattr(sequence, "CHUNK_TOKENS", 30)
    in_chunks, _ = decode_paths(tokenizer, context, s1, s2, max_context=64)
    torch.testing.assert_close(at_once, in_chunks, rtol=1e-4, atol=1e-5)


def test_a_horizon_longer_than_the_window_decodes(model, tokenizer):
    context = make_context(10, 20)
    s1, s2 = run(Decoder(model), new_sequence(context, max_context=12))
    paths, last = decode_paths(tokenizer, context, s1, s2, max_context=12)
    assert paths.shape == (4, 20, 6)
    assert last.shape == (6,)
    assert paths.isfinite().all()
