"""Runs of fine-tuning: what they write, that they resume, stop and choose as they should."""

import dataclasses
import itertools
import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kronos.errors import InvalidRequest
from kronos.events import Event
from kronos.finetune import job
from kronos.finetune.job import Hooks, Material, finetune_full, finetune_lora
from kronos.models import load, locate
from kronos.models.adapters import read_facts
from kronos.system import sha256_of
from tests.finetune.conftest import QUICK

CPU = Hooks(device="cpu")


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def adapter(material, tmp_path_factory):
    out = tmp_path_factory.mktemp("lora")
    return finetune_lora(material, QUICK, out, hooks=CPU)


def test_an_adapter_says_what_it_belongs_to(adapter, material, base):
    facts = read_facts(adapter.path)
    assert facts.base == base.reference
    assert facts.base_sha256 == sha256_of(base.model / "model.safetensors")
    assert facts.cut_off == material.parts.cut_off.isoformat()
    assert facts.seen_until > facts.cut_off
    assert facts.code
    assert facts.n_parameters == adapter.n_trained
    assert facts.steps == adapter.outcome.best_step


def test_the_log_tells_losses_scores_time_and_memory(adapter):
    log = lines(adapter.path.parent / "model-run")
    train = [line for line in log if line["split"] == "train"]
    scored = [line for line in log if line["split"] == "validation"]
    assert [line["step"] for line in scored] == [0, 2, 4, 6]
    assert all({"loss", "seconds", "lr"} <= set(line) for line in train)
    assert all({"crps", "coverage", "quiet_error", "seconds"} <= set(line) for line in scored)
    assert log[-1]["split"] == "end"
    assert (log[-1]["n_steps"], log[-1]["patience"]) == (QUICK.steps, QUICK.patience)
    assert "change" not in scored[0]  # the base itself
    for line in scored[1:]:
        assert line["windows"] == scored[0]["windows"] > 0
        assert line["change"] == pytest.approx(line["crps"] / scored[0]["crps"] - 1, abs=1e-4)
        if "change_low" in line:
            assert line["change_low"] <= line["change"] <= line["change_high"]
    assert log[-1]["peak_bytes"] > 10_000_000
    best = min(scored, key=lambda line: line["crps"])
    assert adapter.outcome.best_step == best["step"]
    assert adapter.outcome.best == pytest.approx(best["crps"], abs=1e-5)


def test_an_adapter_loads_by_its_file(adapter, golden_candles):
    predictor = load(adapter.path, device="cpu")
    assert predictor.name == "adapter"
    assert predictor.revision == read_facts(adapter.path).tensors_sha256[:16]


def test_no_validation_window_overlaps_training(parts, tuning_corpus):
    assert parts.train.times.max() < parts.validation.times.min()
    assert len(parts.train.times) + len(parts.validation.times) == len(tuning_corpus.times)


def test_weights_that_never_got_better_are_those_of_the_base(material, tmp_path, monkeypatch):
    """That they do not is given: by a score of three windows they may, by chance."""
    worse = itertools.count()
    monkeypatch.setattr(job, "figures", lambda _: {"crps": float(next(worse))})
    settings = dataclasses.replace(QUICK, patience=2, steps=20)
    result = finetune_lora(material, settings, tmp_path, hooks=CPU)
    outcome = result.outcome
    assert (outcome.reason, outcome.best_step) == ("early", 0)
    assert outcome.step == 2 * settings.validate_every
    changes = [tensor for name, tensor in load_file(result.path).items() if "lora_B" in name]
    assert changes
    assert all(not tensor.any() for tensor in changes)


def test_a_stopped_run_goes_on_where_it_was(material, adapter, tmp_path):
    """STOP appears at a step that has no checkpoint of its own."""

    def at_three(line):
        if line["split"] == "train" and line["step"] == 3:
            (tmp_path / "STOP").touch()

    stopped = finetune_lora(material, QUICK, tmp_path, hooks=Hooks(at_three, None, "cpu"))
    assert (stopped.outcome.reason, stopped.outcome.step) == ("stopped", 3)
    assert not stopped.path.exists()
    assert not (tmp_path / "STOP").exists()
    resumed = finetune_lora(material, QUICK, tmp_path, hooks=CPU)
    assert resumed.outcome.reason == "finished"
    states = [folder / "model-run/state.safetensors" for folder in (tmp_path, adapter.path.parent)]
    one, other = map(load_file, states)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    steps = [
        line["step"] for line in lines(tmp_path / "model-run") if line["split"] == "validation"
    ]
    assert steps == [0, 2, 4, 6]


def test_a_run_on_other_bars_is_not_gone_on_with(material, tmp_path):
    settings = dataclasses.replace(QUICK, steps=2)
    finetune_lora(material, settings, tmp_path, hooks=CPU)
    values = material.parts.train.values * 1.01
    changed = dataclasses.replace(
        material.parts, train=dataclasses.replace(material.parts.train, values=values)
    )
    with pytest.raises(InvalidRequest, match=r"other settings \(bars\)"):
        finetune_lora(Material(material.base, changed), settings, tmp_path, hooks=CPU)


def test_adapters_are_not_trained_on_adapters(adapter, parts):
    with pytest.raises(InvalidRequest, match="is an adapter"):
        Material(locate(adapter.path), parts)


def test_blocks_computed_again_give_the_same_adapter(material, adapter, tmp_path):
    settings = dataclasses.replace(QUICK, save_memory=True)
    again = finetune_lora(material, settings, tmp_path, hooks=CPU)
    assert again.outcome.best == pytest.approx(adapter.outcome.best, abs=1e-4)


@pytest.fixture(scope="module")
def with_events(base, parts):
    """The same bars with a calendar of events."""
    times = pd.date_range("2019-12-20 13:30", periods=12, freq="3D", tz="UTC")
    return Material(
        base, parts, [Event("cpi", time, region="US") for time in times], learn_events=True
    )


def test_an_adapter_that_learned_events_reads_them(with_events, tmp_path):
    result = finetune_lora(with_events, QUICK, tmp_path, hooks=CPU)
    facts = read_facts(result.path)
    assert facts.has_events
    assert facts.event_alignment == "ahead"
    predictor = load(result.path, device="cpu")
    assert predictor.facts.event_alignments == ("ahead",)
    last = load_file(tmp_path / "model-run/state.safetensors")
    assert last["module/event_emb.proj.weight"].any()


@pytest.mark.slow
def test_events_only_weigh_the_windows_of_a_model_that_does_not_learn_them(with_events, tmp_path):
    silent = dataclasses.replace(with_events, learn_events=False)
    result = finetune_lora(silent, dataclasses.replace(QUICK, steps=2), tmp_path, hooks=CPU)
    assert not load(result.path, device="cpu").reads_events
    scored = [x for x in lines(tmp_path / "model-run") if x["split"] == "validation"]
    assert all(line["quiet_windows"] < QUICK.validation_windows for line in scored)


@pytest.mark.slow
def test_a_whole_model_can_learn_events_and_be_tuned_again(with_events, material, tmp_path):
    settings = dataclasses.replace(QUICK, lr=1e-3, steps=1, validate_every=1)
    first = finetune_full(with_events, settings, tmp_path / "a", tokenizer_too=False, hooks=CPU)
    assert load(first.path, device="cpu").reads_events
    again = Material(locate(first.path), material.parts)
    second = finetune_full(again, settings, tmp_path / "b", tokenizer_too=False, hooks=CPU)
    assert load(second.path, device="cpu").reads_events
    assert second.n_trained == first.n_trained - 21 * 48


def test_learning_events_needs_some(base, parts):
    with pytest.raises(InvalidRequest, match="the run needs some"):
        Material(base, parts, learn_events=True)


def test_full_tuning_writes_a_folder_that_loads(material, base, tmp_path):
    settings = dataclasses.replace(QUICK, lr=1e-3, steps=2, validate_every=1)
    result = finetune_full(material, settings, tmp_path / "full", hooks=CPU)
    predictor = load(result.path, device="cpu")
    assert predictor.lookback == settings.context
    record = json.loads((result.path / "finetune.json").read_text())
    assert record["base"] == base.reference
    assert record["outcome"]["peak_bytes"] > 0
    untouched = load(base.reference, device="cpu")
    if record["outcome"]["best_step"]:
        assert not torch.equal(
            predictor.model.head.proj_s1.weight, untouched.model.head.proj_s1.weight
        )
