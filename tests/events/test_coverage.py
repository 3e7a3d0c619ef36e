"""What the calendar covers for an instrument, in a line."""

from __future__ import annotations

import pandas as pd

from kronos.events import Event, bundled_events
from kronos.events.coverage import coverage, coverage_text


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("ns")


def line(events, *regions, origin, end, fetched=None, ticker=""):
    covered = coverage(events, regions, fetched=fetched or {}, ticker=ticker)
    return coverage_text(covered, at(origin), at(end))


def test_the_line_says_where_the_bundled_calendar_ends():
    text = line(bundled_events(), "EU", "US", origin="2026-11-20", end="2026-11-24")
    assert text == (
        "Event calendar: FOMC until December 2026. CPI, payrolls: none after February 2026. "
        "GDP, PCE: none after January 2026. ECB: none after June 2023."
    )


def test_the_line_says_where_it_begins():
    text = line(bundled_events(), "GB", origin="2018-01-05", end="2018-01-20")
    assert text == (
        "Event calendar: FOMC, Bank of England until September 2023. CPI, payrolls, GDP, PCE: none "
        "before January 2020."
    )


def test_days_that_were_fetched_count_also_without_an_event():
    events = [*bundled_events(), Event("rate_decision", at("2026-12-17 13:15"), "EU")]
    fetched = {"US": at("2027-01-31"), "EU": at("2027-01-31"), "JP": None}
    text = line(events, "EU", "JP", origin="2026-12-20", end="2026-12-30", fetched=fetched)
    assert text == (
        "Event calendar: FOMC, CPI, payrolls, GDP, PCE, ECB until January 2027. Bank of Japan: "
        "none after September 2023."
    )


def test_what_has_no_event_at_all_is_none():
    text = line([], "SE", origin="2026-11-20", end="2026-11-24", ticker="VOLV-B.ST",
                fetched={"US": at("2027-01-31")})  # fmt: skip
    assert text == (
        "Event calendar: FOMC, CPI, payrolls, GDP, PCE, Sweden rate decisions, VOLV-B.ST earnings: "
        "none."
    )


def test_earnings_are_those_of_the_company():
    own = Event("earnings", at("2027-01-28"), symbol="AAPL")
    other = Event("earnings", at("2027-03-28"), symbol="MSFT")
    covered = coverage([own, other], ("US",), fetched={}, ticker="aapl")
    assert (covered[-1].name, covered[-1].last) == ("aapl earnings", own.time)
    past = [Event("earnings", at("2026-10-28"), symbol="AAPL")]
    text = line(past, "US", origin="2026-11-20", end="2026-11-24", ticker="AAPL")
    assert text.endswith("AAPL earnings: none after October 2026.")
