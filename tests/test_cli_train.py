"""`kronos train`: what it refuses, and both stages into one folder."""

import pytest

from kronos.cli import main
from tests.training.conftest import made_up_bars


@pytest.fixture
def bars(tmp_path):
    folder = tmp_path / "bars"
    folder.mkdir()
    for i in range(3):
        made_up_bars(600, seed=i).to_csv(folder / f"{i}.csv", index=False)
    return folder


def test_both_stages_write_one_loadable_folder(bars, tmp_path):
    out = tmp_path / "run"
    common = ["--data", str(bars), "--out", str(out), "--holdout", "0", "--steps", "1"]
    common += ["--bars-per-batch", "512", "--device", "cpu"]
    assert main(["train", "tokenizer", *common]) == 0
    assert main(["train", "model", *common]) == 0
    from kronos.models import load

    assert load(str(out), device="cpu").name == "run"


def test_a_model_needs_its_tokenizer_first(bars, tmp_path, capsys):
    code = main(["train", "model", "--data", str(bars), "--out", str(tmp_path / "none")])
    assert code == 2
    assert "Run `kronos train tokenizer`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "--data nowhere is not a folder"),
        (["--manifest", "nowhere.csv"], "--manifest nowhere.csv is not there"),
        (["--until", "someday"], "--until 'someday' is not a date"),
        (["--steps", "0"], "steps and lr must be positive"),
        (["--holdout", "1.5"], "held-out share"),
    ],
)
def test_mistakes_are_explained(bars, tmp_path, capsys, arguments, message):
    base = ["train", "tokenizer", "--data", str(bars), "--out", str(tmp_path / "out")]
    assert main([*base, *arguments]) == 2
    assert message in capsys.readouterr().err
