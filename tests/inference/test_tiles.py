"""Compiled decoding: its kernels against NumPy and the laws of `kronos.inference.sampling`."""

import threading

import numpy as np
import pytest
import torch

from kronos.forecast import SamplingParameters
from kronos.inference import kernels
from kronos.inference.generate import Decoder, generate
from kronos.inference.sampling import RowFilters, divisor, draw
from kronos.inference.tables import TokenTables
from kronos.inference.tiles import TileDecoder
from tests.inference.test_generate import begun, make_context, run

MIXED = [
    {"n_paths": 45},
    {"T": 1e-46, "n_paths": 2},
    {"T": 0.0, "n_paths": 3},
    {"T": 0.7, "top_p": 0.8, "n_paths": 33},
    {"T": 1.4, "top_k": 7, "seed": 2**60, "n_paths": 64},
]


def test_draws_what_the_plain_decoder_draws(model):
    def drawn(kind):
        series = [begun(make_context(9 + 8 * i, 5 + i, i), **s) for i, s in enumerate(MIXED)]
        return run(kind(model), *series)

    for ours, expected in zip(drawn(TileDecoder), drawn(Decoder), strict=True):
        assert torch.equal(ours, expected)


def test_exponentials_are_those_of_numpy():
    x = np.linspace(-87, 0, 2**17, dtype=np.float32)[:, None].repeat(32, 1)
    ours = x.copy()
    kernels.powers(ours, np.zeros(len(x), np.float32), np.float32(1))
    assert np.abs(ours / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    assert (ours[-1] == 1).all()


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"T": 0.3},
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
def test_draws_are_those_of_the_filters(setting, ties):
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (30, 64)).astype(np.float32)
    bias = rng.normal(0, 3, 64).astype(np.float32)
    if ties:  # whole numbers, so that equal logits stay equal whatever is done to them
        logits, bias = np.round(logits), np.round(bias)
    uniforms = rng.random(30)
    uniforms[:2] = 0.0, 1.0 - 2.0**-53
    sampling = SamplingParameters(**setting)
    expected = draw(
        RowFilters.of([sampling], 64).probabilities(torch.from_numpy(logits + bias)),
        torch.from_numpy(uniforms),
    )

    columns = np.zeros((64, 32), np.float32)
    columns[:, :30] = logits.T
    kernels.powers(columns, bias, np.float32(divisor(sampling)))
    least, ids = np.zeros(32, np.float32), np.empty(30, np.int64)
    rows = np.empty((32, 64), np.float32)
    kernels.least_kept(columns, 30, sampling.top_k or 64, sampling.top_p, rows, least)
    kernels.draw(columns, least, uniforms, np.empty((64, 32)), ids)
    assert ids.tolist() == expected.tolist()


def test_threads_share_a_decoder_without_sharing_memory(model):
    decoder = TileDecoder(model)
    settings = [(20 + i % 3, 6, i) for i in range(8)]
    expected = [run(decoder, begun(make_context(*s), 40)) for s in settings]
    found = [None] * len(settings)

    def work(i):
        for _ in range(3):
            found[i] = run(decoder, begun(make_context(*settings[i]), 40))

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
    c = begun(make_context(20, 4), 5)
    generate(TileDecoder(model), [c])
    assert torch.equal(torch.stack((c.s1, c.s2)), run(Decoder(model), begun(c.context, 5)))
