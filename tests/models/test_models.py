"""Loading models by name, folder or bundle, with the hub on loopback where one is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kronos
from kronos import models, system
from kronos.errors import (
    CheckpointCorrupt,
    CheckpointInvalid,
    CheckpointUnavailable,
    InvalidRequest,
)
from kronos.models.hub.repository import WEIGHTS_NAME, repository
from kronos.models.registry import published
from kronos.nn.checkpoint import load_model, load_tokenizer, save_checkpoint
from tests.loopback_hub import LoopbackHub

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = models.PublishedModel(
    name="tiny",
    model=repository("acme/Kronos-tiny", "a" * 40),
    tokenizer=repository("acme/Kronos-Tokenizer-tiny", "b" * 40),
    n_parameters=1,
    max_context=64,
)
SISTER = models.PublishedModel(
    name="sister",
    model=repository("acme/Kronos-sister", "c" * 40),
    tokenizer=TINY.tokenizer,
    n_parameters=1,
    max_context=64,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A hub that offers two models with one tokenizer; both are in the table."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with LoopbackHub() as running:
        for model in (TINY, SISTER):
            monkeypatch.setitem(models.PUBLISHED, model.name, model)
            running.publish(model.model.repo_id, model.model.revision, GOLDEN / "model")
        running.publish(TINY.tokenizer.repo_id, TINY.tokenizer.revision, GOLDEN / "tokenizer")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local checkpoint folder."""
    target = tmp_path / "mine"
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, target / part)
    return target


@pytest.fixture
def bundle(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A bundled checkpoint, found where a checkout has it."""
    root = tmp_path / "assets"
    root.mkdir()
    folder.rename(root / "bundled")
    monkeypatch.setattr(system, "_INSTALLED", tmp_path / "none")
    monkeypatch.setattr(system, "_CHECKOUT", root)
    models.describe_bundle(root / "bundled", lookback=48, max_context=96)
    return root / "bundled"


def entry(name: str) -> models.Entry:
    return next(found for found in models.available() if found.name == name)


def test_the_table_pins_every_file_by_commit_size_and_digest() -> None:
    assert list(models.PUBLISHED) == ["mini", "small", "base"]
    for model in models.PUBLISHED.values():
        for repo in model.repositories:
            assert re.fullmatch("[0-9a-f]{40}", repo.revision)
            assert [file.name for file in repo.files] == ["config.json", "model.safetensors"]
            for file in repo.files:
                assert re.fullmatch("[0-9a-f]{64}", file.sha256 or "")
        # Four bytes a parameter, a header, and a few stored buffers.
        extra = (model.model.files[1].size or 0) - 4 * model.n_parameters
        assert 0 < extra < 50_000


@pytest.mark.parametrize("name", ["mini", "MINI", " Kronos-mini ", "NeoQuasar/Kronos-Mini"])
def test_a_model_has_several_names(name: str) -> None:
    assert published(name) is models.PUBLISHED["mini"]


@pytest.mark.parametrize("name", ["large", "Kronos-large", "NeoQuasar/Kronos-large"])
def test_closed_weights_are_called_closed(name: str) -> None:
    with pytest.raises(CheckpointUnavailable, match="not been published"):
        models.load(name)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="bundled, mini, small, base"):
        models.load("huge")


def test_from_the_hub_to_a_forecast(server: LoopbackHub, golden_candles: pd.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    predictor = kronos.load(
        "tiny", device="cpu", progress=lambda done, total: seen.append((done, total))
    )
    assert (predictor.name, predictor.revision) == ("Kronos-tiny", "a" * 40)
    assert predictor.max_context == 64
    assert seen[-1][0] == seen[-1][1] > 1_000_000
    stamps = golden_candles["timestamps"]
    forecast = predictor.forecast(
        golden_candles.iloc[:40],
        x_timestamp=stamps[:40],
        y_timestamp=stamps[40:43],
        sample_count=2,
    )
    assert forecast.paths.shape == (2, 3, 6)
    assert forecast.model_revision == "a" * 40


def test_loaded_again_without_a_request(server: LoopbackHub) -> None:
    models.load("tiny", device="cpu")
    server.requests.clear()
    models.load("Kronos-Tiny", device="cpu")
    assert server.requests == []


def test_a_published_model_brings_its_own_tokenizer(server: LoopbackHub) -> None:
    with pytest.raises(InvalidRequest, match="its own tokenizer"):
        models.load("tiny", tokenizer=GOLDEN / "tokenizer")


def test_one_part_of_a_published_model(server: LoopbackHub) -> None:
    models.checkpoint_folder("acme/Kronos-Tokenizer-tiny")
    assert server.n_requests("Kronos-tiny") == 0
    folder = models.checkpoint_folder("tiny")
    assert (folder / WEIGHTS_NAME).read_bytes() == (GOLDEN / "model" / WEIGHTS_NAME).read_bytes()
    with pytest.raises(CheckpointUnavailable, match="no repository acme/other"):
        models.checkpoint_folder("acme/other")
    with pytest.raises(InvalidRequest):
        models.checkpoint_folder("other")


def test_a_local_folder(folder: Path) -> None:
    predictor = models.load(folder, device="cpu")
    assert predictor.name == "mine"
    assert re.fullmatch("[0-9a-f]{16}", predictor.revision)
    assert predictor.max_context == 512
    assert models.load(str(folder), device="cpu", max_context=128).max_context == 128


def test_a_model_folder_with_a_tokenizer_from_elsewhere(folder: Path, server: LoopbackHub) -> None:
    whole = models.load(folder, device="cpu")
    for tokenizer in (folder / "tokenizer", folder, "acme/Kronos-Tokenizer-tiny"):
        parts = models.load(folder / "model", tokenizer=tokenizer, device="cpu")
        assert parts.revision == whole.revision
    with pytest.raises(CheckpointInvalid, match="no tokenizer"):
        models.load(folder / "model")


def test_the_revision_of_a_folder_follows_both_weights(folder: Path) -> None:
    revisions = {models.load(folder, device="cpu").revision}
    for part, read in (("model", load_model), ("tokenizer", load_tokenizer)):
        module = read(folder / part)
        next(module.parameters()).data.add_(1.0)
        save_checkpoint(module, folder / part)
        revisions.add(models.load(folder, device="cpu").revision)
    assert len(revisions) == 3


@pytest.mark.parametrize("path", ["./nowhere", "~/nowhere-at-all", "no/where"])
def test_a_folder_that_is_not_there(path: str) -> None:
    with pytest.raises(CheckpointInvalid, match="not there"):
        models.load(path)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="give the folder"):
        models.load(folder / "model" / WEIGHTS_NAME)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_never_read(folder: Path, name: str) -> None:
    (folder / "model" / WEIGHTS_NAME).rename(folder / "model" / name)
    with pytest.raises(CheckpointInvalid, match="pickled") as caught:
        models.load(folder)
    assert name in str(caught.value)


def test_the_bundled_model_is_loaded_with_its_card(bundle: Path) -> None:
    predictor = models.load("Bundled", device="cpu")
    assert (predictor.name, predictor.lookback, predictor.max_context) == ("bundled", 48, 96)
    assert predictor.revision == entry("bundled").revision
    models.download("bundled")
    models.verify("bundled")


def test_the_bundled_model_is_found_in_an_installed_package(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "_INSTALLED", bundle.parent)
    monkeypatch.setattr(system, "_CHECKOUT", bundle / "none")
    assert models.load("bundled", device="cpu").lookback == 48


def test_an_altered_bundle_is_refused(bundle: Path) -> None:
    with (bundle / "tokenizer" / WEIGHTS_NAME).open("ab") as opened:
        opened.write(b"\0")
    for act in (models.load, models.verify):
        with pytest.raises(CheckpointCorrupt, match="tokenizer"):
            act("bundled")
    assert (bundle / "tokenizer" / WEIGHTS_NAME).exists(), "nothing could bring it back"


@pytest.mark.parametrize("name", ["bundled.json", "model/config.json", "tokenizer"])
def test_an_incomplete_bundle_says_what_is_missing(bundle: Path, name: str) -> None:
    path = bundle / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointUnavailable, match=re.escape(name)):
        models.load("bundled")
    assert entry("bundled").state == "broken"
    assert name in entry("bundled").problem


@pytest.mark.parametrize(
    "card",
    [
        "nonsense",
        "[]",
        '{"lookback": 1}',
        '{"max_context": "512"}',
        '{"sha256": {"model/model.safetensors": "abc"}}',
        '{"sha256": {"../../etc/passwd": "' + "0" * 64 + '"}}',
    ],
)
def test_a_wrong_card_is_refused(bundle: Path, card: str) -> None:
    (bundle / "bundled.json").write_text(card)
    with pytest.raises(CheckpointInvalid, match=re.escape("bundled.json")):
        models.load("bundled")


def test_the_card_is_plain_json(bundle: Path) -> None:
    facts = json.loads((bundle / "bundled.json").read_text())
    assert facts["lookback"] == 48
    assert set(facts["sha256"]) == {
        f"{part}/{name}"
        for part in ("model", "tokenizer")
        for name in ("config.json", "model.safetensors")
    }


def test_states_of_a_model_from_download_to_deletion(server: LoopbackHub) -> None:
    assert entry("tiny").state == "downloadable"
    with pytest.raises(CheckpointUnavailable, match="kronos models download tiny"):
        models.verify("tiny")
    models.download("tiny")
    assert entry("tiny").state == "cached"
    assert models.checked("tiny").problem == "", "a download was hashed"
    models.verify("tiny")
    assert models.delete("tiny") > 1_000_000
    assert models.checked("tiny") is None
    assert entry("tiny").state == "downloadable"


def test_a_tokenizer_stays_while_another_model_needs_it(server: LoopbackHub) -> None:
    models.download("tiny")
    models.download("sister")
    models.delete("tiny")
    server.requests.clear()
    models.load("sister", device="cpu")
    assert server.requests == []
    models.delete("sister")
    models.download("tiny")
    assert server.n_requests("Tokenizer-tiny") > 0


def test_a_damaged_download_is_verified_away(server: LoopbackHub) -> None:
    folder = models.checkpoint_folder("tiny")
    models.download("tiny")
    with (folder / WEIGHTS_NAME).open("r+b") as opened:
        opened.write(b"\xff" * 8)
    with pytest.raises(CheckpointCorrupt, match="removed"):
        models.verify("tiny")
    assert "removed" in models.checked("tiny").problem
    assert entry("tiny").state == "downloadable"


def test_a_file_of_the_wrong_size_shows_as_broken(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.download("tiny")
    size = (GOLDEN / "model" / WEIGHTS_NAME).stat().st_size
    resized = repository(TINY.model.repo_id, TINY.model.revision, weights=(size + 1, "0" * 64))
    changed = models.PublishedModel("tiny", resized, TINY.tokenizer, 1, 64)
    monkeypatch.setitem(models.PUBLISHED, "tiny", changed)
    assert entry("tiny").state == "broken"
    assert "kronos models delete tiny" in entry("tiny").problem


def test_the_bundled_model_is_not_deleted(bundle: Path) -> None:
    with pytest.raises(InvalidRequest, match="part of the installation"):
        models.delete("bundled")


def test_the_bundled_entry_counts_learnable_parameters(bundle: Path) -> None:
    model = load_model(bundle / "model")
    assert entry("bundled").n_parameters == sum(p.numel() for p in model.parameters())


def test_listing_the_models_imports_neither_torch_nor_the_hub_client() -> None:
    code = (
        "import sys, kronos.models; kronos.models.available();"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
