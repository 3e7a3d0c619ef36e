"""What a name or path means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kronos import models
from kronos.errors import CheckpointUnavailable, InvalidRequest
from kronos.models.adapters import adapters_folder
from kronos.models.hub.repository import CONFIG_NAME, WEIGHTS_NAME


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A working folder and a data folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "listed"),
    [
        ("bundled", "bundled", "bundled"),
        (" Bundled ", "bundled", "bundled"),
        ("Kronos-small", "published", "small"),
        ("NeoQuasar/Kronos-mini", "published", "mini"),
        ("amazon/chronos-2", "chronos", "chronos-2"),
        ("GARCH", "baseline", "garch"),
        ("ensemble", "ensemble", "ensemble"),
    ],
)
def test_a_name_means_one_kind_in_any_case(name, kind, listed):
    found = models.resolve(name)
    assert (found.kind, found.name) == (kind, listed)
    assert (found.model is not None) == (kind in ("published", "chronos"))
    assert found.path is None


def test_an_installed_adapter_is_found_by_name_and_a_file_by_its_path(home):
    adapters_folder().mkdir(parents=True)
    installed = adapters_folder() / "mine.safetensors"
    installed.touch()
    assert models.resolve("Mine") == models.Reference("adapter", "mine", path=installed)
    own = home / "own.safetensors"
    own.touch()
    assert models.resolve(own) == models.Reference("adapter", str(own), path=own)
    assert models.kind_of("own.safetensors") == "adapter"


def test_the_configuration_of_a_folder_decides_its_kind(home):
    folder = home / "one"
    folder.mkdir()
    (folder / WEIGHTS_NAME).touch()
    (folder / CONFIG_NAME).write_text("{}")
    assert models.kind_of(folder) == models.kind_of("one") == "folder"
    (folder / CONFIG_NAME).write_text(json.dumps({"chronos_config": {}}))
    assert models.resolve(folder) == models.Reference("chronos", str(folder), path=folder)
    assert models.kind_of(folder / WEIGHTS_NAME) == "folder", "weights alone are no adapter"


def test_names_win_over_folders_of_the_same_name(home):
    (home / "garch").mkdir()
    (home / "mini").mkdir()
    assert models.kind_of("garch") == "baseline"
    assert models.kind_of("mini") == "published"
    assert models.kind_of("./garch") == models.kind_of(Path("mini")) == "folder"


def test_an_unknown_name_has_no_kind():
    assert models.kind_of("gpt") is None
    with pytest.raises(InvalidRequest, match="There is no model 'gpt'"):
        models.resolve("gpt")
    with pytest.raises(CheckpointUnavailable, match="have not been published"):
        models.resolve("Kronos-large")


@pytest.mark.parametrize("name", ["garch", "ensemble"])
def test_a_forecaster_without_a_checkpoint_is_not_loaded(name):
    with pytest.raises(InvalidRequest, match="There is no model"):
        models.load(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bundled", True), ("small", True), ("./folder", True), ("chronos-2", False),
     ("ewma", False), ("ensemble", False)],
)  # fmt: skip
def test_only_kronos_draws_tokens(name, expected):
    assert models.draws_tokens(name) is expected
