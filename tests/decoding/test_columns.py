"""The products of a decoding step: joined, tiled, and independent of a column's company."""

import torch
from torch import nn

from kronos.decoding.batch import TILE
from kronos.decoding.columns import ColumnStep, tiled, untiled
from kronos.decoding.decoder import Decoder
from kronos.decoding.rows import RowStep
from kronos.decoding.weights import JoinedModel, joined
from kronos.nn.checkpoint import load_model, save_checkpoint


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_column_of_a_tile_is_rounded_the_same_wherever_it_stands():
    """The reason why products run over tiles of one size."""
    for K, n in ((64, 192), (256, 768), (832, 2496), (2048, 832)):
        weight, x, bias = random(n, K), random(K, TILE, seed=1), random(n, 1, seed=2)
        expected = torch.addmm(bias, weight, x)
        order = torch.randperm(TILE, generator=torch.Generator().manual_seed(3))
        assert torch.equal(torch.addmm(bias, weight, x[:, order].contiguous()), expected[:, order])
        other = random(K, TILE, seed=4)
        other[:, 5] = x[:, 9]
        assert torch.equal(torch.addmm(bias, weight, other)[:, 5], expected[:, 9])


def test_columns_and_rows_compute_the_same_layers(model):
    weights = JoinedModel(model)
    columns, rows = ColumnStep(weights), RowStep(weights)
    x, attended = random(2, 48, TILE), random(2, 48, TILE, seed=1)
    positions = [i % 11 for i in range(2 * TILE)]
    rotation = [t[positions][:, None, None] for t in model.rotation(11, x.device)]
    scale = columns.head_width**-0.5
    with torch.no_grad():
        for block in weights.blocks:
            q, k, v = columns.heads(block, x, columns.turns(positions))
            expected_q, kv = rows.heads(block, as_rows(x), rotation)
            torch.testing.assert_close(as_rows(q), expected_q * scale)
            torch.testing.assert_close(torch.stack((as_rows(k), as_rows(v)), 1), kv)
            torch.testing.assert_close(
                as_rows(columns.output(block, x, attended)),
                rows.output(block, as_rows(x), as_rows(attended)),
            )


def as_rows(x):
    """Columns (B, ..., R) as rows (B * R, ...)."""
    return x.movedim(-1, 1).flatten(0, 1)


def test_joined_layers_share_memory_and_keep_their_values():
    layers = [nn.Linear(8, n) for n in (3, 5, 2)]
    before = [(layer.weight.clone(), layer.bias.clone()) for layer in layers]
    weight, bias = joined(*layers)
    assert torch.equal(weight, torch.cat([w for w, _ in before]))
    assert torch.equal(bias, torch.cat([b for _, b in before]))
    assert all(torch.equal(layer.weight, w) for layer, (w, _) in zip(layers, before, strict=True))
    with torch.no_grad():
        layers[1].weight.zero_()
    assert (weight[3:8] == 0).all()
    again, _ = joined(*layers)
    assert again.data_ptr() == weight.data_ptr()


def test_layers_that_only_share_a_storage_are_not_taken_for_joined():
    storage = random(10, 4)
    layers = [nn.Linear(4, 2, bias=False) for _ in range(2)]
    layers[0].weight.data, layers[1].weight.data = storage[0:2], storage[6:8]
    weight, bias = joined(*layers)
    assert bias is None
    assert torch.equal(weight, torch.cat((storage[0:2], storage[6:8])))


def test_a_model_that_decodes_can_still_be_saved_and_trained(model, tmp_path):
    names = {name: p.detach().clone() for name, p in model.named_parameters()}
    Decoder(model)
    save_checkpoint(model, tmp_path)
    saved = dict(load_model(tmp_path).named_parameters())
    assert all(torch.equal(p, names[n]) for n, p in saved.items())
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in names.items()
    }
    assert all(torch.equal(p, names[n]) for n, p in model.named_parameters())
    ids = torch.randint(1024, (1, 5))
    logits, _ = model(ids, ids, s1_targets=ids)
    logits.sum().backward()
    assert model.transformer[0].self_attn.k_proj.weight.grad.abs().sum() > 0


def test_tiled_and_untiled_are_inverse():
    parts = [random(4, n, seed=n) for n in (5, 40, 1)]
    tiles = tiled(parts, fill=7)
    assert tiles.shape == (2, 4, TILE)
    assert (tiles[-1][:, 46 - TILE :] == 7).all()
    for part, back in zip(parts, untiled(tiles, [5, 40, 1]), strict=True):
        assert torch.equal(part, back)
