"""`kronos forecast --save`, `kronos score` and `kronos store`, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from data_sources.samples import load_sample
from kronos import cli
from kronos.store.store import Store
from tests.store.made import make_forecast

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
SAMPLES = ROOT / "assets" / "samples"
QUICK = ["--model", str(GOLDEN), "--device", "cpu", "--paths", "4", "--lookback", "32", "-q"]


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The store of one test."""
    path = tmp_path / "store.sqlite3"
    monkeypatch.setenv("KRONOS_STORE", str(path))
    return path


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """The first 60 daily bars of a sample."""
    lines = (SAMPLES / "GOOG_1d.csv").read_text().splitlines()[:61]
    path = tmp_path / "GOOG_1d.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def save(bars: Path, *more: str) -> int:
    command = ["forecast", str(bars), "--horizon", "5", "-o", os.devnull, "--save", *QUICK, *more]
    return cli.main(command)


def test_a_forecast_is_saved_scored_and_exported(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save(bars) == save(bars, "--seed", "1") == save(bars) == 0
    assert cli.main(["score", str(bars)]) == 0
    out, err = capsys.readouterr()
    assert "2 forecasts looked at; new steps: none; 10 still to come." in err
    assert out == "Nothing has been scored yet.\n"
    assert cli.main(["score", str(SAMPLES / "GOOG_1d.csv"), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert "new steps: 10 observed; 0 still to come." in err
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["predictions"], row["steps"], row["made"]) == ("2", "10", "afterwards")
    assert cli.main(["score"]) == 0
    assert "coverage" in capsys.readouterr().out.splitlines()[0]
    target = tmp_path / "steps.csv"
    assert cli.main(["store", "export", "-o", str(target)]) == 0
    assert len(target.read_text().splitlines()) == 11
    assert cli.main(["store", "export", "--format", "json", "--instrument", "GOOG"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["instrument"] for line in lines] == ["GOOG", "GOOG"]


def test_a_saved_forecast_says_where_it_is(
    bars: Path, named: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["forecast", str(bars), "--horizon", "2", *QUICK[:-1]]
    assert cli.main(command) == 0
    assert not named.exists()
    for state in ("saved as", "saved before as"):
        assert cli.main([*command, "--save"]) == 0
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(state)
        assert last.endswith(f"in {named}")
    assert cli.main(["store", "info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["store"], info["rows"]["ml_predictions"]) == (str(named), 1)


def test_a_source_scores_the_forecasts_of_its_bars(
    capsys: pytest.CaptureFixture[str], named: Path
) -> None:
    candles = load_sample("BTCUSD_30m")
    with Store(str(named)) as store:
        store.save(make_forecast(candles, 500), candles, source="samples")
        store.save(make_forecast(candles, 500), candles, source="elsewhere")
    assert cli.main(["score", "--source", "samples"]) == 0
    assert "1 forecast looked at; new steps: 6 observed" in capsys.readouterr().err


def test_a_series_that_a_source_lacks_is_reported_and_the_others_are_scored(
    capsys: pytest.CaptureFixture[str], named: Path
) -> None:
    candles = load_sample("BTCUSD_30m")
    with Store(str(named)) as store:
        for symbol in ("AAAUSD", "BTCUSD"):
            renamed = replace(candles, symbol=symbol)
            store.save(make_forecast(renamed, 500), renamed, source="samples")
    assert cli.main(["score", "--source", "samples"]) == 2
    err = capsys.readouterr().err
    assert "AAAUSD 30m: There is no sample" in err
    assert "new steps: 6 observed" in err


def test_backups_are_restored(bars: Path, tmp_path: Path, named: Path) -> None:
    assert save(bars) == 0
    backup, other = str(tmp_path / "backup.sqlite3"), str(tmp_path / "other.sqlite3")
    assert cli.main(["store", "backup", backup]) == 0
    assert cli.main(["store", "--store", other, "restore", backup]) == 0
    assert cli.main(["store", "backup", backup]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "nowhere.csv"], "cannot be read"),
        (["score", "--as-of", "someday"], "--as-of must be a time"),
        (["score", "--source", "no such"], "no source 'no such'"),
        (["store", "--store", "mysql://me:s3cret@h/d"], "SQLite or PostgreSQL"),
        (["store", "restore", "nowhere"], "no such file"),
        (["store", "export", "-o", "{tmp}/none/x.csv"], "cannot be written"),
        (["forecast", "nowhere.csv", "--save", "--store", "{tmp}"], "store of forecasts"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([text.format(tmp=tmp_path) for text in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("kronos: ")
    assert err.count("\n") == 1
    assert "s3cret" not in err


@pytest.mark.parametrize("command", ["score", "store"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"  kronos {command}" in capsys.readouterr().out


def test_a_command_leaves_one_file(bars: Path, named: Path) -> None:
    """No write-ahead log beside it, which is easily forgotten when the file is copied."""
    script = "import sys; from kronos.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script, "store"], cwd=ROOT, check=True)
    assert done.returncode == 0
    assert [file.name for file in named.parent.glob("store*")] == [named.name]
