"""`kronos finetune`: from files to a model that forecasts, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from kronos.adapters import adapter_path
from kronos.cli import main
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
    assert main([*forecast, "--horizon", "3", "--samples", "5"]) == 0
    assert main(["models", "delete", "mine"]) == 0
    assert adapter_path("mine") is None


def test_a_whole_model_is_trained(home, capsys):
    assert tune(home, "full", "--out", str(home / "run"), "--no-events") == 0
    assert str(home / "run") in capsys.readouterr().err
    assert (home / "run/model/model.safetensors").is_file()
    assert (home / "run/tokenizer/model.safetensors").is_file()


def test_rolling_names_adapters_by_base_and_class(home, capsys):
    more = ["--test-windows", "3", "--years", "0.02"]
    assert tune(home, "rolling", *more) == 0
    said = capsys.readouterr().err
    assert "tiny-crypto: " in said
    assert main(["finetune", "history", "tiny-crypto"]) == 0
    told = capsys.readouterr().out
    assert "promoted" in told or "kept" in told
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
