"""The calendar of releases on this machine: what is fetched, when again, and what it says."""

from __future__ import annotations

import json
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sources.calendar import CalendarDays, EventCalendar, MissingDays, days_for
from data_sources.samples import load_sample
from data_sources.yahoo.releases import FetchedReleases, YahooReleases
from kronos.errors import InvalidEvents, RateLimited, SourceDown, UnknownSymbol
from kronos.events import Event, known_at, load_events, save_events, stored_events
from tests.loopback_calendar import LoopbackCalendar, calendar_session


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("ns")


NOW = at("2026-11-18 17:40")
DAYS = CalendarDays(("US", "EU"), at("2026-10-14"), at("2027-01-10"))


class Listed:
    """Stands for Yahoo: lists these events, and counts its requests."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.requests: list[tuple[str, str, str]] = []
        self.error: Exception | None = None

    def fetch(self, region, first, last, *, now):
        self.requests.append((region, f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"))
        if self.error is not None:
            raise self.error
        chosen = tuple(
            event
            for event in self.events
            if event.region == region and first <= event.time < last + pd.Timedelta(days=1)
        )
        return FetchedReleases(chosen, Counter(other=3))


class Reports:
    """Stands for Yahoo's earnings."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.requests: list[str] = []

    def fetch(self, symbol, *, now):
        self.requests.append(symbol)
        if not self.events:
            raise UnknownSymbol("lists no earnings")
        return list(self.events)


class Clock:
    def __init__(self, now: pd.Timestamp = NOW) -> None:
        self.now = now

    def __call__(self) -> pd.Timestamp:
        return self.now

    def move(self, **options: float) -> None:
        self.now += pd.Timedelta(**options)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("FRED_API_KEY", raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def calendar(tmp_path: Path, source: object, clock: Clock, **options) -> EventCalendar:
    return EventCalendar(source, folder=tmp_path, clock=clock, **options)  # type: ignore[arg-type]


def test_missing_months_are_fetched_once_and_stay_on_the_disk(tmp_path, clock):
    source = Listed(Event("cpi", at("2026-12-10 13:30"), "US", consensus=0.2))
    cal = calendar(tmp_path, source, clock)
    assert cal.missing(DAYS).months[0] == ("US", "2026-10")
    assert len(cal.missing(DAYS).months) == 8
    cal.refresh(DAYS)
    spans = [("2026-10-01", "2026-12-31"), ("2027-01-01", "2027-01-31")]
    assert source.requests == [(region, *span) for region in ("US", "EU") for span in spans]
    assert not cal.missing(DAYS)
    again = calendar(tmp_path, source, clock)
    again.refresh(DAYS)
    assert len(source.requests) == 4
    assert stored_events("yahoo", folder=tmp_path)[0].consensus == 0.2
    later = CalendarDays(("US",), at("2026-11-01"), at("2027-02-10"))
    assert again.missing(later) == MissingDays((("US", "2027-02"),))
    assert again.covered_until("US") == at("2027-01-31")
    assert again.covered_until("JP") is None


def test_a_month_is_fetched_again_until_it_is_over(tmp_path, clock):
    source = Listed()
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    clock.move(hours=11)
    assert not cal.missing(DAYS)
    clock.move(hours=2)
    assert {month for _, month in cal.missing(DAYS).months} == {"2026-11", "2026-12", "2027-01"}


def test_a_release_that_has_come_out_is_fetched_at_once_and_less_often_if_it_is_late(
    tmp_path, clock
):
    source = Listed(Event("cpi", at("2026-11-18 17:45"), "US", consensus=0.2))
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    clock.now = at("2026-11-18 17:48")
    assert not cal.missing(DAYS)
    clock.now = at("2026-11-18 17:51")
    assert cal.missing(DAYS).months == (("US", "2026-11"),)
    cal.refresh(DAYS)
    clock.now = at("2026-11-18 17:55")
    assert not cal.missing(DAYS)
    clock.now = at("2026-11-18 18:51")
    cal.refresh(DAYS)
    clock.move(minutes=50)
    assert not cal.missing(DAYS), "it was an hour late, so the next request is an hour later"
    source.events = (Event("cpi", at("2026-11-18 17:45"), "US", actual=0.3, consensus=0.2),)
    clock.move(minutes=20)
    cal.refresh(DAYS)
    assert stored_events("yahoo", folder=tmp_path)[0].surprise == pytest.approx(0.1)
    assert len(source.requests) == 7
    clock.move(hours=2)
    assert not cal.missing(DAYS)


def test_a_failure_is_not_repeated_for_some_minutes(tmp_path, clock):
    source = Listed()
    source.error = SourceDown("Yahoo Finance cannot be reached.")
    cal = calendar(tmp_path, source, clock)
    with pytest.raises(SourceDown):
        cal.refresh(DAYS)
    assert not cal.missing(DAYS)
    assert str(cal.problem(DAYS)) == "Yahoo Finance cannot be reached."
    clock.move(minutes=6)
    assert cal.missing(DAYS)
    assert cal.problem(DAYS) is None
    source.error = RateLimited("too many", retry_after=3600)
    with pytest.raises(RateLimited):
        cal.refresh(DAYS)
    clock.move(minutes=50)
    assert not cal.missing(DAYS)
    clock.move(minutes=20)
    source.error = None
    cal.refresh(DAYS)
    assert cal.problem(DAYS) is None


def test_a_failure_of_earnings_is_that_of_pages_with_earnings(tmp_path, clock):
    class Down:
        def fetch(self, symbol, *, now):
            raise SourceDown("down")

    cal = calendar(tmp_path, Listed(), clock, earnings=Down())
    of_company = CalendarDays(("US",), DAYS.first, DAYS.last, ticker="AAPL")
    with pytest.raises(SourceDown):
        cal.refresh(of_company)
    assert cal.problem(of_company) is not None
    assert cal.problem(DAYS) is None


def test_what_was_fetched_before_a_failure_stays(tmp_path, clock):
    class Half(Listed):
        def fetch(self, region, first, last, *, now):
            self.error = SourceDown("down") if region == "EU" else None
            return super().fetch(region, first, last, now=now)

    cal = calendar(tmp_path, Half(Event("cpi", at("2026-12-10 13:30"), "US")), clock)
    with pytest.raises(SourceDown):
        cal.refresh(DAYS)
    assert len(stored_events("yahoo", folder=tmp_path)) == 1
    clock.move(minutes=6)
    assert {region for region, _ in cal.missing(DAYS).months} == {"EU"}


def test_threads_that_want_the_same_days_share_one_fetch(tmp_path, clock):
    class Slow(Listed):
        def fetch(self, *args, **options):
            began.set()
            assert go.wait(10)
            return super().fetch(*args, **options)

    began, go = threading.Event(), threading.Event()
    source = Slow(Event("cpi", at("2026-12-10 13:30"), "US"))
    cal = calendar(tmp_path, source, clock)
    threads = [threading.Thread(target=cal.refresh, args=(DAYS,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert len(source.requests) == 4


def test_the_first_actual_stays_and_a_moved_release_goes(tmp_path, clock):
    first, moved = at("2026-11-12 13:30"), at("2026-12-10 13:30")
    source = Listed(
        Event("cpi", first, "US", actual=0.2, consensus=0.3),
        Event("pce", moved, "US"),
        Event("rate_decision", moved, "EU"),
    )
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    source.events = (Event("cpi", first, "US", actual=0.4, consensus=0.3),)
    clock.move(hours=13)
    cal.refresh(CalendarDays(("US",), DAYS.first, DAYS.last))
    found = {(event.kind, event.region): event for event in stored_events("yahoo", folder=tmp_path)}
    assert {*found} == {("cpi", "US"), ("rate_decision", "EU")}, "another region stays"
    assert found["cpi", "US"].actual == 0.2


def test_a_release_that_appears_at_short_notice_was_not_known_before(tmp_path, clock):
    """No look-ahead: a forecast from before the notice is not told, and one from after it is."""
    source = Listed()
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    clock.move(hours=20)
    soon, far = at("2026-11-20 18:00"), at("2026-12-10 13:30")
    source.events = Event("fomc", soon, "US"), Event("cpi", far, "US")
    cal.refresh(DAYS)
    events = {event.kind: event for event in stored_events("yahoo", folder=tmp_path)}
    assert events["fomc"].announced == clock.now
    assert events["cpi"].announced is None, "calendars list late what is scheduled long before"
    assert not known_at([events["fomc"]], clock.now)
    assert known_at([events["fomc"]], clock.now + pd.Timedelta(minutes=1))
    noticed = clock.now
    clock.move(hours=13)
    cal.refresh(DAYS)
    (again,) = [e for e in stored_events("yahoo", folder=tmp_path) if e.kind == "fomc"]
    assert again.announced == noticed, "the first notice counts"


def test_a_surprise_is_known_from_the_release_on(tmp_path, clock):
    release = at("2026-11-12 13:30")
    cal = calendar(tmp_path, Listed(Event("cpi", release, "US", actual=0.4, consensus=0.2)), clock)
    cal.refresh(DAYS)
    events = stored_events("yahoo", folder=tmp_path)
    assert known_at(events, release)[0].surprise is None
    assert known_at(events, release + pd.Timedelta(seconds=1))[0].surprise == pytest.approx(0.2)


@settings(max_examples=60)
@given(st.data())
def test_no_later_fetch_changes_what_was_known_before(data):
    """Whatever is listed, moved and released later: seen from a moment, it was not there yet.

    The calendar is fetched every other day; each release is listed from some day on, comes out with
    an actual, and may be taken off the list again. Long before its day a late listing is not an
    announcement (calendars list late), so only the last week counts.
    """
    day = pd.Timedelta(days=1)
    start = at("2026-11-01 09:00")
    n = data.draw(st.integers(1, 6))
    plans = []
    for i in range(n):
        time = start + data.draw(st.integers(0, 25)) * day + pd.Timedelta(hours=4, minutes=i)
        listed = start + data.draw(st.integers(-5, 25)) * day
        dropped = listed + data.draw(st.integers(1, 40)) * day
        plans.append((Event(data.draw(st.sampled_from(("cpi", "fomc", "pce"))), time, "US",
                            consensus=0.2), listed, dropped))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(start)
        source = Listed()
        cal = calendar(Path(folder), source, clock)
        days = CalendarDays(("US",), at("2026-11-01"), at("2026-11-30"))
        views = []
        for k in range(0, 28, 2):
            clock.now = start + k * day
            source.events = tuple(
                replace(event, actual=0.3) if event.time < clock.now else event
                for event, listed, dropped in plans
                if listed <= clock.now < dropped
            )
            cal.refresh(days)
            views.append((clock.now, stored_events("yahoo", folder=Path(folder))))
    last = views[-1][1]
    for moment, then in views:
        known = {(e.kind, e.release_day) for e in then}
        for event in known_at(last, moment + pd.Timedelta(seconds=1)):
            if event.time > moment:
                assert event.actual is None
            is_near = moment < event.time <= moment + 7 * day
            if is_near:
                assert (event.kind, event.release_day) in known


def test_earnings_of_the_company_are_fetched_daily(tmp_path, clock):
    report = Event("earnings", at("2027-01-28 21:00"), symbol="AAPL", is_time_exact=False)
    reports = Reports(report)
    cal = calendar(tmp_path, Listed(), clock, earnings=reports)
    days = CalendarDays(("US",), DAYS.first, DAYS.last, ticker="AAPL")
    cal.refresh(days)
    cal.refresh(days)
    assert reports.requests == ["AAPL"]
    assert stored_events("earnings", folder=tmp_path) == (report,)
    clock.move(hours=25)
    assert cal.missing(days).ticker == "AAPL"
    fund = CalendarDays(("US",), DAYS.first, DAYS.last, ticker="SPY")
    reports.events = ()
    cal.refresh(fund)
    assert cal.has_fetched_earnings("spy")
    clock.move(days=6)
    assert not cal.missing(fund).ticker, "a fund has no earnings tomorrow either"
    assert stored_events("earnings", folder=tmp_path) == (report,)


def test_a_command_can_ask_again_for_what_is_known(tmp_path, clock):
    source = Listed()
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    cal.refresh(DAYS, again=True)
    assert len(source.requests) == 8


def test_fred_is_fetched_where_its_key_is_set(tmp_path, clock, monkeypatch):
    fetched = []

    def fred(now):
        fetched.append(now)
        return [Event("cpi", at("2026-11-12 13:30"), "US", actual=0.2)]

    cal = calendar(tmp_path, Listed(), clock, fred=fred)
    cal.refresh(DAYS)
    assert not fetched
    monkeypatch.setenv("FRED_API_KEY", "0" * 32)
    cal.refresh(DAYS)
    cal.refresh(DAYS)
    assert fetched == [NOW]
    assert stored_events("fred", folder=tmp_path)[0].actual == 0.2


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"format":2}', '{"format":1,"releases":[]}',
        '{"format":1,"releases":{"US":{"2026-11":{"at":"soon"}}}}',
        '{"format":1,"releases":{"US":{"2026-11":7}},"fred":[]}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_fetched_again(tmp_path, clock, text):
    (tmp_path / "fetched.json").write_text(text)
    source = Listed()
    cal = calendar(tmp_path, source, clock)
    assert ("US", "2026-11") in cal.missing(DAYS).months
    cal.refresh(DAYS)
    assert not cal.missing(DAYS)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, clock):
    (tmp_path / "events").write_text("a file")
    cal = EventCalendar(Listed(), folder=tmp_path / "events", clock=clock)  # type: ignore[arg-type]
    with pytest.raises(InvalidEvents, match="cannot be changed"):
        cal.refresh(DAYS)


def test_official_figures_stand_and_yahoo_adds_the_consensus(tmp_path):
    day = at("2025-10-24 12:30")
    yahoo = Event("cpi", day, "US", actual=0.9, consensus=0.4, unit="%", source="Yahoo Finance")
    save_events("yahoo", [yahoo, Event("cpi", at("2027-01-14 13:30"), "US")], folder=tmp_path)
    found = {event.release_day: event for event in load_events(folder=tmp_path)
             if event.kind == "cpi" and event.region == "US"}  # fmt: skip
    assert (found["2025-10-24"].actual, found["2025-10-24"].consensus) == (0.3, 0.4)
    assert "2027-01-14" in found
    # Yahoo's calendar is no list of all: what it does not name stays.
    decisions = [e for e in load_events(folder=tmp_path) if e.kind == "rate_decision"]
    assert decisions == [e for e in load_events() if e.kind == "rate_decision"]


def test_the_days_of_a_forecast_reach_to_the_next_meeting():
    bars = load_sample("EURUSD_1h")
    end = bars.frame.index[-1]
    assert days_for(bars, end, now=NOW) is None, "years ago is fetched on request only"
    now = end + pd.Timedelta(days=2)
    days = days_for(bars, end, now=now)
    assert days is not None
    assert days.regions == ("US", "EU")
    assert (end - days.first).days >= 30
    assert (days.last - end).days >= 42
    goog = load_sample("GOOG_1d")
    last = goog.frame.index[-1]
    of_goog = days_for(goog, last, ticker="goog", now=last)
    assert of_goog is not None
    assert of_goog.ticker == "GOOG"


def test_the_real_client_fills_the_calendar(tmp_path, clock):
    with LoopbackCalendar() as server:
        source = YahooReleases(calendar_session(server.url, page_seconds=5.0))
        cal = EventCalendar(source, folder=tmp_path, clock=clock)
        cal.refresh(DAYS)
        assert len(server.requests) == 4
    events = load_events(folder=tmp_path)
    coming = [e for e in events if e.time > NOW and e.region in ("US", "EU")]
    assert [(e.kind, e.region, e.release_day) for e in coming] == [
        ("pce", "US", "2026-11-25"), ("fomc", "US", "2026-12-09"), ("cpi", "US", "2026-12-10"),
        ("rate_decision", "EU", "2026-12-17"),
    ]  # fmt: skip
    record = json.loads((tmp_path / "fetched.json").read_text())
    assert record["releases"]["US"]["2026-11"] == {"at": NOW.isoformat(), "ignored": 2}


def test_a_table_without_any_event_left_keeps_no_event_that_was_called_off(tmp_path, clock):
    event = Event("cpi", at("2026-12-10 13:30"), "US", consensus=0.2)
    source = Listed(event)
    cal = calendar(tmp_path, source, clock)
    cal.refresh(DAYS)
    assert stored_events("yahoo", folder=tmp_path)
    source.events = ()
    clock.move(hours=13)
    cal.refresh(DAYS)
    assert stored_events("yahoo", folder=tmp_path) == ()
