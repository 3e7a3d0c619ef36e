"""The prefix cache stores a context once and attends as plain attention does."""

import torch
import torch.nn.functional as F

from kronos.decoding.prefix_cache import PrefixCache


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_attention_equals_plain_attention_over_prefix_and_own_positions():
    N, H, T, S, E = 6, 4, 9, 3, 8
    k, v = random(1, H, T, E, seed=1), random(1, H, T, E, seed=2)
    own_k, own_v = random(N, H, S, E, seed=3), random(N, H, S, E, seed=4)
    q, context_q = random(N, H, S, E, seed=5), random(1, H, T, E, seed=6)
    cache = PrefixCache()

    read = cache.prefilling(7)(context_q, k, v)
    torch.testing.assert_close(
        read, F.scaled_dot_product_attention(context_q, k, v, is_causal=True)
    )

    whole = [torch.cat((a.expand(N, -1, -1, -1), b), 2) for a, b in ((k, own_k), (v, own_v))]
    mask = torch.ones(S, T + S, dtype=torch.bool).tril(T)
    expected = F.scaled_dot_product_attention(q, *whole, attn_mask=mask)
    torch.testing.assert_close(cache.continuing(7)(q, own_k, own_v), expected)


def test_paths_do_not_see_each_other():
    cache = PrefixCache()
    cache.store(0, random(2, 5, 8), random(2, 5, 8, seed=1))
    attend = cache.continuing(0)
    q, k, v = (random(3, 2, 4, 8, seed=i) for i in (2, 3, 4))
    before = attend(q, k, v)
    k[0], v[0] = 7.0, -7.0
    after = attend(q, k, v)
    assert torch.equal(after[1:], before[1:])
    assert not torch.equal(after[0], before[0])
