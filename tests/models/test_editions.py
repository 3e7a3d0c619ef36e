"""An earlier edition of the bundled checkpoint stays: by name, for its adapters and its scores."""

from dataclasses import replace
from datetime import date

import pytest
import torch
from safetensors.torch import load_file

from kronos import models
from kronos.models import adapters
from kronos.models.checkpoints import EDITIONS, bundled_folder, edition_folder
from kronos.models.facts import model_facts
from kronos.models.merging import save_adapter
from tests.event_adapter import write_event_adapter

FIRST = "bundled-0d13194d"


@pytest.mark.parametrize("name", EDITIONS)
def test_it_is_loaded_by_its_name(name):
    predictor = models.load(name, device="cpu")
    assert predictor.name == name
    assert predictor.revision.startswith(name.removeprefix("bundled-"))
    assert model_facts(name).revision == predictor.revision
    assert models.weights_sha256(edition_folder(name) / "model") == EDITIONS[name]
    assert models.weights_sha256(bundled_folder() / "model") not in EDITIONS.values()


def test_forecasts_of_it_are_judged_by_its_own_cut_off():
    revision = models.load(FIRST, device="cpu").revision
    assert models.cut_off("bundled", revision) == date(2025, 10, 1)
    assert models.cut_off("bundled", "0" * 16) is None


def test_an_adapter_that_was_trained_on_it_goes_on_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = write_event_adapter(tmp_path, FIRST)
    facts = adapters.read_facts(file)
    # As a version wrote it to which that edition was the bundled model.
    save_adapter(file, replace(facts, base="bundled"), load_file(file))
    assert adapters.read_facts(file).base == FIRST
    models.install(file, "older")
    loaded = models.load("older", device="cpu")
    base = models.load(FIRST, device="cpu")
    weight = base.model.transformer[0].self_attn.q_proj.weight
    assert torch.equal(loaded.model.transformer[0].self_attn.q_proj.weight, weight)
    (entry,) = (each for each in models.available() if each.name == "older")
    assert (entry.state, entry.base, entry.lookback) == ("cached", FIRST, base.lookback)
    assert model_facts("older").reads_events
