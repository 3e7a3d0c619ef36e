"""Bits, ids and codes."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from kronos.nn.config import published_tokenizer
from kronos.nn.quantizer import bits_to_ids, ids_to_bits, quantization_loss, quantize, signs


@given(st.lists(st.integers(0, 1023), min_size=1, max_size=50))
def test_ids_survive_the_round_trip_through_bits(ids):
    ids = torch.tensor(ids)
    assert torch.equal(bits_to_ids(ids_to_bits(ids, 10)), ids)


def test_bit_i_weighs_two_to_the_i():
    code = -torch.ones(10, 10) + 2 * torch.eye(10)
    assert bits_to_ids(code).tolist() == [2**i for i in range(10)]


def test_codes_are_unit_vectors_and_zero_counts_as_minus_one():
    _, quantized = quantize(torch.randn(5, 7, 20))
    torch.testing.assert_close(quantized.norm(dim=-1), torch.ones(5, 7))
    assert signs(torch.zeros(3)).tolist() == [-1.0, -1.0, -1.0]


def test_gradients_pass_straight_through():
    z = torch.randn(4, 20, requires_grad=True)
    signs(z).sum().backward()
    assert torch.equal(z.grad, torch.ones(4, 20))


def test_loss_prefers_all_codes_in_use():
    config = published_tokenizer()
    scale = 1 / math.sqrt(20)
    used = ids_to_bits(torch.randint(1 << 20, (1, 4096)), 20) * scale
    stuck = ids_to_bits(torch.zeros(1, 4096, dtype=torch.long), 20) * scale
    assert quantization_loss(used, used, config) < quantization_loss(stuck, stuck, config)
