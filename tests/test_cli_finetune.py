"""`kronos finetune`: from files to a model that forecasts, and what it refuses."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kronos.cli import main
from kronos.models.adapters import adapter_path
from tests.training.conftest import made_up_bars

GOLDEN = Path(__file__).parent / "golden"
QUICK = [
    "--context", "24", "--horizon", "6", "--windows", "8", "--steps", "2", "--validate-every", "1",
    "--validation-windows", "3", "--paths", "4", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder, a base and bars of this test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, tmp_path / "tiny" / part)
    (tmp_path / "bars").mkdir()
    for i in range(3):
        made_up_bars(400, seed=i).to_csv(tmp_path / f"bars/{i}.csv", index=False)
    return tmp_path


def tune(home, form, *more):
    base = ["--data", str(home / "bars"), "--base", str(home / "tiny"), *QUICK]
    return main(["finetune", form, *base, *more])


def test_an_adapter_is_trained_listed_and_forecasts(home, capsys):
    assert tune(home, "lora", "--out", str(home / "run"), "--name", "mine") == 0
    said = capsys.readouterr().err
    assert "CRPS" in said
    assert "parameters trained" in said
    assert "kronos forecast bars.csv --model mine" in said
    assert main(["models", "list", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)[-1]
    assert (entry["name"], entry["base"]) == ("mine", str(home / "tiny"))
    assert main(["models"]) == 0
    assert "mine: an adapter of" in capsys.readouterr().out
    assert main(["models", "verify", "mine"]) == 0
    forecast = ["forecast", str(home / "bars/0.csv"), "--model", "mine", "--lookback", "24"]
    assert main([*forecast, "--horizon", "3", "--paths", "5"]) == 0
    assert main(["models", "delete", "mine"]) == 0
    assert adapter_path("mine") is None


@pytest.mark.slow
def test_a_whole_model_is_trained(home, capsys):
    assert tune(home, "full", "--out", str(home / "run"), "--no-events") == 0
    assert str(home / "run") in capsys.readouterr().err
    assert (home / "run/model/model.safetensors").is_file()
    assert (home / "run/tokenizer/model.safetensors").is_file()


@pytest.mark.slow
def test_rolling_names_adapters_by_base_and_class(home, capsys):
    more = ["--test-windows", "3", "--years", "0.02"]
    assert tune(home, "rolling", *more) == 0
    said = capsys.readouterr().err
    assert "tiny-crypto: " in said
    assert main(["finetune", "history", "tiny-crypto"]) == 0
    history = capsys.readouterr().out
    assert "promoted" in history or "kept" in history
    assert main(["finetune", "rollback", "tiny-crypto"]) == 2
    assert "no champion of tiny-crypto before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "--data nowhere is not a folder"),
        (["--name", "small"], "the name of a model already"),
        (["--name", "No Name"], "cannot be the name of an adapter"),
        (["--cut-off", "someday"], "--cut-off 'someday' is not a date"),
        (["--cut-off", "2031-01-01"], "from 2031-01-01 on"),
        (["--asset-class", "bonds"], "found: crypto"),
        (["--context", "600"], "long enough to be split"),
        (["--accumulate", "3"], "equal batches"),
        (["--manifest", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_mistakes_are_explained(home, capsys, arguments, message):
    assert tune(home, "lora", "--out", str(home / "run"), *arguments) == 2
    assert message in capsys.readouterr().err


def command(home, root, out, *more, launch=()):
    """`kronos finetune lora` in a process of its own: its arguments for subprocess."""
    arguments = [
        sys.executable, *launch, "-m", "kronos", "finetune", "lora", *QUICK, "--steps", "6",
        "--data", str(home / "bars"), "--base", str(home / "tiny"), "--out", str(home / out),
        "--lr", ".05", *more,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return {"args": arguments, "env": environment, "stderr": subprocess.PIPE, "text": True}


def run_whole(home, root, out, *more, launch=()):
    done = subprocess.run(**command(home, root, out, *more, launch=launch), timeout=300)
    assert done.returncode == 0, done.stderr
    state = load_file(home / out / "model-run/state.safetensors")
    log = (home / out / "model-run/log.jsonl").read_text().splitlines()
    return state, [json.loads(line) for line in log]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_make_the_adapter_that_one_makes(home, root):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two, log_of_two = run_whole(home, root, "two", "--accumulate", "2", launch=launch)
    one, log_of_one = run_whole(home, root, "one", "--accumulate", "2")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)
    for a, b in zip(log_of_one, log_of_two, strict=True):
        assert (a["split"], a.get("step")) == (b["split"], b.get("step"))
        for figure in ("loss", "crps"):
            assert a.get(figure, 0.0) == pytest.approx(b.get(figure, 0.0), abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_again_and_again_makes_the_same_adapter(home, root):
    started = time.monotonic()
    whole, log = run_whole(home, root, "whole")
    lasts = time.monotonic() - started
    moments, n_killed = random.Random(1), 0
    for _ in range(40):
        process = subprocess.Popen(**command(home, root, "killed"))
        try:
            process.communicate(timeout=moments.uniform(0.5, 1.1) * lasts)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            n_killed += 1
    state, log_of_killed = run_whole(home, root, "killed")
    assert n_killed
    assert all(torch.equal(whole[name], state[name]) for name in whole)
    steps = [(x["step"], x["split"]) for x in log if x["split"] != "end"]
    assert [(x["step"], x["split"]) for x in log_of_killed if x["split"] != "end"] == steps
    adapters = [home / out / "adapter.safetensors" for out in ("whole", "killed")]
    one, other = map(load_file, adapters)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_saves_and_says_how_to_resume(home, root):
    process = subprocess.Popen(**command(home, root, "run", "--steps", "4000"))
    log = home / "run/model-run/log.jsonl"
    while not (log.is_file() and '"split": "train"' in log.read_text()):
        assert process.poll() is None
    process.send_signal(2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command resumes from there" in said
    assert (home / "run/model-run/state.safetensors").is_file()
