"""Damaged checkpoints and adapters: each is a broken entry of its own and a typed error."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.gates.broken_models import (
    CHECKPOINTS,
    VALUES,
    adapters,
    copy_checkpoint,
    mutated,
    write_adapter,
)
from benchmarks.gates.checkpoints import probe
from kronos import models
from kronos.errors import CheckpointError, KronosError
from kronos.models.adapters import adapters_folder
from kronos.models.checkpoints import check_chronos, edition_folder, is_chronos_folder
from kronos.models.facts import model_facts, reads_events
from kronos.nn.config import MOST, SIZES, ModelConfig, TokenizerConfig, published_tokenizer
from kronos.nn.header import read_header
from kronos.system import parse_json, read_json
from tests.forecasters.chronos.tiny import write_tiny
from tests.source_tree import ROOT

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    adapters_folder().mkdir(parents=True)
    return tmp_path


@pytest.fixture
def base(home) -> Path:
    return copy_checkpoint(GOLDEN, home / "base")


def entries() -> dict[str, models.Entry]:
    found = models.available()
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_is_an_error_and_the_adapter_of_it_a_broken_entry(base, home, name):
    folder = copy_checkpoint(GOLDEN, home / "case")
    CHECKPOINTS[name](folder)
    write_adapter(adapters_folder() / "based.safetensors", str(folder), base)
    for ask in (model_facts, models.load):
        with pytest.raises(CheckpointError) as caught:
            ask(folder)
        assert len(str(caught.value)) < 2000
        with pytest.raises(CheckpointError):
            ask("based")
    listed = entries()
    # What shows in the tensors alone is found when they are loaded.
    if listed["based"].state != "broken":
        assert name in ("a tensor less", "a type of whole numbers", "learn_te of a number"), name
    else:
        assert str(folder) in listed["based"].problem
        assert not reads_events(listed["based"])
    assert listed["bundled"].state == "bundled"
    assert not list(probe(folder, adapters_folder() / "based.safetensors"))


@pytest.mark.parametrize("name", adapters(Path()))
def test_a_damaged_adapter_is_a_broken_entry_in_its_own_row(base, name):
    path = adapters_folder() / f"{name}.safetensors"
    adapters(base)[name](path)
    assert not list(probe(None, path))
    listed = entries()
    own = [each for each in listed.values() if each.name not in models.PUBLISHED | models.CHRONOS]
    (found,) = (each for each in own if each.name != "bundled")
    assert {name: each.state for name, each in listed.items() if name != found.name} == {
        "bundled": "bundled",
        **dict.fromkeys([*models.PUBLISHED, *models.CHRONOS], "downloadable"),
    }
    if found.state != "broken":  # wrong in its digests, which listing does not compute
        assert name in ("digest-of-another", "another-base")
        with pytest.raises(CheckpointError):
            models.load(name)
        return
    assert found.problem
    assert found.title.isprintable()
    if path.is_dir() and not path.is_symlink():
        with pytest.raises(CheckpointError, match="cannot be deleted"):
            models.delete(found.name)
    else:
        models.delete(found.name)
        assert not path.is_symlink()
        assert not path.exists()
        assert found.name not in entries()


def test_all_damaged_adapters_at_once_hide_none(base):
    written = adapters(base)
    for name, write in written.items():
        write(adapters_folder() / f"{name}.safetensors")
    write_adapter(adapters_folder() / "good.safetensors", str(base), base)
    listed = entries()
    assert len(listed) == 1 + len(models.PUBLISHED | models.CHRONOS) + len(written) + 1
    assert listed["good"].state == "cached"
    assert models.load("good", device="cpu").name == "good"


@pytest.mark.parametrize("seed", range(60))
def test_mutations_are_typed_errors_or_nothing(base, home, seed):
    folder = copy_checkpoint(GOLDEN, home / "case")
    adapter = adapters_folder() / "mutated.safetensors"
    write_adapter(adapter, str(folder), base)
    mutated(seed, adapter if seed % 3 == 0 else folder, is_adapter=seed % 3 == 0)
    assert not list(probe(folder, adapter))


def test_a_folder_that_may_not_be_read_is_no_list_of_models_without_models(base, monkeypatch):
    """Roots may read everything: the refusal of the system is played."""
    write_adapter(adapters_folder() / "good.safetensors", str(base), base)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    for method in ("is_file", "is_dir", "exists", "stat", "glob", "rglob"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, refuse)
            assert {each.name for each in models.available()} >= {"bundled", *models.PUBLISHED}
            for name in (base, "good", "bundled", "mini"):
                with suppress(KronosError):  # not every method is used for every model
                    model_facts(name)


def test_published_sizes_are_within_the_bounds_with_room():
    for config in (*SIZES.values(), published_tokenizer(), published_tokenizer(5)):
        values = config.to_dict()
        sizes = (MOST.keys() & values.keys()) - {"s1_bits", "s2_bits", "group_size"}
        assert all(4 * values[name] <= MOST[name] for name in sizes)
        kind = ModelConfig if isinstance(config, ModelConfig) else TokenizerConfig
        assert kind.from_dict(values) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d_model", 10**9), ("num_layers", 10**9), ("d_ff", 64.5), ("d_kv", -1), ("num_heads", 0),
        ("vocab_size", 10**9), ("d_model", 64), ("num_layers", 3), ("num_heads", 2),
    ],
)  # fmt: skip
def test_sizes_of_a_chronos_are_bounded_and_compared(tmp_path, field, value):
    folder = write_tiny(tmp_path / "tiny")
    assert check_chronos(folder) == 256
    assert is_chronos_folder(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    for ask in (model_facts, models.load):
        with pytest.raises(CheckpointError):
            ask(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("context_length", 10**9), ("context_length", "long"), ("quantiles", [2.0]),
     ("quantiles", [0.5] * 5000), ("input_patch_size", 0), ("output_patch_size", 10**9)],
)  # fmt: skip
def test_settings_of_a_chronos_are_bounded(tmp_path, field, value):
    folder = write_tiny(tmp_path / "tiny")
    path = folder / "config.json"
    facts = json.loads(path.read_text())
    facts["chronos_config"][field] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError):
        models.load(folder)


@pytest.mark.parametrize("seed", range(30))
def test_mutated_settings_of_a_chronos_are_typed_errors_or_nothing(tmp_path, seed):
    folder = write_tiny(tmp_path / "tiny")
    path, draw = folder / "config.json", random.Random(seed)
    facts = json.loads(path.read_text())
    part = draw.choice((facts, facts["chronos_config"]))
    part[draw.choice(list(part))] = draw.choice(VALUES)
    path.write_text(json.dumps(facts))
    for ask in (model_facts, models.load):
        with suppress(KronosError):
            ask(folder)


def test_headers_that_are_right_are_read():
    header = read_header(edition_folder("bundled-0d13194d") / "model/model.safetensors")
    assert header.tensors["embedding.emb_s1.weight"].shape == (1024, 192)


def test_json_of_users_is_bounded(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("[1]" + " " * 2_000_000)
    with pytest.raises(ValueError, match="more than 1,048,576 bytes"):
        read_json(path)
    with pytest.raises(ValueError, match="no regular file"):
        read_json("/dev/zero")
    with pytest.raises(ValueError, match="deeply"):
        parse_json("[" * 100_000)
    with pytest.raises(ValueError, match="'a' twice"):
        parse_json('{"a": 1, "a": 2}')
