"""The shared-prefix cache stores a context once and attends as plain attention does."""

import torch
import torch.nn.functional as F

from kronos.inference.cache import SharedPrefixCache


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_prefix_is_stored_once_whatever_the_number_of_paths():
    cache = SharedPrefixCache(capacity=2)
    k = random(4, 5, 8)
    cache.store_prefix(0, k, k)
    one = cache.n_bytes
    forks = [cache.fork() for _ in range(3)]
    assert all(f.prefix(0)[0].data_ptr() == cache.prefix(0)[0].data_ptr() for f in forks)
    assert cache.attend(0, random(1000, 4, 1, 8)).shape == (1000, 4, 1, 8)
    assert cache.n_bytes == one == 2 * k.numel() * 4


def test_attention_equals_plain_attention_over_prefix_and_own_positions():
    N, H, T, S, E = 6, 4, 9, 3, 8
    k, v = random(H, T, E, seed=1), random(H, T, E, seed=2)
    own_k, own_v = random(N, H, S, E, seed=3), random(N, H, S, E, seed=4)
    q = random(N, H, S, E, seed=5)
    cache = SharedPrefixCache(capacity=5)
    cache.store_prefix(7, k, v)
    whole = [torch.cat((a.expand(N, -1, -1, -1), b), 2) for a, b in ((k, own_k), (v, own_v))]
    mask = torch.ones(S, T + S, dtype=torch.bool).tril(T)
    expected = F.scaled_dot_product_attention(q, *whole, attn_mask=mask)

    cache.append(7, own_k, own_v, 0)
    torch.testing.assert_close(cache.attend(7, q), expected)

    stepwise = cache.fork()
    for j in range(S):
        at = slice(j, j + 1)
        stepwise.append(7, own_k[:, :, at], own_v[:, :, at], j)
        torch.testing.assert_close(stepwise.attend(7, q[:, :, at]), expected[:, :, at])


def test_forks_do_not_see_each_other():
    cache = SharedPrefixCache(capacity=2)
    cache.store_prefix(0, random(2, 5, 8), random(2, 5, 8, seed=1))
    one, other = cache.fork(), cache.fork()
    q, k = random(3, 2, 1, 8, seed=2), random(3, 2, 1, 8, seed=3)
    before = other.attend(0, q)
    one.append(0, k, k, 0)
    assert torch.equal(other.attend(0, q), before)
    assert not torch.equal(one.attend(0, q), before)
