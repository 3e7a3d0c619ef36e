"""Upstream's outputs on a tiny checkpoint: ids exactly, values to 1e-4 relative."""

import pytest
import torch

from kronos.nn.model import S2Attention, token_loss
from kronos.nn.tokenizer import KronosTokenizer
from tests.decoding.test_sampling import filtered_probabilities


def close(actual, expected, rtol=1e-4):
    """Relative to the size of the expected tensor, as fp32 sums differ in their last bits."""
    scale = expected.abs().max()
    assert (actual - expected).abs().max() <= rtol * scale


def test_encode_gives_upstreams_ids(tokenizer, vectors):
    s1, s2 = tokenizer.encode(vectors["tokenizer.x"])
    assert torch.equal(s1, vectors["tokenizer.s1"])
    assert torch.equal(s2, vectors["tokenizer.s2"])


def test_decode_gives_upstreams_candles(tokenizer, vectors):
    decoded = tokenizer.decode(vectors["tokenizer.s1"], vectors["tokenizer.s2"])
    close(decoded, vectors["tokenizer.decoded"])


@pytest.mark.parametrize("name", ["coarse", "full", "quantized"])
def test_reconstruction(tokenizer, vectors, name):
    reconstruction = tokenizer(vectors["tokenizer.x"])
    close(getattr(reconstruction, name), vectors[f"tokenizer.forward.{name}"])


def test_quantization_loss(tokenizer: KronosTokenizer, vectors):
    loss = tokenizer(vectors["tokenizer.x"]).loss
    close(loss.reshape(1), vectors["tokenizer.forward.bsq_loss"])


def test_s1_logits_with_and_without_calendar(model, vectors):
    s1, s2 = vectors["model.s1_ids"], vectors["model.s2_ids"]
    hidden = model.hidden(s1, s2, vectors["model.stamp"])
    close(hidden, vectors["model.context"])
    close(model.s1_logits(hidden), vectors["model.s1_logits"])
    close(model.s1_logits(model.hidden(s1, s2)), vectors["model.s1_logits.no_stamp"])


def test_s2_logits_at_sampling_time(model, vectors):
    pick = vectors["model.decode_s2.s1_pick"][:, 0]
    logits = model.s2_logits_last(vectors["model.context"], pick)
    close(logits, vectors["model.decode_s2.last_logits"])


def test_teacher_forcing_losses_and_gradients(model, vectors):
    model.train()  # the golden checkpoint has no dropout
    s1_targets = vectors["model.teacher.s1_targets"]
    logits = model(
        vectors["model.s1_ids"],
        vectors["model.s2_ids"],
        vectors["model.stamp"],
        s1_targets=s1_targets,
        s2_attention=S2Attention.ROTATED,
    )
    close(logits[0], vectors["model.teacher.s1_logits"])
    close(logits[1], vectors["model.teacher.s2_logits"])
    loss = token_loss(*logits, s1_targets, vectors["model.teacher.s2_targets"])
    close(torch.stack((loss.total, loss.s1, loss.s2)), vectors["model.teacher.losses"])
    loss.total.backward()
    close(model.transformer[0].self_attn.q_proj.weight.grad, vectors["model.teacher.grad.q_proj0"])
    close(model.dep_layer.cross_attn.k_proj.weight.grad, vectors["model.teacher.grad.dep_k"])


def test_filters(vectors, golden_cases):
    for case in golden_cases["filter_cases"]:
        probabilities = filtered_probabilities(
            vectors["filter.logits"], T=case["T"], top_k=case["top_k"], top_p=case["top_p"]
        )
        close(probabilities, vectors[f"filter.probs.{case['index']}"])
