"""`kronos events`, as a user types it."""

from __future__ import annotations

import pandas as pd
import pytest

from data_sources import calendar as calendars
from data_sources.calendar import EventCalendar
from data_sources.yahoo.releases import YahooReleases
from kronos.cli import main
from tests.loopback_calendar import LoopbackCalendar, calendar_session, row


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
        (["refresh", "--source", "fred"], "FRED_API_KEY is not set"),
        (["refresh", "--region", "XX"], "--region must be one of US, EU"),
        (["refresh", "--since", "soon"], "--since must be a day such as"),
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


@pytest.fixture
def yahoo(monkeypatch):
    """Yahoo's calendar on loopback, with a release of tomorrow; events are fetched unasked."""
    tomorrow = pd.Timestamp.now("UTC").normalize() + pd.Timedelta(days=1, hours=13, minutes=30)
    rows = (
        row("CPI MM, SA*", "US", f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}", "Oct", None, "0.2", "0.3"),
        row("ECB Refinancing*", "EU", f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}", "", None, "2.15", "2.15"),
    )
    monkeypatch.setenv("KRONOS_CALENDAR", "on")
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    with LoopbackCalendar(rows) as server:
        source = YahooReleases(calendar_session(server.url), sleep=lambda seconds: None)
        opened = EventCalendar(source)
        monkeypatch.setattr(calendars, "event_calendar", lambda: opened)
        yield server


def test_the_list_fetches_the_days_that_it_shows(yahoo, capsys):
    assert main(["events"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "CPI, m/m (Oct)" in line]
    assert line.split()[-3:] == ["%", "Yahoo", "Finance"]
    n_requests = len(yahoo.requests)
    assert main(["events"]) == 0
    assert len(yahoo.requests) == n_requests


def test_a_list_of_the_past_sends_no_request(yahoo, capsys):
    assert main(["events", "list", "--from", "2022-06-01", "--to", "2022-06-15"]) == 0
    assert not yahoo.requests


def test_a_calendar_that_cannot_be_fetched_is_a_note(yahoo, capsys):
    yahoo.faults.statuses = [503] * 6
    assert main(["events", "list", "--kind", "fomc"]) == 0
    assert "note: the calendar of events may lack days: Yahoo Finance" in capsys.readouterr().err


def test_refresh_fetches_all_regions_or_one(yahoo, capsys):
    assert main(["events", "refresh", "--region", "eu"]) == 0
    assert "1 events from Yahoo Finance known, 1 of them in the future" in capsys.readouterr().err
    assert main(["events", "refresh"]) == 0
    assert "2 events from Yahoo Finance known" in capsys.readouterr().err
    assert main(["events", "list", "--region", "EU"]) == 0
    assert "European Central Bank rate decision" in capsys.readouterr().out


def test_nothing_is_fetched_unasked_where_it_is_switched_off(yahoo, monkeypatch, capsys):
    monkeypatch.setenv("KRONOS_CALENDAR", "off")
    assert main(["events"]) == 0
    assert not yahoo.requests
