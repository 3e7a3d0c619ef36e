"""The day on a GPU: its checks find what is wrong, and a run of any length loses nothing."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import draws, parts, quantiles, speed
from benchmarks.gpu.recorded import recorded
from benchmarks.gpu.results import Found, Result, ResultFile, Work
from kronos.decoding.cuda import BatchStep, StaticBatch, StaticDecoder
from kronos.decoding.decoder import Decoder, generate
from kronos.nn.config import SIZES
from tests.source_tree import ROOT
from tests.token_sequences import MIXED, make
from tests.training.conftest import made_up_bars

DRY = ["--device", "cpu"]


def work(tmp_path, part="part", seconds=60.0):
    file = ResultFile(tmp_path)
    file.begin({"torch": "1"})
    return Work(part, "cpu", True, file, tmp_path, time.time() + seconds)


def outcomes(file):
    return {(r.part, r.unit): r.outcome for r in file.read()}


def test_results_are_there_as_soon_as_they_are_found(tmp_path):
    looked = work(tmp_path)
    looked.look("right", lambda: Found(True, "as it should be", {"n": 3}))
    looked.look("wrong", lambda: Found(False, "2 differ"))
    looked.look("number", lambda: Found(None, "3 ms"))
    assert outcomes(ResultFile(tmp_path)) == {
        ("part", "right"): "passed", ("part", "wrong"): "failed", ("part", "number"): "measured",
    }  # fmt: skip
    assert looked.file.read()[0].figures == {"n": 3}


def test_a_second_run_looks_for_what_is_missing_only(tmp_path):
    looked = work(tmp_path)
    looked.look("right", lambda: Found(True, ""))
    looked.look("wrong", lambda: Found(False, ""))
    looked.look("late", lambda: Found(True, ""), expected=1e6)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"part": "part", "unit": "half a li')  # a kill
    calls = []
    again = work(tmp_path)
    for unit in ("right", "wrong", "late", "new"):
        again.look(unit, lambda unit=unit: calls.append(unit) or Found(True, ""))
    assert calls == ["wrong", "late", "new"]
    assert set(outcomes(again.file).values()) == {"passed"}


def test_results_of_two_environments_are_not_mixed(tmp_path):
    work(tmp_path)
    with pytest.raises(ValueError, match=r"torch: 1, now 2.*another --out"):
        ResultFile(tmp_path).begin({"torch": "2"})


def test_what_does_not_fit_fails_or_lacks_a_package_is_named(tmp_path):
    looked = work(tmp_path, seconds=30)

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    looked.look("long", lambda: Found(True, ""), expected=100)
    looked.look("broken", lambda: 1 // 0)
    looked.look("peft", lambda: absent("peft.tuners"))
    looked.look("own", lambda: absent("kronos.gone"))
    found = {r.unit: (r.outcome, r.found) for r in looked.file.read()}
    assert found["long"] == ("skipped", "It takes about 100 s, and 30 s were left.")
    assert found["broken"][0] == "failed"
    assert "ZeroDivisionError" in found["broken"][1]
    assert found["peft"] == ("skipped", "The package peft is missing here.")
    assert found["own"][0] == "failed"


@pytest.mark.parametrize("kind", [Decoder, StaticDecoder])
def test_the_noise_of_every_draw_lies_within_its_token(model, kind):
    sequences = [make(**settings) for settings in MIXED]
    generate(kind(model), sequences)
    for seq in sequences:
        gaps = draws.draw_gaps(model, seq)
        assert gaps.shape == (*seq.s1.shape, 2)
        assert gaps.max() <= draws.MOST["float32"]
        assert gaps.mean() <= draws.MOST_MEAN["float32"]


def test_the_noise_of_draws_beyond_the_window_does_too(model):
    seq = make(22, 9, n_paths=5, max_context=24)
    generate(Decoder(model), [seq])
    assert draws.draw_gaps(model, seq).max() < 1e-5


def test_other_tokens_than_the_networks_are_found(model):
    for greedy in ({}, {"T": 0.0}):
        seq = make(20, 6, n_paths=8, **greedy)
        generate(Decoder(model), [seq])
        seq.s2[3, 4] = (seq.s2[3, 4] + 200) % 1024
        gaps = draws.draw_gaps(model, seq)
        assert gaps[3, 4, 1] > 1e-4
        assert gaps[:, :4].max() < 1e-5


def test_a_decoder_that_mixes_up_its_rows_fails(tmp_path, monkeypatch):
    store = StaticBatch._store
    case = draws.Case("graphs", "golden")
    assert draws._against_the_network(case, work(tmp_path)).is_right
    monkeypatch.setattr(
        StaticBatch,
        "_store",
        lambda self, layer, k, v, places: store(self, layer, k, v, places.roll(1)),
    )
    found = draws._against_the_network(case, work(tmp_path))
    assert found.is_right is False
    assert "are allowed" in found.text


def test_a_number_that_a_graph_holds_for_good_is_found(tmp_path, monkeypatch):
    """A factor that Python counts on: another one in every step, but the same in every replay."""
    heads = BatchStep.heads

    def counting(self, block, x, rotation):
        self.calls = getattr(self, "calls", 0) + 1
        q, k, v = heads(self, block, x, rotation)
        return q, k, v * (1 + self.calls % 7)

    monkeypatch.setattr(BatchStep, "heads", counting)
    found = draws._against_operations(draws.Case("graphs", "golden"), work(tmp_path))
    assert found.is_right is False
    assert "first at step" in found.text


def test_what_python_waits_for_cannot_be_recorded():
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="waits"):
        recorded(lambda: x.sum().item())


def test_a_recording_runs_again_on_the_same_memory():
    x, y = torch.ones(2, 3), torch.zeros(3)

    def add():
        y.add_((x * 2).view(3, 2).sum(1))

    recording = recorded(add)
    x.fill_(2.0)
    recording.replay()
    assert y.tolist() == [12.0, 12.0, 12.0]
    assert len(recording.operations) == 3  # the view is none


def test_quantiles_off_by_more_than_the_sampling_error_fail():
    rng = np.random.default_rng(0)
    one, other, third = rng.normal(size=(3, 2000, 12))
    same = quantiles.judge(one, other, third)
    assert same.is_right
    assert 0.7 < same.figures["root mean square"] < 1.4  # independent noise: standard errors
    assert quantiles.judge(one, one, third).figures["worst"] == pytest.approx(0, abs=0.1)
    wider = quantiles.judge(one, 1.25 * one, third)
    assert wider.is_right is False
    assert "Worst: the" in wider.text


def test_batches_step_in_turn_and_floors_grow_with_them():
    assert [speed.batches_of_a_step(*cell) for cell in speed.CELLS] == [1, 2, 12, 4, 64, 384]
    rates = {"own_products": 1e12, "cold_products": 1e12, "own_bandwidth": 1e12,
             "cold_bandwidth": 1e12}  # fmt: skip
    facts = {"few": rates, "many": rates, "operations": 100, "config": SIZES["mini"].to_dict()}
    cell = {"context": 400, "horizon": 24, "dtype": "float32", "series": 1, "paths": 30}
    one = speed.floors(cell, facts, {"graph": 1e-6})
    many = speed.floors(cell | {"series": 32}, facts, {"graph": 1e-6})
    assert one[1] == pytest.approx(1e-4)
    assert many[1] == pytest.approx(4e-4)
    assert one[0] < many[0] <= 32 * one[0]


def test_a_cell_that_would_not_fit_is_not_begun(tmp_path):
    file = ResultFile(tmp_path)
    file.begin({})
    figures = {"model": "base", "series": 1, "paths": 3000, "forecast": 2.4, "step": 0.1}
    file.add(Result("speed", "base, 1 series, 3000 paths", "measured", "", figures))
    timed = Work("speed", "cuda", False, file, tmp_path, time.time() + 60)
    assert speed._expected("base", 32, 3000, timed) == pytest.approx(2 * 32 * 0.1 * 24)
    assert speed._expected("mini", 32, 3000, timed) == 0


def test_without_a_gpu_it_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        command.main(["--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "Choose --device cpu for the dry form" in capsys.readouterr().err
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path)])
    assert "has no torch, numpy, pandas, safetensors" in capsys.readouterr().err


def test_parts_that_do_not_fit_into_the_minutes_are_named(tmp_path, capsys):
    assert command.main([*DRY, "--out", str(tmp_path), "--minutes", "0.1"]) == 0
    found = outcomes(ResultFile(tmp_path))
    assert found == {(part.name, ""): "skipped" for part in parts.PARTS}
    text = (tmp_path / "report.md").read_text()
    assert all(f"| {part.name} | all of it | skipped |" in text for part in parts.PARTS)
    assert "Give --corpus and --run" in text
    assert text in capsys.readouterr().out

    ResultFile(tmp_path).add(Result("graphs", "golden", "failed", "3 of 5 pairs differ"))
    assert command.main([*DRY, "--out", str(tmp_path), "--minutes", "0.1"]) == 1
    assert "FAILED graphs, golden: 3 of 5 pairs differ" in capsys.readouterr().err


def test_a_part_that_outlasts_its_share_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "GRACE", 0.0)
    options = command.parser().parse_args([*DRY, "--out", str(tmp_path)])
    options.train_options = ""
    file = ResultFile(tmp_path)
    file.begin({})
    part = parts.PARTS[0]
    command._run_apart(part, options, file, tmp_path, 0.1, time.time() + 60)
    (result,) = file.read()
    assert (result.part, result.outcome) == ("golden", "cut off")
    assert "with 0 new results" in result.found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_needs_only_a_few_packages_and_is_continued(tmp_path):
    """Two processes, as on a machine with little beside torch, numpy, pandas and safetensors."""
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    run = [sys.executable, "-m", "benchmarks.gpu", *DRY, "--out", str(tmp_path / "out")]
    run += ["--minutes", "4", "--only", "golden"]
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(
            run, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    units = [json.loads(line).get("unit") for line in lines]
    assert units == [None, "network", "forecasts", "", ""]
    assert "| golden | network | passed |" in done.stdout


ABSENT = """
from importlib.machinery import PathFinder
ABSENT = set('''
    accelerate alembic arch ccxt curl_cffi exchange_calendars httpx2 huggingface_hub hypothesis
    lightgbm numba peft platformdirs plotly psutil pyarrow pytest requests scipy scoringrules
    sqlalchemy streamlit tqdm transformers urllib3 yfinance
'''.split())
find_spec = PathFinder.find_spec
def find_present(name, path=None, target=None):
    return None if name.partition(".")[0] in ABSENT else find_spec(name, path, target)
PathFinder.find_spec = find_present
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_dry_form(tmp_path):
    bars = tmp_path / "bars"
    bars.mkdir()
    for i in range(4):
        made_up_bars(600, seed=i).to_csv(bars / f"series{i}.csv", index=False)
    run = ["--corpus", str(bars), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    options = "--steps 4 --bars-per-batch 1024 --save-every 2"
    run += ["--minutes", "8", f"--train-options={options}", *DRY]
    assert command.main(run) == 0
    results = ResultFile(tmp_path / "out").read()
    assert {r.outcome for r in results} == {"passed", "measured"}
    found = {r.part: [each.unit for each in results if each.part == r.part] for r in results}
    assert set(speed.units(is_dry=True)) <= {*found["speed"]}
    assert [str(case) for case in draws.decoder_cases(is_dry=True)] == found["decoders"][:-1]
    assert found["training"] == ["tokenizer", "model", ""]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "floor: launches (ms)" in text
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
