"""`kronos events`, as a user types it."""

from __future__ import annotations

import pytest

from kronos.cli import main


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_list_shows_official_figures(capsys):
    assert main(["events", "list", "--from", "2022-06-01", "--to", "2022-06-15"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "TIME", "KIND", "FOR", "EVENT", "ACTUAL", "CONSENSUS", "PREVIOUS", "UNIT", "SOURCE",
    ]  # fmt: skip
    (decision,) = [line for line in lines if " fomc " in line]
    assert decision.startswith("2022-06-15 18:00Z  fomc")
    assert "1.75" in decision


def test_a_consensus_of_ones_own_joins_the_official_actual(capsys, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("kind,time,region,consensus,unit\ncpi,2025-10-24,US,0.4,%\n")
    assert main(["events", "add", str(file)]) == 0
    assert "1 event(s) added" in capsys.readouterr().err
    listing = ["events", "list", "--kind", "cpi", "--from", "2025-10-24", "--to", "2025-10-24"]
    assert main([*listing, "--csv"]) == 0
    header, row = (line.split(",") for line in capsys.readouterr().out.replace(
        '"CPI, m/m"', "CPI").splitlines())  # fmt: skip
    found = dict(zip(header, row, strict=True))
    assert (found["actual"], found["consensus"], found["is_time_exact"]) == ("0.3", "0.4", "yes")


def test_adding_keeps_earlier_events_without_replace(capsys, tmp_path):
    file = tmp_path / "mine.csv"
    for day in ("2026-12-10", "2027-01-14"):
        file.write_text(f"kind,time,region\ncpi,{day},US\n")
        assert main(["events", "add", str(file)]) == 0
    listing = ["events", "list", "--kind", "cpi", "--from", "2026-12-01", "--to", "2027-12-31"]
    assert main(listing) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["events", "add", str(file), "--replace"]) == 0
    assert main(listing) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind,time,region\ncpi,soon,US\n", "line 2, column time"),
        ("kind,time,region,consensus,unit\nnfp,2025-09-05,US,75000,persons\n", "'thousand'"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_everything_as_it_was(capsys, tmp_path, text, said):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    assert main(["events", "add", str(file)]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "data").rglob("*.csv"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--from", "yesterday"], "--from must be a day such as"),
        (["list", "--kind", "party"], "--kind must be one of fomc, cpi"),
        (["list", "--region", "XX"], "--region must be one of US, EU"),
        (["add", "/nowhere/x.csv"], "cannot be read"),
        (["refresh"], "FRED_API_KEY is not set"),
        (["earnings", "A B"], "is no ticker"),
    ],
)
def test_mistakes_are_explained_in_a_line(capsys, monkeypatch, arguments, said):
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    assert main(["events", *arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("kronos: ")
    assert said in printed
    assert printed.count("\n") == 1


def test_an_empty_list_says_so(capsys):
    assert main(["events", "list", "--from", "1990-01-01", "--to", "1990-01-02"]) == 0
    assert "No such event is known" in capsys.readouterr().err
