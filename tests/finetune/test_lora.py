"""Adapters: their size, that they begin as the identity, that merging changes nothing."""

import pytest
import torch

from kronos.errors import CheckpointInvalid, InvalidRequest
from kronos.finetune.lora import LoraSettings, add_events, add_lora, lora_tensors, n_trained
from kronos.models.merging import merge
from kronos.nn.checkpoint import load_model
from kronos.nn.config import SIZES
from kronos.nn.model import Kronos
from tests.finetune.conftest import GOLDEN


def logits(model, events=None):
    generator = torch.Generator().manual_seed(0)
    s1, s2 = torch.randint(0, 1 << 10, (2, 2, 20), generator=generator)
    stamp = torch.randint(0, 7, (2, 20, 5), generator=generator)
    with torch.no_grad():
        return model(s1, s2, stamp, events, s1_targets=s1)


def disturbed(model):
    """An adapter as it is after training: its second matrices are no longer 0."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ("lora_B" in name or "event_emb" in name):
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.mark.parametrize(("events", "expected"), [(False, 319_488), (True, 319_488 + 17_472)])
def test_the_size_of_an_adapter_of_base(events, expected):
    with torch.device("meta"):
        model = Kronos(**SIZES["base"].to_dict())
    assert n_trained(add_lora(model, LoraSettings(), events=events)) == expected


def test_only_queries_and_values_of_the_blocks_are_adapted(model):
    add_lora(model, LoraSettings(), events=False)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * len(model.transformer)
    assert all(name.startswith("transformer.") and "self_attn." in name for name in trained)
    assert not any("k_proj" in name or "out_proj" in name for name in trained)


def test_all_matrices_of_the_blocks_are_adapted_where_that_is_asked_for(model):
    matrices = {
        name.removesuffix(".weight")
        for name, p in model.named_parameters()
        if name.startswith("transformer.") and p.ndim == 2
    }
    add_lora(model, LoraSettings(targets="blocks"), events=False)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.partition(".lora_")[0] for name in trained} == matrices
    with pytest.raises(InvalidRequest, match="attention or blocks, found 'heads'"):
        LoraSettings(targets="heads")


@pytest.mark.parametrize("targets", ["attention", "blocks"])
def test_an_adapter_begins_as_the_identity(model, targets):
    before = logits(model)
    adapted = add_lora(model, LoraSettings(targets=targets), events=True).eval()
    channels = torch.randn(2, 20, 20)
    for after in (logits(adapted), logits(adapted, events=channels)):
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("targets", ["attention", "blocks"])
def test_merged_and_unmerged_are_the_same(model, targets):
    settings = LoraSettings(rank=4, alpha=16, targets=targets)
    adapted = disturbed(add_lora(model, settings, events=True)).eval()
    plain = merge(load_model(GOLDEN / "model"), lora_tensors(adapted), 16 / 4)
    channels = torch.randn(2, 20, 20, generator=torch.Generator().manual_seed(1))
    for events in (None, channels):
        for one, other in zip(logits(adapted, events), logits(plain, events), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not torch.equal(logits(plain)[0], logits(plain, channels)[0])
    assert not torch.equal(logits(plain)[0], logits(load_model(GOLDEN / "model"))[0])


def test_the_seed_of_an_adapter_moves_nobody_elses_random_numbers(model):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    add_lora(model, LoraSettings(), events=False, seed=5)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("change", ["another width", "half a product", "an unknown matrix"])
def test_an_adapter_that_does_not_fit_is_refused(model, change):
    adapted = disturbed(add_lora(model, LoraSettings(), events=False))
    tensors = lora_tensors(adapted)
    name = "transformer.0.self_attn.q_proj.lora_A.weight"
    if change == "another width":
        tensors[name] = tensors[name][:, :-1]
    elif change == "half a product":
        del tensors[name]
    else:
        tensors["head.proj_s1.weight"] = torch.zeros(2, 2)
    with pytest.raises(CheckpointInvalid, match="does not fit the model"):
        merge(load_model(GOLDEN / "model"), tensors, 2.0)


def test_an_event_embedding_goes_on_with_the_rows_it_has_learned():
    model = load_model(GOLDEN / "model")
    add_events(model)
    assert model.config.event_alignment == "ahead"
    earlier = load_model(GOLDEN / "model")
    earlier.add_event_embedding("bar")
    add_events(earlier)
    assert earlier.config.event_alignment == "bar"
