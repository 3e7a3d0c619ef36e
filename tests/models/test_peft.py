"""Adapters in peft's format: peft loads what is exported, and what peft writes is imported."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from kronos import models
from kronos.cli import main
from kronos.errors import CheckpointCorrupt, CheckpointInvalid, InvalidRequest
from kronos.finetune.lora import LoraSettings, add_lora, lora_tensors
from kronos.models.adapters import AdapterFacts, adapter_path, read_facts
from kronos.models.merging import load_adapter, save_adapter
from kronos.models.peft import CONFIG_NAME, TENSORS_NAME, export_peft, import_peft
from kronos.nn.checkpoint import load_model
from tests.finetune.test_lora import GOLDEN, disturbed, logits

ROWS = torch.randn(2, 20, 20, generator=torch.Generator().manual_seed(1))
SINCE = date(2025, 3, 1)


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A base of this test's own, and a data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, tmp_path / "tiny" / part)
    return tmp_path / "tiny"


@pytest.fixture(params=["no events", "events"])
def trained(request, base) -> tuple[str, torch.nn.Module]:
    """The name of an adapter that is installed, and the model it was taken from."""
    has_events = request.param == "events"
    settings = LoraSettings(rank=4, targets="blocks")
    adapted = disturbed(add_lora(load_model(base / "model"), settings, events=has_events)).eval()
    facts = AdapterFacts(
        base=str(base),
        base_sha256=models.weights_sha256(base / "model"),
        tokenizer_sha256=models.weights_sha256(base / "tokenizer"),
        rank=4, alpha=16, cut_off="2025-03-01T00:00:00+00:00",
        seen_until="2025-06-01T00:00:00+00:00", code="0.1.0", created="2025-07-01T00:00:00+00:00",
        steps=10, n_parameters=4608, has_events=has_events, asset_class="crypto",
        scores={"crps": 0.5}, tensors_sha256="", event_alignment=adapted.config.event_alignment,
    )  # fmt: skip
    save_adapter(base.parent / "made.safetensors", facts, lora_tensors(adapted))
    models.install(base.parent / "made.safetensors", "mine")
    return "mine", adapted


@pytest.fixture
def foreign(base) -> tuple[Path, torch.nn.Module]:
    """An adapter that peft made and wrote."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "w1"], use_rslora=True)
    wrapped = get_peft_model(load_model(base / "model"), config)
    disturbed(wrapped)
    wrapped.save_pretrained(str(base.parent / "foreign"))
    return base.parent / "foreign", wrapped.eval()


def same(one, other, rows=None):
    pairs = zip(logits(one, rows), logits(other, rows), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_peft_loads_an_exported_adapter_with_the_same_logits_bit_for_bit(trained, base, tmp_path):
    name, adapted = trained
    folder = export_peft(name, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_NAME, TENSORS_NAME]
    model = load_model(base / "model")
    if adapted.event_emb is not None:
        model.add_event_embedding(adapted.config.event_alignment)
    loaded = PeftModel.from_pretrained(model, str(folder)).eval()
    for rows in (None, ROWS) if adapted.event_emb is not None else (None,):
        assert same(adapted, loaded, rows)
        assert not same(load_model(base / "model"), loaded)


def test_merged_by_peft_and_by_this_program_are_one_model(trained, base, tmp_path):
    name, adapted = trained
    model = load_model(base / "model")
    if adapted.event_emb is not None:
        model.add_event_embedding(adapted.config.event_alignment)
    folder = str(export_peft(name, tmp_path / "out"))
    merged = PeftModel.from_pretrained(model, folder).merge_and_unload().eval()
    ours = models.load(name, device="cpu").model
    assert same(merged, ours)


def test_an_exported_adapter_is_taken_back_as_it_was(trained, tmp_path):
    name, _ = trained
    facts = import_peft(export_peft(name, tmp_path / "out"), "again")
    before, after = adapter_path(name), adapter_path("again")
    assert before is not None
    assert after is not None
    assert facts == read_facts(before) == read_facts(after)
    one, other = load_adapter(before, facts), load_adapter(after, facts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_base_of_an_exported_adapter_may_have_moved(trained, base, tmp_path):
    folder = export_peft(trained[0], tmp_path / "out")
    base.rename(tmp_path / "elsewhere")
    facts = import_peft(folder, "moved", base=str(tmp_path / "elsewhere"))
    assert facts.base == str(tmp_path / "elsewhere")
    models.verify("moved")
    with pytest.raises(CheckpointInvalid, match="was trained on another model"):
        import_peft(folder, "moved", base="bundled")


def test_an_adapter_of_peft_forecasts_with_its_own_logits(foreign, base):
    folder, adapted = foreign
    facts = import_peft(folder, "theirs", base=str(base), cut_off=SINCE)
    assert (facts.base, facts.rank, facts.alpha) == (str(base), 4, 16.0)  # 8 / sqrt 4 = 16 / 4
    assert facts.cut_off.startswith("2025-03-01")
    loaded = models.load("theirs", device="cpu").model
    for one, other in zip(logits(adapted), logits(loaded), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert next(e for e in models.available() if e.name == "theirs").cut_off == "2025-03-01"


def test_what_peft_does_not_say_is_asked_for(foreign, base):
    folder, _ = foreign
    with pytest.raises(InvalidRequest, match="does not name its base"):
        import_peft(folder, "theirs", cut_off=SINCE)
    with pytest.raises(InvalidRequest, match="which bars the adapter learned from"):
        import_peft(folder, "theirs", base=str(base))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "its type is 'IA3'"),
        ({"use_dora": True}, "it sets use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "it sets rank_pattern"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"r": 0}, "r is 0"),
        ({"r": 3}, "rank is 3"),
    ],
)
def test_adapters_that_cannot_be_merged_are_refused(foreign, base, change, message):
    folder, _ = foreign
    config = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps(config | change))
    with pytest.raises(CheckpointInvalid, match=message):
        import_peft(folder, "theirs", base=str(base), cut_off=SINCE)
    assert adapter_path("theirs") is None


def test_folders_of_something_else_are_refused(foreign, base, tmp_path):
    folder, _ = foreign
    with pytest.raises(CheckpointInvalid, match=f"holds no {CONFIG_NAME}"):
        import_peft(tmp_path, "theirs")
    (folder / CONFIG_NAME).rename(folder / "kept")
    (folder / CONFIG_NAME).write_text("{")
    with pytest.raises(CheckpointInvalid, match=CONFIG_NAME):
        import_peft(folder, "theirs")
    (folder / "kept").replace(folder / CONFIG_NAME)
    tensors = load_file(folder / TENSORS_NAME)
    save_file({"base_model.model.head.lora_A.weight": torch.zeros(4, 2)}, folder / TENSORS_NAME)
    with pytest.raises(CheckpointInvalid, match="does not fit the model"):
        import_peft(folder, "theirs", base=str(base), cut_off=SINCE)
    save_file({"x" + name: value for name, value in tensors.items()}, folder / TENSORS_NAME)
    with pytest.raises(CheckpointInvalid, match=r"tensors begin with base_model\.model\."):
        import_peft(folder, "theirs", base=str(base), cut_off=SINCE)
    (folder / TENSORS_NAME).write_bytes(b"no tensors")
    with pytest.raises(CheckpointInvalid, match="never from pickles"):
        import_peft(folder, "theirs", base=str(base), cut_off=SINCE)


def test_a_changed_weight_of_an_exported_adapter_is_noticed(trained, tmp_path):
    folder = export_peft(trained[0], tmp_path / "out")
    data = bytearray((folder / TENSORS_NAME).read_bytes())
    data[-1] ^= 1
    (folder / TENSORS_NAME).write_bytes(data)
    with pytest.raises(CheckpointCorrupt, match="do not have the digest"):
        import_peft(folder, "again")


def test_the_commands_export_and_import(foreign, base, tmp_path, capsys):
    folder, _ = foreign
    words = ["models", "import", str(folder), "theirs", "--base", str(base)]
    assert main(words) == 2
    assert "--cut-off DATE" in capsys.readouterr().err
    assert main([*words, "--cut-off", "2025-03-01"]) == 0
    assert f"theirs is installed, an adapter of {base}." in capsys.readouterr().err
    assert main(["models", "export", "theirs", str(tmp_path / "out")]) == 0
    assert main(["models", "import", str(tmp_path / "out"), "back"]) == 0
    assert main(["models", "verify", "back"]) == 0
    assert main(["models", "export", "bundled", str(tmp_path / "no")]) == 2
    assert "bundled is no adapter" in capsys.readouterr().err
