"""Fused weights share the model's memory; bfloat16 is chosen only where it pays."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from kronos.decoding import weights
from kronos.decoding.decoder import Decoder
from kronos.decoding.weights import fastest_dtype, fuse
from kronos.forecasters.kronos import KronosPredictor
from kronos.nn.checkpoint import load_model, save_checkpoint

CPU = torch.device("cpu")


def test_fused_layers_share_memory_with_unchanged_values():
    layers = [nn.Linear(8, n) for n in (3, 5, 2)]
    before = [(layer.weight.clone(), layer.bias.clone()) for layer in layers]
    weight, bias = fuse(*layers)
    assert torch.equal(weight, torch.cat([w for w, _ in before]))
    assert torch.equal(bias, torch.cat([b for _, b in before]))
    assert all(torch.equal(layer.weight, w) for layer, (w, _) in zip(layers, before, strict=True))
    with torch.no_grad():
        layers[1].weight.zero_()
    assert (weight[3:8] == 0).all()
    again, _ = fuse(*layers)
    assert again.data_ptr() == weight.data_ptr()


def test_layers_that_only_share_a_storage_do_not_count_as_fused():
    storage = torch.randn(10, 4)
    layers = [nn.Linear(4, 2, bias=False) for _ in range(2)]
    layers[0].weight.data, layers[1].weight.data = storage[0:2], storage[6:8]
    weight, bias = fuse(*layers)
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


def test_small_models_stay_in_float32(model):
    assert fastest_dtype(model, CPU) == torch.float32


@pytest.mark.parametrize(("gain", "chosen"), [(1e-9, torch.bfloat16), (1e9, torch.float32)])
def test_a_processor_uses_bfloat16_only_where_it_measures_faster(model, monkeypatch, gain, chosen):
    monkeypatch.setattr(weights, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(weights, "LEAST_GAIN", gain)
    assert fastest_dtype(model, CPU) == chosen


def test_bfloat16_with_wrong_products_is_not_chosen_however_fast(model, monkeypatch):
    monkeypatch.setattr(weights, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(weights, "LEAST_GAIN", 1e-9)
    monkeypatch.setattr(weights, "MOST_ERROR", 1e-9)
    assert fastest_dtype(model, CPU) == torch.float32


def test_quantiles_in_bfloat16_lie_within_the_sampling_error_of_float32(
    model, tokenizer, golden_candles
):
    """The error of a quantile over N paths, estimated by bootstrap over float32's own paths.

    Two independent fans in float32 differ by 1.13 such errors in the mean, and by more than
    4.2 in one of a thousand quantiles.
    """
    df = golden_candles.set_index("timestamps")
    future = pd.date_range(df.index[-1] + pd.Timedelta("1h"), periods=12, freq="1h")

    def closes(dtype):
        predictor = KronosPredictor(model, tokenizer, "cpu", max_context=64, dtype=dtype)
        found = predictor.forecast(df, y_timestamp=future, sample_count=300, seed=4)
        return found.column("close")

    exact, rounded = closes(torch.float32), closes(torch.bfloat16)
    assert not np.array_equal(exact, rounded)
    levels = [0.1, 0.5, 0.9]
    rng = np.random.default_rng(0)
    samples = [exact[rng.integers(0, len(exact), len(exact))] for _ in range(200)]
    error = np.std([np.quantile(s, levels, axis=0) for s in samples], axis=0)
    moved = np.abs(np.quantile(rounded, levels, axis=0) - np.quantile(exact, levels, axis=0))
    assert (moved / error).mean() < 1.0
    assert (moved / error).max() < 4.2
