"""`kronos train`: what it refuses, and both stages into one folder."""

import pytest

from kronos.cli import main
from kronos.nn.config import read_config
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


def test_a_model_that_reads_events_is_trained_and_scored_with_them(bars, tmp_path, capsys):
    table, out = tmp_path / "reports.csv", tmp_path / "run"
    table.write_text("kind,time,region\ncpi,2020-01-08 08:30,US\n", encoding="utf-8")
    common = ["--data", str(bars), "--out", str(out), "--holdout", "0", "--steps", "1"]
    common += ["--bars-per-batch", "512", "--device", "cpu"]
    assert main(["train", "tokenizer", *common]) == 0
    assert main(["train", "model", *common, "--events", str(table)]) == 0
    config = read_config(out / "model")
    assert (config["n_event_channels"], config["event_alignment"]) == (20, "ahead")
    score = ["evaluate", "--data", str(bars), "--holdout", "0", "--model", str(out)]
    score += ["--windows", "1", "--per-interval", "1", "--paths", "4", "--lookback", "32"]
    capsys.readouterr()
    plain, read = (score_text(capsys, [*score, *rest]) for rest in ([], ["--events", str(table)]))
    assert "pooled" in plain
    assert plain != read


def score_text(capsys, arguments):
    assert main(arguments) == 0
    return capsys.readouterr().out


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
