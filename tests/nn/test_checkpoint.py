"""Checkpoint folders: complete, strict, and readable by upstream's loader."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from kronos import Kronos, KronosTokenizer
from kronos.errors import CheckpointInvalid
from kronos.nn.checkpoint import load_model, load_tokenizer, save_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(root, tmp_path):
    return shutil.copytree(root / "tests/golden", tmp_path / "checkpoint")


@pytest.mark.parametrize(("part", "load"), [("model", load_model), ("tokenizer", load_tokenizer)])
def test_saving_writes_the_names_shapes_and_values_upstream_wrote(folder, tmp_path, part, load):
    save_checkpoint(load(folder / part), tmp_path / "again")
    original, written = load_file(folder / part / WEIGHTS), load_file(tmp_path / "again" / WEIGHTS)
    assert original.keys() == written.keys()
    for name, tensor in original.items():
        assert tensor.dtype == written[name].dtype
        assert torch.equal(tensor, written[name]), name
    config = json.loads((folder / part / "config.json").read_text())
    assert json.loads((tmp_path / "again/config.json").read_text()) == config


def test_half_precision_storage_is_widened_on_loading(folder, tmp_path, model):
    save_checkpoint(model, tmp_path / "half", torch.float16)
    half = load_model(tmp_path / "half")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    for one, other in zip(model.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("part", "load"), [("model", load_model), ("tokenizer", load_tokenizer)])
def test_derived_buffers_may_be_missing(folder, part, load):
    tensors = load_file(folder / part / WEIGHTS)
    kept = {n: t for n, t in tensors.items() if "inv_freq" not in n and "basis" not in n}
    assert len(kept) < len(tensors)
    save_file(kept, folder / part / WEIGHTS)
    load(folder / part)


@pytest.mark.parametrize(("part", "load"), [("model", load_model), ("tokenizer", load_tokenizer)])
def test_loading_draws_no_random_numbers(folder, part, load):
    before = torch.get_rng_state()
    load(folder / part)
    assert torch.equal(torch.get_rng_state(), before)


def damage(folder, change):
    path = folder / "model" / WEIGHTS
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(CheckpointInvalid) as caught:
        load_model(folder / "model")
    return str(caught.value)


def test_every_parameter_must_be_there(folder):
    assert "missing norm.weight" in damage(folder, lambda t: t.pop("norm.weight"))


def test_unknown_names_are_reported(folder):
    def change(tensors):
        tensors["surprise"] = torch.zeros(1)

    assert "unknown surprise" in damage(folder, change)


def test_shapes_are_compared(folder):
    def change(tensors):
        tensors["norm.weight"] = torch.zeros(7)

    assert "norm.weight is (7,), expected (48,)" in damage(folder, change)


def test_group_size_is_confirmed_by_the_stored_buffer(folder):
    path = folder / "tokenizer/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"group_size": 5}))
    with pytest.raises(CheckpointInvalid, match="group_basis is \\(4,\\), expected \\(5,\\)"):
        load_tokenizer(folder / "tokenizer")


def test_pickled_weights_are_refused(folder):
    (folder / "model" / WEIGHTS).rename(folder / "model/pytorch_model.bin")
    with pytest.raises(CheckpointInvalid, match="which is pickle"):
        load_model(folder / "model")


def test_truncated_weights_are_refused(folder):
    path = folder / "model" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointInvalid, match="cannot be read"):
        load_model(folder / "model")


def test_model_folder_is_no_tokenizer(folder):
    with pytest.raises(CheckpointInvalid, match="TokenizerConfig"):
        load_tokenizer(folder / "model")


def test_upstreams_way_of_loading_and_saving(folder, tmp_path):
    model = Kronos.from_pretrained(folder / "model")
    tokenizer = KronosTokenizer.from_pretrained(str(folder / "tokenizer"))
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    assert Kronos.from_pretrained(tmp_path / "model").config == model.config
    assert KronosTokenizer.from_pretrained(tmp_path / "tokenizer").config == tokenizer.config
