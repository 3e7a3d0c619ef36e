"""Releases from Yahoo's economic calendar, through the real client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd
import pytest

from data_sources.yahoo.releases import COUNTRIES, RELEASES, YahooReleases, release_of
from kronos.errors import RateLimited, SourceBlocked, SourceDown, SourceNonsense
from kronos.events import KINDS, REGIONS, SURPRISES, bundled_events, merge_events
from kronos.events.tables import EventTable
from tests.loopback_calendar import COLUMNS, LoopbackCalendar, calendar_session, row

NOW = pd.Timestamp("2026-11-18 17:40", tz="UTC").as_unit("ns")
FIRST, LAST = pd.Timestamp("2026-10-01", tz="UTC"), pd.Timestamp("2026-12-31", tz="UTC")


@pytest.fixture
def calendar() -> Iterator[LoopbackCalendar]:
    with LoopbackCalendar() as served:
        yield served


@pytest.fixture
def yahoo(calendar: LoopbackCalendar) -> YahooReleases:
    session = calendar_session(calendar.url, page_seconds=5.0)
    return YahooReleases(session, sleep=lambda seconds: None)


def fetched(yahoo: YahooReleases, region: str = "US"):
    return yahoo.fetch(region, FIRST, LAST, now=NOW)


def test_releases_have_actual_expected_and_previous(yahoo):
    found = {(e.kind, e.release_day): e for e in fetched(yahoo).events}
    assert [*found] == [
        ("cpi", "2026-10-14"), ("fomc", "2026-10-28"), ("gdp", "2026-10-29"),
        ("nfp", "2026-11-06"), ("cpi", "2026-11-12"), ("pce", "2026-11-25"),
        ("cpi", "2026-12-10"),
    ]  # fmt: skip
    cpi = found["cpi", "2026-10-14"]
    assert (cpi.actual, cpi.consensus, cpi.previous, cpi.unit) == (0.3, 0.4, 0.2, "%")
    assert (cpi.title, cpi.source) == ("CPI, m/m (Sep)", "Yahoo Finance")
    assert cpi.time == pd.Timestamp("2026-10-14 12:30", tz="UTC")
    assert cpi.fetched_at == NOW
    assert cpi.surprise == pytest.approx(-0.1)
    assert found["nfp", "2026-11-06"].actual == 1119.0
    coming = found["pce", "2026-11-25"]
    assert (coming.actual, coming.consensus, coming.surprise) == (None, 0.2, None)


def test_a_figure_of_zero_is_a_figure(yahoo):
    (gdp,) = [event for event in fetched(yahoo).events if event.kind == "gdp"]
    assert (gdp.actual, gdp.surprise) == (0.0, -1.2)


def test_a_policy_rate_is_the_upper_end_of_its_range(yahoo):
    """Yahoo mixes the upper end and the middle of the range, which looks like half a step."""
    (fomc,) = [event for event in fetched(yahoo).events if event.kind == "fomc"]
    assert (fomc.actual, fomc.consensus, fomc.previous) == (3.75, 3.75, 4.0)


def test_other_releases_are_ignored_and_counted(yahoo):
    assert fetched(yahoo).ignored == {"Core CPI MM, SA*": 1, "Initial Jobless Clm*": 1}


def test_a_decision_with_two_rates_is_one_event(yahoo):
    october, december = fetched(yahoo, "EU").events
    assert (october.actual, october.title) == (2.15, "European Central Bank rate decision (Oct)")
    assert (december.previous, december.is_time_exact) == (2.0, True)


def test_midnight_stands_for_a_date_alone(yahoo):
    (tokyo,) = fetched(yahoo, "JP").events
    assert (tokyo.release_day, tokyo.is_time_exact) == ("2026-10-30", False)
    assert tokyo.time == pd.Timestamp("2026-10-30 12:00", tz="Asia/Tokyo")


def test_an_actual_before_the_release_is_none(yahoo, calendar):
    calendar.rows = (row("CPI MM, SA*", "US", "2026-12-10T13:30:00Z", "Nov", "0.9", "0.2"),)
    (event,) = fetched(yahoo).events
    assert (event.actual, event.consensus) == (None, 0.2)


@pytest.mark.parametrize("figure", ["n/a", "1.5K", "NaN", "1e400", "9" * 50, "4.00-4.25", ""])
def test_a_figure_that_is_no_number_is_missing_and_counted(yahoo, calendar, figure):
    calendar.rows = (row("CPI MM, SA*", "US", "2026-11-12T13:30:00Z", "Oct", figure, "0.2"),)
    found = fetched(yahoo)
    assert found.events[0].actual is None
    assert found.n_unread == bool(figure)


def test_all_pages_are_read(yahoo, calendar):
    times = [f"2026-10-{1 + i // 24:02}T{i % 24:02}:00:00Z" for i in range(250)]
    auctions = [row(f"Auction {i}", "US", time) for i, time in enumerate(times)]
    calendar.rows = (*auctions, row("CPI MM, SA*", "US", "2026-12-31T23:30:00Z"))
    found = fetched(yahoo)
    assert [body["offset"] for body in calendar.requests] == [0, 100, 200]
    assert len(found.ignored) == 250
    assert [event.kind for event in found.events] == ["cpi"], "the last day counts too"


def test_a_request_names_countries_and_days(yahoo, calendar):
    fetched(yahoo, "EU")
    (body,) = calendar.requests
    text = json.dumps(body["query"])
    assert all(f'"{code}"' in text for code in ("EU", "EZ", "EMU", "2026-10-01", "2027-01-01"))
    assert '"US"' not in text


def test_an_expired_crumb_is_renewed_once(yahoo, calendar):
    fetched(yahoo)
    calendar.faults.crumbs = set(calendar.crumbs)
    assert fetched(yahoo).events
    first, refused, renewed = calendar.crumbs
    assert first == refused != renewed
    calendar.faults.no_crumb = True
    with pytest.raises(SourceBlocked, match=r"wants a login.*Invalid Crumb"):
        fetched(yahoo)


def table(text: str) -> str:
    """An answer with a table of this content."""
    return '{"finance":{"result":[{"total":1,"documents":[{' + text + "}]}]}}"


@pytest.mark.parametrize(
    ("statuses", "body", "kind", "said"),
    [
        ([429] * 3, "", RateLimited, "too many requests"),
        ([403] * 2, "", SourceBlocked, "refuses requests"),
        ([503] * 6, "", SourceDown, "fault of its own"),
        ([], "<html>captcha</html>", SourceNonsense, "a web page instead of data"),
        ([], "Will be right back", SourceDown, "it is down"),
        ([], "[]", SourceNonsense, "not with its economic calendar"),
        ([], "{}", SourceNonsense, "not with its economic calendar"),
        ([], '{"finance":{"result":[],"error":null}}', SourceNonsense, "not with its economic"),
        ([], '{"finance":{"result":null,"error":{"description":"no"}}}', SourceNonsense, "no"),
        ([], table('"columns":[],"rows":[[]]'), SourceNonsense, "without econ_release"),
        ([], table('"columns":[{"id":1}],"rows":[[]]'), SourceNonsense, "1 rows of 1 columns"),
        ([], table('"columns":[],"rows":[' + "[]," * 1000 + "[]]"), SourceNonsense, "1001 rows"),
        ([], "[" * 100_000, SourceNonsense, "too deep"),
        ([], '{"finance": 1' + "0" * 5000 + "}", SourceNonsense, "a number of 5,001 characters"),
    ],
)  # fmt: skip
def test_an_answer_without_a_calendar_is_refused(yahoo, calendar, statuses, body, kind, said):
    calendar.faults.statuses, calendar.faults.body = list(statuses), body
    with pytest.raises(kind, match=said):
        fetched(yahoo)


@pytest.mark.parametrize(
    "spoiled",
    [
        (7, "US", "2026-11-12T13:30:00Z"),
        ("CPI MM, SA*", None, "2026-11-12T13:30:00Z"),
        ("CPI MM, SA*", "US", "soon"),
        ("CPI MM, SA*", "US", "2026-13-12T13:30:00Z"),
        ("CPI MM, SA*", "US", 1777485600000),
    ],
)
def test_a_row_that_is_no_release_is_refused(yahoo, calendar, spoiled):
    rows = [[*spoiled, "Oct", "0.3", None, None, None]]
    columns = [{"id": name} for name, *_ in COLUMNS]
    calendar.faults.body = table(json.dumps({"columns": columns, "rows": rows})[1:-1])
    with pytest.raises(SourceNonsense, match="cannot be read"):
        fetched(yahoo)


def test_a_calendar_without_an_end_is_refused(yahoo, calendar):
    calendar.faults.is_endless = True
    with pytest.raises(SourceNonsense, match="more than 6,000 releases"):
        fetched(yahoo)
    assert len(calendar.requests) == 60


def test_a_request_without_a_response_ends(calendar):
    calendar.faults.hang = True
    quick = YahooReleases(
        calendar_session(calendar.url, page_seconds=0.2), sleep=lambda seconds: None
    )
    with pytest.raises(SourceDown, match="did not answer"):
        fetched(quick)


def test_the_table_of_names_is_whole():
    assert {release.region for release in RELEASES} == set(COUNTRIES) <= set(REGIONS)
    assert {release.kind for release in RELEASES} <= set(KINDS)
    keys = [(release.kind, release.region) for release in RELEASES]
    assert len(set(keys)) == len(keys)
    for release in RELEASES:
        for place, name in enumerate(release.names):
            for spelt in (name, f"{name}*", f"{name} *", name.upper()):
                assert release_of(COUNTRIES[release.region][0], spelt) == (release, place)
    assert release_of("US", "Core CPI MM, SA*") is None
    assert release_of("XX", "CPI MM, SA*") is None
    assert {kind for kind, region in keys if region == "US"} >= set(SURPRISES)


def test_the_figures_can_be_merged_with_the_bundled_ones(yahoo):
    """One event holds one unit: a table in another would be refused as a whole."""
    units = {(event.kind, event.region): event.unit for event in bundled_events()}
    for release in RELEASES:
        assert units.get((release.kind, release.region), release.unit) == release.unit
    events = fetched(yahoo).events
    merged = merge_events([EventTable("yahoo", events), EventTable("bundled", bundled_events())])
    assert len(merged) < len(events) + len(bundled_events())


def test_every_bundled_central_bank_has_a_name_at_yahoo():
    bundled = {event.region for event in bundled_events() if event.kind == "rate_decision"}
    assert bundled <= {release.region for release in RELEASES if release.kind == "rate_decision"}
