"""The products of a decoding step: fused, tiled, and independent of a row's company."""

import torch
import torch.nn.functional as F
from torch import nn

from kronos.inference.generate import Decoder
from kronos.inference.step import TILE, joined, project, rows_of, tiles
from kronos.nn.checkpoint import load_model, save_checkpoint


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_row_of_a_tile_is_rounded_the_same_wherever_it_stands():
    """The reason why products run over tiles of one size."""
    for K, n in ((64, 192), (256, 768), (832, 2496), (2048, 832)):
        weight, x = random(n, K), random(TILE, K, seed=1)
        bias = random(n, seed=2)
        expected = project(x, weight, bias)
        order = torch.randperm(TILE, generator=torch.Generator().manual_seed(3))
        assert torch.equal(project(x[order], weight, bias), expected[order])
        other = random(TILE, K, seed=4)
        other[5] = x[9]
        assert torch.equal(project(other, weight, bias)[5], expected[9])


def test_project_is_linear_up_to_rounding():
    x, weight, bias = random(TILE, 64), random(96, 64, seed=1), random(96, seed=2)
    torch.testing.assert_close(project(x, weight, bias), F.linear(x, weight, bias))
    torch.testing.assert_close(project(x, weight), F.linear(x, weight))


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


def test_tiles_and_rows_are_inverse():
    parts = [random(n, 4, seed=n) for n in (5, 40, 1)]
    tiled = tiles(parts, fill=7)
    assert [len(t) for t in tiled] == [TILE, TILE]
    assert (tiled[-1][46 - TILE :] == 7).all()
    for part, back in zip(parts, rows_of(tiled, [5, 40, 1]), strict=True):
        assert torch.equal(part, back)
