"""Releases from FRED: its real format, first prints and revisions, and everything that fails."""

from __future__ import annotations

import logging
import time
import traceback

import pandas as pd
import pytest

from data_sources.fred.client import Fred, fred_key
from data_sources.fred.releases import fetch_releases
from kronos.cli import main
from kronos.errors import (
    InvalidRequest,
    RateLimited,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)
from kronos.events import Event, load_events
from tests.loopback_fred import KEY, Faults, LoopbackFred

NOW = pd.Timestamp("2024-04-20 12:00", tz="UTC").as_unit("ns")
SINCE = pd.Timestamp("2024-01-01")


def publish(fred: LoopbackFred) -> None:
    """Some months of early 2024, with a revision of seasonal factors four days before a CPI."""
    fred.releases = {
        10: ["2024-01-11", "2024-02-09", "2024-02-13", "2024-03-12", "2024-05-15"],
        50: ["2024-02-02", "2024-03-08", "2024-05-03", "2024-05-07"],
        53: ["2024-01-25", "2024-02-16", "2024-02-28", "2024-03-28", "2024-04-25"],
        54: ["2024-02-29"],
    }
    fred.series = {
        "CPIAUCSL": [
            ("2023-11-01", "2023-12-12", "307.917"),
            ("2023-11-01", "2024-02-09", "308.087"),
            ("2023-12-01", "2024-01-11", "308.850"),
            ("2023-12-01", "2024-02-09", "308.742"),
            ("2024-01-01", "2024-02-13", "309.685"),
            ("2024-02-01", "2024-03-12", "311.054"),
        ],
        "PAYEMS": [
            ("2023-11-01", "2024-01-05", "157000"),
            ("2023-12-01", "2024-01-05", "157232"),
            ("2023-12-01", "2024-02-02", "157347"),
            ("2024-01-01", "2024-02-02", "157700"),
            ("2024-01-01", "2024-03-08", "157533"),
            ("2024-02-01", "2024-03-08", "157808"),
        ],
        "A191RL1Q225SBEA": [
            ("2023-07-01", "2023-10-26", "4.9"),
            ("2023-10-01", "2024-01-25", "3.3"),
            ("2023-10-01", "2024-02-28", "3.2"),
            ("2023-10-01", "2024-03-28", "3.4"),
        ],
        "PCEPILFE": [
            ("2023-12-01", "2024-01-26", "."),
            ("2024-01-01", "2024-02-29", "121.5"),
        ],
        "DFEDTARU": [
            (f"{day:%Y-%m-%d}", f"{day:%Y-%m-%d}", "5.50" if day < pd.Timestamp("2024-03-21")
             else "5.25" if day < pd.Timestamp("2024-04-10") else "5.00")
            for day in pd.date_range("2024-01-20", "2024-04-19")
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with LoopbackFred() as fred:
        yield fred


@pytest.fixture(scope="module")
def waits() -> list[float]:
    return []


@pytest.fixture(scope="module")
def shared(server, waits) -> Fred:
    """One client for all tests: building one takes a while."""
    return Fred(KEY, endpoint=server.url, seconds=5.0, sleep=waits.append)


@pytest.fixture
def served(server) -> LoopbackFred:
    """The server, without faults."""
    server.faults = Faults()
    publish(server)
    return server


@pytest.fixture
def pauses(waits) -> list[float]:
    waits.clear()
    return waits


@pytest.fixture
def client(served, shared) -> Fred:
    return shared


def meeting(day: str) -> Event:
    time = pd.Timestamp(f"{day} 14:00", tz="America/New_York").tz_convert("UTC").as_unit("ns")
    return Event("fomc", time, "US", source="Federal Reserve Board")


MEETINGS = [meeting("2024-03-20"), meeting("2024-05-01")]


@pytest.fixture(scope="module")
def fetched(server, shared):
    publish(server)
    events, notes = fetch_releases(shared, MEETINGS, SINCE, now=NOW)
    return {(event.kind, event.release_day): event for event in events}, notes


def test_figures_are_first_prints_as_they_stood_on_the_day(fetched):
    events, _ = fetched
    january = events["nfp", "2024-02-02"]
    assert (january.actual, january.previous) == (353.0, 347.0)  # 157700 - 157347 - 157000
    assert (january.period, january.unit) == ("Jan 2024", "thousand")
    february = events["nfp", "2024-03-08"]
    assert (february.actual, february.previous) == (275.0, 186.0)  # December revised before
    cpi = events["cpi", "2024-02-13"]
    assert (cpi.actual, cpi.previous, cpi.period) == (0.3, 0.2, "Jan 2024")
    assert cpi.fetched_at == NOW
    assert cpi.source == "U.S. Bureau of Labor Statistics; FRED"


def test_times_are_those_of_the_release_on_its_own_clock(fetched):
    events, _ = fetched
    assert events["nfp", "2024-03-08"].time == pd.Timestamp("2024-03-08 13:30", tz="UTC")
    assert events["cpi", "2024-03-12"].time == pd.Timestamp("2024-03-12 12:30", tz="UTC")


def test_revisions_of_seasonal_factors_are_no_releases(fetched):
    events, _ = fetched
    assert [day for kind, day in events if kind == "cpi"] == [
        "2024-01-11", "2024-02-13", "2024-03-12", "2024-05-15",
    ]  # fmt: skip
    assert [day for kind, day in events if kind == "nfp"] == [
        "2024-02-02", "2024-03-08", "2024-05-03",
    ]  # fmt: skip


def test_all_three_estimates_of_gdp_are_releases_and_other_dates_are_not(fetched):
    events, _ = fetched
    gdp = {day: event for (kind, day), event in events.items() if kind == "gdp"}
    assert [(day, event.actual, event.period) for day, event in gdp.items()] == [
        ("2024-01-25", 3.3, "Q4 2023, advance"),
        ("2024-02-28", 3.2, "Q4 2023, second"),
        ("2024-03-28", 3.4, "Q4 2023, third"),
        ("2024-04-25", None, ""),
    ]
    assert gdp["2024-02-28"].previous == 4.9


def test_what_fred_does_not_know_stays_missing(fetched):
    events, _ = fetched
    assert all(event.consensus is None for event in events.values())
    scheduled = events["cpi", "2024-05-15"]
    assert scheduled.actual is scheduled.previous is None
    gap = events["pce", "2024-02-29"]  # the month before is a gap
    assert gap.actual is gap.previous is None


def test_rates_hold_from_the_day_after_the_meeting(fetched):
    events, notes = fetched
    decided = events["fomc", "2024-03-20"]
    assert (decided.previous, decided.actual) == (5.5, 5.25)
    assert events["fomc", "2024-05-01"].actual is None
    assert notes == [
        "The target range changed on 2024-04-10 after no meeting that is known. Add the decision "
        "with its time: kronos events add FILE."
    ]


def test_progress_is_reported(client):
    told = []
    fetch_releases(
        client, MEETINGS, SINCE, now=NOW, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(i, 9) for i in range(1, 10)]


def test_a_request_is_repeated_after_a_passing_fault(served, client, pauses):
    served.faults.statuses = [503, 500]
    assert client.release_dates(50, SINCE)
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize(
    ("statuses", "kind", "said"),
    [
        ([500] * 3, SourceDown, "fault of its own"),
        ([429], RateLimited, "too many requests"),
        ([403], SourceBlocked, "refuses requests from this address"),
    ],
)
def test_each_refusal_has_its_error(served, pauses, statuses, kind, said):
    served.faults.statuses = statuses
    client = Fred(KEY, endpoint=served.url, sleep=pauses.append)  # may be left alone after this
    with pytest.raises(kind, match=said):
        client.release_dates(50, SINCE)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        ("<html>login</html>", "text/html", "web page instead of data"),
        ("{", "application/json", "with no JSON"),
        ("[]", "application/json", "in another form"),
        ("{}", "application/json", "without release_dates"),
        ('{"release_dates": [{"date": "soon"}]}', "application/json", "gave 'soon' for date"),
        ('{"release_dates": [], "count": 7}', "application/json", "has 7 rows .* and gave 0"),
    ],
)
def test_responses_in_another_format_are_refused(served, client, body, content_type, said):
    served.faults.body, served.faults.content_type = body, content_type
    with pytest.raises(SourceNonsense, match=said):
        client.release_dates(50, SINCE)


def test_values_that_are_no_numbers_are_refused(served, client):
    served.series["PAYEMS"].append(("2024-03-01", "2024-04-05", "many"))
    with pytest.raises(SourceNonsense, match="the value 'many', no number"):
        client.vintages("PAYEMS", SINCE)


def test_a_request_without_a_response_ends(served, pauses):
    served.faults.hang = True
    quick = Fred(KEY, endpoint=served.url, seconds=0.2, sleep=pauses.append)
    with pytest.raises(SourceDown, match="did not answer within"):
        quick.release_dates(50, SINCE)


@pytest.mark.parametrize("n_done", [0, 1, 2, 8])
def test_all_requests_of_a_calendar_share_one_deadline(served, pauses, monkeypatch, n_done):
    monkeypatch.setattr("data_sources.fred.releases._ALL_REQUESTS_SECONDS", 1.0)
    patient = Fred(KEY, endpoint=served.url, seconds=60.0, sleep=pauses.append)
    served.faults.hang = n_done == 0

    def hang_after(done: int, total: int) -> None:
        served.faults.hang = done >= n_done

    began = time.monotonic()
    with pytest.raises(SourceDown, match=r"did not answer|needs more than 1 s"):
        fetch_releases(patient, [], SINCE, now=NOW, progress=hang_after)
    assert time.monotonic() - began < 20
    assert pauses == []


def test_an_unknown_series_and_a_wrong_key_are_named(served, client, pauses):
    with pytest.raises(UnknownSymbol, match="series does not exist"):
        client.vintages("NOPE", SINCE)
    stranger = Fred("f" * 32, endpoint=served.url, sleep=pauses.append)
    with pytest.raises(InvalidRequest, match=r"refuses the key .* Check FRED_API_KEY"):
        stranger.release_dates(50, SINCE)


@pytest.mark.parametrize("fault", ["refused", "echoed", "unreachable", "bad address"])
def test_no_message_shows_the_key(served, fault, pauses):
    endpoint = {"unreachable": "http://127.0.0.1:9", "bad address": "http://[::1"}.get(fault)
    if fault == "echoed":
        served.faults.statuses, served.faults.echo_key = [400], True
    elif fault == "refused":
        served.faults.statuses = [500] * 3
    client = Fred(KEY, endpoint=endpoint or served.url, sleep=pauses.append)
    with pytest.raises((InvalidRequest, SourceDown)) as caught:
        client.release_dates(50, SINCE)
    told = "".join(traceback.format_exception(caught.value))
    assert KEY not in told
    assert "FRED" in str(caught.value)


def test_no_log_shows_the_key(client, caplog):
    with caplog.at_level(logging.DEBUG):
        client.release_dates(50, SINCE)
    assert "release/dates" in caplog.text  # requests are logged
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "FRED_API_KEY is not set"), ("short", "must hold 32 .* found 5 characters")],
)
def test_a_missing_or_mistyped_key_is_explained(monkeypatch, key, said):
    monkeypatch.setenv("FRED_API_KEY", key)
    with pytest.raises(InvalidRequest, match=said):
        fred_key()


def test_the_command_refreshes_the_calendar(served, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("FRED_API_KEY", KEY)
    monkeypatch.setenv("FRED_ENDPOINT", served.url)
    served.series["PAYEMS"] += [("2024-03-01", "2024-04-05", "158133")]
    served.releases[50].insert(2, "2024-04-05")
    assert main(["events", "refresh", "--source", "fred", "--since", "2024-01-01"]) == 0
    told = capsys.readouterr().err
    assert "events from FRED saved in" in told
    assert "note: The target range changed on 2024-04-10" in told
    assert KEY not in told
    found = {(event.kind, event.release_day): event for event in load_events()}
    assert found["nfp", "2024-04-05"].actual == 325.0
    assert found["cpi", "2020-03-11"].actual is not None  # from the bundled table
    assert (
        main(["events", "list", "--kind", "nfp", "--from", "2024-04-01", "--to", "2024-04-30"]) == 0
    )
    assert "325" in capsys.readouterr().out
