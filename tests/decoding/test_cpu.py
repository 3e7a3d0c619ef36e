"""Compiled decoding: its kernels against NumPy and the laws of `kronos.decoding.sampling`."""

import threading

import numpy as np
import pytest
import torch
from numba.core import caching

from kronos.decoding import cpu_kernels as kernels
from kronos.decoding.cpu import TileDecoder, TokenTables
from kronos.decoding.decoder import Decoder, generate
from kronos.decoding.sampling import RowFilters, divisor, draw
from kronos.forecast import SamplingParameters
from tests.decoding.test_decoder import make_context, new_sequence, run

MIXED = [
    {"n_paths": 45},
    {"T": 1e-46, "n_paths": 2},
    {"T": 0.0, "n_paths": 3},
    {"T": 0.7, "top_p": 0.8, "n_paths": 33},
    {"T": 1.4, "top_k": 7, "seed": 2**60, "n_paths": 64},
]


def test_draws_the_tokens_of_the_plain_decoder(model):
    def drawn(kind):
        series = [new_sequence(make_context(9 + 8 * i, 5 + i, i), **s) for i, s in enumerate(MIXED)]
        return run(kind(model), *series)

    for ours, expected in zip(drawn(TileDecoder), drawn(Decoder), strict=True):
        assert torch.equal(ours, expected)


def test_exponentials_are_those_of_numpy():
    x = np.linspace(-87, 0, 2**17, dtype=np.float32)[:, None].repeat(32, 1)
    ours = x.copy()
    kernels.powers(ours, np.zeros(len(x), np.float32), np.float32(1))
    assert np.abs(ours / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    assert (ours[-1] == 1).all()


def least_kept(powers, top_k=0, top_p=1.0, n=32):
    """By the kernel, of the first n paths of powers (V, R): (R,)."""
    V, least = len(powers), np.zeros(32, np.float32)
    kernels.least_kept(powers, n, top_k or V, top_p, np.empty((32, V), np.float32), least)
    return least


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"T": 0.3},
        {"T": 1e-46},
        {"T": 1e-46, "top_p": 0.9},
        {"top_p": 0.5},
        {"top_p": 1e-9},
        {"top_k": 1},
        {"top_k": 5},
        {"top_k": 40, "top_p": 0.6, "T": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_tokens", [2, 8, 64])
def test_draws_are_those_of_the_filters(setting, ties, n_tokens):
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (30, n_tokens)).astype(np.float32)
    bias = rng.normal(0, 3, n_tokens).astype(np.float32)
    if ties:  # whole numbers, so that equal logits stay equal whatever is done to them
        logits, bias = np.round(logits), np.round(bias)
    uniforms = rng.random(30)
    uniforms[:2] = 0.0, 1.0 - 2.0**-53
    sampling = SamplingParameters(**setting)
    expected = draw(
        RowFilters.of([sampling], n_tokens).probabilities(torch.from_numpy(logits + bias)),
        torch.from_numpy(uniforms),
    )

    columns = np.zeros((n_tokens, 32), np.float32)
    columns[:, :30] = logits.T
    kernels.powers(columns, bias, np.float32(divisor(sampling)))
    least, ids = least_kept(columns, sampling.top_k, sampling.top_p, n=30), np.empty(30, np.int64)
    kernels.draw(columns, least, uniforms, np.empty((n_tokens, 32)), ids)
    assert ids.tolist() == expected.tolist()


@pytest.mark.parametrize("top_p", [0.1, 0.9, 0.9999999, 1 - 1e-10])
@pytest.mark.parametrize("spread", [1e-5, 1.0, 12.0])
def test_the_border_of_top_p_is_that_of_sums_in_float64(spread, top_p):
    """Also where float32 cannot tell sums apart, and where powers are almost the same."""
    logits = np.random.default_rng(2).normal(0, spread, (1024, 32))
    powers = np.exp(logits - logits.max(axis=0)).astype(np.float32)
    ordered = np.sort(powers, axis=0)[::-1]
    masses = ordered.cumsum(axis=0, dtype=np.float64)
    places = (masses <= top_p * masses[-1]).sum(axis=0)
    assert least_kept(powers, top_p=top_p).tolist() == ordered[places, np.arange(32)].tolist()


def test_a_token_goes_only_where_those_before_exceed_the_mass():
    powers = np.zeros((16, 32), np.float32)
    powers[:3] = [[1.0], [0.5], [0.25]]
    powers[3:5] = 0.125
    assert (least_kept(powers, top_p=0.5) == 0.5).all(), "1 of 2 is not more than a half"
    assert (least_kept(powers, top_p=0.49) == 1.0).all()
    assert (least_kept(powers, top_k=4) == 0.125).all()
    assert (least_kept(powers, top_k=3, top_p=0.9) == 0.25).all()
    assert (least_kept(powers, top_k=9) == 0.0).all()


def test_a_gate_far_below_zero_lets_nothing_through():
    gates = np.linspace(-300, 300, 32 * 64, dtype=np.float32).reshape(64, 32)
    out = np.empty_like(gates)
    kernels.gate(np.concatenate((gates, np.ones_like(gates))), out)
    expected = gates.astype(np.float64) / (1 + np.exp(-gates.astype(np.float64)))
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-35)


def test_threads_share_a_decoder_without_sharing_memory(model):
    decoder = TileDecoder(model)
    settings = [(20 + i % 3, 6, i) for i in range(8)]
    expected = [run(decoder, new_sequence(make_context(*s), 40)) for s in settings]
    found = [None] * len(settings)

    def work(i):
        for _ in range(3):
            found[i] = run(decoder, new_sequence(make_context(*settings[i]), 40))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(settings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_tables_follow_the_weights(model):
    tables = TokenTables(model)
    before = tables.current()
    assert tables.current() is before
    with torch.no_grad():
        model.embedding.emb_s1.weight.mul_(2)
    after = tables.current()
    assert not np.array_equal(after.queries, before.queries)
    seq = new_sequence(make_context(20, 4), 5)
    generate(TileDecoder(model), [seq])
    assert torch.equal(
        torch.stack((seq.s1, seq.s2)), run(Decoder(model), new_sequence(seq.context, 5))
    )


def test_kernels_are_compiled_in_memory_where_no_cache_can_be_written(monkeypatch):
    """As in a container whose file system is read-only, for a user without a home."""

    def add(x, y):
        return x + y

    with monkeypatch.context() as patched:
        patched.setattr(caching.CacheImpl, "_locator_classes", [])
        assert kernels._cached()(add)(1, 2) == 3


def test_a_cache_of_kernels_on_a_full_disk_fails_no_forecast(monkeypatch, tmp_path):
    source = tmp_path / "kernel.py"
    source.write_text("def add(x, y):\n    return x + y\n")
    scope = {}
    exec(compile(source.read_text(), source, "exec"), scope)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", fail)
    assert kernels._cached()(scope["add"])(1, 2) == 3
