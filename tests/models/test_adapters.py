"""Adapters: listed, loaded by name, refused on the wrong base."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch

from kronos import models
from kronos.errors import (
    CheckpointCorrupt,
    CheckpointInvalid,
    CheckpointUnavailable,
    InvalidRequest,
)
from kronos.finetune.lora import LoraSettings, add_lora, lora_tensors
from kronos.models import adapters
from kronos.models.facts import model_facts, reads_events
from kronos.models.merging import save_adapter
from kronos.nn.checkpoint import load_model, save_checkpoint
from kronos.nn.header import read_header
from tests.event_adapter import write_event_adapter
from tests.finetune.test_lora import disturbed, logits

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A data folder of this test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def own_base(home) -> Path:
    """A base that the test may change."""
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, home / "own" / part)
    return home / "own"


@pytest.fixture
def made(own_base, home) -> tuple[Path, torch.nn.Module]:
    """An adapter's file, and the model it was taken from."""
    adapted = disturbed(add_lora(load_model(own_base / "model"), LoraSettings(), events=False))
    located = models.locate(own_base)
    facts = adapters.AdapterFacts(
        base=located.reference,
        base_sha256=models.weights_sha256(located.model),
        tokenizer_sha256=models.weights_sha256(located.tokenizer),
        rank=8, alpha=16, cut_off="2025-03-01T00:00:00+00:00",
        seen_until="2025-06-01T00:00:00+00:00", code="0.1.0", created="2025-07-01T00:00:00+00:00",
        steps=10, n_parameters=4608, has_events=False, asset_class="crypto", scores={"crps": 0.5},
        tensors_sha256="",
    )  # fmt: skip
    save_adapter(home / "made.safetensors", facts, lora_tensors(adapted))
    return home / "made.safetensors", adapted.eval()


def entry(name):
    return next(found for found in models.available() if found.name == name)


def test_an_installed_adapter_is_listed_and_loads_by_name(made, own_base):
    file, adapted = made
    models.install(file, "tiny-crypto")
    listed = entry("tiny-crypto")
    assert (listed.state, listed.base, listed.cut_off) == ("cached", str(own_base), "2025-03-01")
    predictor = models.load("Tiny-Crypto", device="cpu")
    assert (predictor.name, predictor.revision) == ("tiny-crypto", listed.revision)
    for one, other in zip(logits(adapted), logits(predictor.model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    models.verify("tiny-crypto")
    assert models.delete("tiny-crypto") == file.stat().st_size
    assert "tiny-crypto" not in {found.name for found in models.available()}


@pytest.mark.parametrize("stem", ["Tiny", "tIny", " tiny"])
def test_a_broken_entry_is_deleted_and_not_the_adapter_of_a_similar_name(made, stem):
    models.install(made[0], "tiny")
    broken = adapters.adapters_folder() / f"{stem}.safetensors"
    broken.write_bytes(b"nothing")
    assert models.delete(broken.name) == len(b"nothing")
    assert not broken.exists()
    assert entry("tiny").state == "cached"


def test_an_adapter_that_cannot_be_installed_is_named_with_its_file(made, home):
    file, _ = made
    adapters.adapters_folder().parent.mkdir(parents=True, exist_ok=True)
    adapters.adapters_folder().write_text("in the way")
    with pytest.raises(InvalidRequest, match=re.escape(f"The adapter is in {file}")):
        adapters.install_adapter(file, "mine")


def test_the_wrong_base_is_refused(made, own_base):
    models.install(made[0], "tiny-crypto")
    other = load_model(own_base / "model")
    with torch.no_grad():
        other.norm.weight += 1e-3
    save_checkpoint(other, own_base / "model")
    with pytest.raises(CheckpointInvalid, match="was trained on another model"):
        models.load("tiny-crypto", device="cpu")
    with pytest.raises(CheckpointInvalid, match="was trained on another model"):
        models.verify("tiny-crypto")


def test_a_deleted_base_says_what_to_do(made, own_base):
    models.install(made[0], "tiny-crypto")
    shutil.rmtree(own_base)
    with pytest.raises(CheckpointUnavailable, match=r"is gone. Put the folder back, or delete"):
        models.load("tiny-crypto", device="cpu")
    listed = entry("tiny-crypto")
    assert listed.state == "broken"
    assert str(own_base) in listed.problem


@pytest.mark.parametrize("content", [b"{nope", b"[1]", b"\xff\xfe\0"])
def test_a_base_whose_configuration_cannot_be_read_is_an_error_of_the_checkpoint(
    made, own_base, content
):
    """A page builds its request from the facts, and shows errors of checkpoints."""
    models.install(made[0], "tiny-crypto")
    (own_base / "model" / "config.json").write_bytes(content)
    for name in ("tiny-crypto", str(own_base)):
        with pytest.raises(CheckpointInvalid, match=r"config\.json"):
            model_facts(name)
    assert not reads_events(entry("tiny-crypto"))


def test_a_damaged_adapter_is_refused(made):
    file = made[0]
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointCorrupt, match="is damaged"):
        models.load(file, device="cpu")


def test_a_file_of_another_kind_is_no_adapter(made, own_base, home):
    other = Path(shutil.copy(own_base / "model/model.safetensors", home / "other.safetensors"))
    with pytest.raises(CheckpointInvalid, match="is no adapter of this program"):
        models.load(other)
    with pytest.raises(CheckpointInvalid, match="is no adapter"):
        models.install(other, "other")
    folder = adapters.adapters_folder()
    folder.mkdir(parents=True)
    shutil.copy(other, folder / "strange.safetensors")
    assert entry("strange").state == "broken"


@pytest.mark.parametrize(
    "name", ["small", "kronos-base", "bundled", "ewma", "../up", "Upper", "a b", "", "x" * 70]
)
def test_names_that_mean_something_else_are_refused(made, name):
    with pytest.raises(InvalidRequest):
        models.install(made[0], name)


def test_an_adapter_is_no_checkpoint_to_start_from(made):
    with pytest.raises(InvalidRequest, match="is an adapter and no checkpoint"):
        models.checkpoint_pair(made[0])


def test_a_header_with_other_fields_is_refused(made):
    facts = dataclasses.replace(adapters.read_facts(made[0]), rank=0)
    save_adapter(made[0], facts, {"a": torch.zeros(1)})
    with pytest.raises(CheckpointInvalid, match="rank is 0"):
        adapters.read_facts(made[0])


@pytest.mark.parametrize("alignment", ["bar", "ahead"])
def test_an_adapter_says_which_rows_it_reads(own_base, home, alignment):
    file = write_event_adapter(home, own_base, alignment=alignment)
    models.install(file, "rows")
    assert adapters.read_facts(file).event_alignment == alignment
    for facts in (model_facts("rows"), models.load("rows", device="cpu").facts):
        assert (facts.reads_events, facts.event_alignments) == (True, (alignment,))
    # The header of the usual one is as earlier versions write and read it.
    written = read_header(file).metadata[adapters.KEY]
    assert ("event_alignment" in written) == (alignment == "ahead")


def test_an_alignment_that_nobody_knows_is_refused(own_base, home):
    file = write_event_adapter(home, own_base, alignment="later")
    with pytest.raises(CheckpointInvalid, match="event_alignment is 'later'"):
        adapters.read_facts(file)


def test_a_folder_says_which_rows_it_reads(own_base):
    model = load_model(own_base / "model")
    model.add_event_embedding("ahead")
    save_checkpoint(model, own_base / "model")
    for facts in (model_facts(own_base), models.load(own_base, device="cpu").facts):
        assert facts.event_alignments == ("ahead",)
