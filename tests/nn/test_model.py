"""Laws of the network: causality, dropout-free determinism, thread safety, sizes."""

import threading

import pytest
import torch

from kronos.errors import CheckpointInvalid
from kronos.nn.config import SIZES, ModelConfig, published_tokenizer
from kronos.nn.layers import rotate, rotation_table
from kronos.nn.model import Kronos, S2Attention, token_loss
from kronos.nn.tokenizer import KronosTokenizer


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "expected"),
    [("mini", 4_108_032), ("small", 24_741_376), ("base", 102_310_592), ("large", 499_246_976)],
)
def test_published_parameter_counts(size, expected):
    with torch.device("meta"):
        assert n_parameters(Kronos(**SIZES[size].to_dict())) == expected


@pytest.mark.parametrize("group_size", [4, 5])
def test_published_tokenizer_parameter_count(group_size):
    with torch.device("meta"):
        tokenizer = KronosTokenizer(**published_tokenizer(group_size).to_dict())
    assert n_parameters(tokenizer) == 3_958_042


@pytest.fixture
def sequence():
    generator = torch.Generator().manual_seed(3)
    s1 = torch.randint(1024, (2, 24), generator=generator)
    s2 = torch.randint(1024, (2, 24), generator=generator)
    stamp = torch.randint(7, (2, 24, 5), generator=generator)
    return s1, s2, stamp


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", list(S2Attention))
def test_future_tokens_never_change_past_logits(model, sequence, training, mode):
    """Dropout is zero in the golden checkpoint, so training mode is deterministic too."""
    model.train(training)
    s1, s2, stamp = sequence
    t = 15
    changed = [x.clone() for x in (s1, s2, stamp)]
    changed[0][:, t:] = (changed[0][:, t:] + 1) % 1024
    changed[1][:, t:] = (changed[1][:, t:] + 1) % 1024
    changed[2][:, t:] = (changed[2][:, t:] + 1) % 7
    logits = model(*sequence, s1_targets=s1.roll(-1, 1), s2_attention=mode)
    other = model(*changed, s1_targets=changed[0].roll(-1, 1), s2_attention=mode)
    assert torch.equal(logits[0][:, :t], other[0][:, :t])
    # s2 at t - 1 is conditioned on the s1 to come at t, which did change.
    assert torch.equal(logits[1][:, : t - 1], other[1][:, : t - 1])
    assert not torch.equal(logits[0][:, t:], other[0][:, t:])


def test_unrotated_teacher_forcing_is_what_sampling_computes(model, sequence):
    """Every position of UNROTATED equals one sampling-time query over the same history."""
    s1, s2, stamp = sequence
    targets = s1.roll(-1, 1)
    _, s2_logits = model(s1, s2, stamp, s1_targets=targets, s2_attention=S2Attention.UNROTATED)
    hidden = model.hidden(s1, s2, stamp)
    for t in (1, 10, 24):
        last = model.s2_logits_last(hidden[:, :t], targets[:, t - 1])
        torch.testing.assert_close(s2_logits[:, t - 1], last, rtol=1e-5, atol=1e-6)


def test_sampling_time_dependency_layer_ignores_the_order_of_history(model, sequence):
    s1, s2, stamp = sequence
    hidden = model.hidden(s1, s2, stamp)
    order = torch.cat(
        (torch.randperm(23, generator=torch.Generator().manual_seed(0)), torch.tensor([23]))
    )
    shuffled = model.s2_logits_last(hidden[:, order], s1[:, 0])
    torch.testing.assert_close(
        model.s2_logits_last(hidden, s1[:, 0]), shuffled, rtol=1e-5, atol=1e-6
    )


def test_encoding_and_decoding_are_causal(tokenizer, vectors):
    x = vectors["tokenizer.x"]
    changed = x.clone()
    changed[:, 30:] += 1.0
    for one, other in zip(tokenizer.encode(x), tokenizer.encode(changed), strict=True):
        assert torch.equal(one[:, :30], other[:, :30])
    s1, s2 = tokenizer.encode(x)
    assert torch.equal(
        tokenizer.decode(s1, s2)[:, :30],
        tokenizer.decode(s1.clone().index_fill_(1, torch.arange(30, 48), 0), s2)[:, :30],
    )


def test_eight_threads_with_one_model_give_the_single_threaded_result(model, sequence):
    s1, s2, stamp = sequence
    lengths = (5, 9, 14, 24)
    with torch.inference_mode():
        expected = {n: model.hidden(s1[:, :n], s2[:, :n], stamp[:, :n]) for n in lengths}
    wrong: list[int] = []

    def work(offset):
        with torch.inference_mode():
            for i in range(12):
                n = lengths[(i + offset) % len(lengths)]
                got = model.hidden(s1[:, :n], s2[:, :n], stamp[:, :n])
                if not torch.equal(got, expected[n]):
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rotation_keeps_every_position_apart_in_bfloat16_models():
    cos, sin = rotation_table(32, 512)
    assert cos.dtype == torch.float32
    assert len({tuple(row) for row in torch.cat((cos, sin), 1).tolist()}) == 512
    x = torch.randn(512, 32).bfloat16()
    assert rotate(x, (cos, sin)).dtype == torch.bfloat16


def test_rotation_table_made_while_inferring_can_be_trained_with():
    with torch.inference_mode():
        table = rotation_table(20, 7)
    x = torch.randn(7, 20, requires_grad=True)
    rotate(x, table).sum().backward()
    assert x.grad is not None


def test_weights_select_the_positions_that_count(model, sequence):
    s1, s2, stamp = sequence
    logits = model(s1, s2, stamp, s1_targets=s1)
    weight = torch.zeros(2, 24)
    weight[:, 10:] = 1.0
    selected = token_loss(*logits, s1, s2, weight)
    plain = token_loss(logits[0][:, 10:], logits[1][:, 10:], s1[:, 10:], s2[:, 10:])
    torch.testing.assert_close(selected.total, plain.total)


def test_configuration_refuses_unknown_and_missing_fields():
    values = SIZES["mini"].to_dict()
    with pytest.raises(CheckpointInvalid, match="unknown fields \\['width'\\]"):
        ModelConfig.from_dict(values | {"width": 3})
    del values["d_model"]
    with pytest.raises(CheckpointInvalid, match="missing fields \\['d_model'\\]"):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_heads", 0), ("d_model", "16"), ("n_layers", -1), ("s1_bits", 60), ("ff_dim", True),
     ("ffn_dropout_p", 1.0), ("d_model", 260)],
)  # fmt: skip
def test_configuration_refuses_values_out_of_range(field, value):
    with pytest.raises(CheckpointInvalid, match=field):
        ModelConfig.from_dict(SIZES["mini"].to_dict() | {field: value})
