"""Events, their tables and the rule by which tables become one calendar."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import InvalidEvents
from kronos.events import (
    Event,
    EventTable,
    bundled_events,
    events_csv,
    known_at,
    load_events,
    merge_events,
    read_events,
    regions_of,
    save_events,
    sets_a_channel,
)
from kronos.events.tables import stored_events

CPI = "kind,time,region,actual\n"


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("ns")


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2024-03-08 08:30", "2024-03-08 13:30"),  # winter time
        ("2024-03-12 08:30", "2024-03-12 12:30"),  # summer time, from 10 March
        ("2024-11-01 08:30", "2024-11-01 12:30"),
        ("2024-11-13 08:30", "2024-11-13 13:30"),  # winter time, from 3 November
        ("2024-11-13", "2024-11-13 13:30"),  # the usual hour of the release
        ("2024-11-13T13:30Z", "2024-11-13 13:30"),
        ("2024-11-13T14:30:00+01:00", "2024-11-13 13:30"),
    ],
)
def test_times_are_read_on_the_clock_of_the_release(written, moment):
    (event,) = read_events(f"{CPI}cpi,{written},US,0.3\n".encode(), "x.csv")
    assert event.time == utc(moment)
    assert event.is_time_exact
    assert event.release_day == moment[:10]


def test_a_column_may_name_another_clock():
    text = "kind;time;symbol;zone\nearnings;2024-07-02 09:00;VOD.L;Europe/London\n"
    (event,) = read_events(text.encode(), "x.csv")
    assert event.time == utc("2024-07-02 08:00")


def test_a_date_without_a_usual_hour_is_not_exact_and_known_at_the_end_of_its_day():
    text = "kind,date,ticker,estimate\nEarnings,2024-07-02,AAPL,1.5\n"
    (event,) = read_events(text.encode(), "x.csv")
    assert not event.is_time_exact
    assert event.time == utc("2024-07-02 16:00")
    assert event.value_time == utc("2024-07-03 04:00")  # midnight in New York
    assert (event.consensus, event.actual) == (1.5, None)


def test_what_is_missing_stays_missing():
    text = "kind,time,region,actual,consensus,previous\ncpi,2024-07-11 08:30,US,,-,n/a\n"
    (event,) = read_events(text.encode(), "x.csv")
    assert event.actual is event.consensus is event.previous is event.surprise is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("cpi,2024-13-01,US,1", "line 3, column time: '2024-13-01' is no time on any clock"),
        ("cpi,11/07/2024,US,1", "line 3, column time: must be a time such as"),
        ("cpi,,US,1", "line 3, column time: must be a date or a time, found nothing"),
        ("cpi,2024-07-11,US,187K", "line 3, column actual: must be a plain number"),
        ("cpi,2024-07-11,US,1e999", "line 3, column actual: must be a plain number"),
        ("cpx,2024-07-11,US,1", "line 3: Unknown kind 'cpx'; the kinds are fomc, cpi"),
        ("cpi,2024-07-11,USA,1", "line 3: Unknown region 'USA'"),
        ("cpi,2024-07-11,,1", "line 3: An event of kind cpi needs a region"),
        ("cpi,2024-07-11,US", "line 3: 3 cells where the header has 4"),
        ("cpi,2024-06-12,US,0", "line 3: the same event as in line 2"),
    ],
)
def test_errors_name_line_and_column(row, said):
    text = f"{CPI}cpi,2024-06-12,US,0.0\n{row}\n"
    with pytest.raises(InvalidEvents) as caught:
        read_events(text.encode(), "mine.csv")
    assert str(caught.value).startswith(f"mine.csv, {said}")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "no column kind and time; line 1 reads a, b"),
        (b"kind,time\ncpi,2024-01-01\n", "no column region or symbol"),
        (CPI.encode(), "a header and no events"),
        (b"kind,time,date,region\n", "two columns that mean time"),
        (b"\xff\xfe\x00k", "not UTF-8"),
        (CPI.encode() + b'"' + b"x" * 600, "line 2: not CSV"),
        (b"x" * (5 * 2**20 + 1), "at most 5 MB"),
    ],
)
def test_files_that_are_no_tables_of_events_are_refused(data, said):
    with pytest.raises(InvalidEvents, match=said):
        read_events(data, "x.csv")


texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12)
moments = st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2100-01-01")).map(
    lambda naive: pd.Timestamp(naive.replace(microsecond=0), tz="UTC").as_unit("ns")
)
figures = st.none() | st.floats(-1e9, 1e9)


@st.composite
def events(draw: st.DrawFn) -> Event:
    is_macro = draw(st.booleans())
    return Event(
        kind=draw(st.sampled_from(["cpi", "nfp", "rate_decision"] if is_macro else ["news"])),
        time=draw(moments),
        region="US" if is_macro else "",
        symbol="" if is_macro else "AAPL",
        name=draw(texts),
        period=draw(texts),
        actual=draw(figures),
        consensus=draw(figures),
        unit=draw(texts | st.just("=1+1")),
        source=draw(texts),
        fetched_at=draw(st.none() | moments),
        announced=draw(st.none() | moments),
        is_time_exact=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), min_size=1, max_size=6, unique_by=lambda e: (e.kind, e.name, e.time)))
def test_what_is_written_is_read_back_equal(found):
    assert set(read_events(events_csv(found).encode(), "x.csv")) == set(found)


def test_formulas_are_defused_in_files():
    event = Event("news", utc("2024-01-01"), symbol="X", name="=HYPERLINK(1)")
    assert ",'=HYPERLINK(1)," in events_csv([event])


def test_the_bundled_table_holds_official_facts_and_no_consensus():
    table = bundled_events()
    assert len(table) > 800
    assert all(event.consensus is None for event in table)
    assert all(event.source and event.fetched_at for event in table)
    by_day = {(event.kind, event.release_day): event for event in table}
    payrolls = by_day["nfp", "2022-01-07"]
    assert (payrolls.time, payrolls.actual) == (utc("2022-01-07 13:30"), 199.0)
    cut = by_day["fomc", "2020-03-15"]
    assert (cut.time, cut.previous, cut.actual) == (utc("2020-03-15 21:00"), 1.25, 0.25)
    assert cut.announced_time == cut.time  # nobody knew of it before
    rise = by_day["fomc", "2022-06-15"]
    assert (rise.previous, rise.actual) == (1.0, 1.75)
    # Weekends: the Sunday of the emergency cut, and nothing else.
    weekend = [e for e in table if e.time.tz_convert(e.zone).day_of_week > 4]
    assert weekend == [cut]


def test_meetings_of_the_fomc_come_eight_times_a_year():
    years = [event.time.year for event in bundled_events() if event.kind == "fomc"]
    counts = {year: years.count(year) for year in range(2009, 2027)}
    assert counts.pop(2020) == 9  # one was replaced by two unscheduled ones
    assert set(counts.values()) == {8}


def test_known_at_hides_outcomes_and_what_nobody_had_announced():
    release = Event("cpi", utc("2024-03-12 12:30"), "US", actual=0.4, consensus=0.3, previous=0.3)
    sudden = Event("fomc", utc("2024-03-20"), "US", announced=utc("2024-03-20"))
    before = known_at([release, sudden], utc("2024-03-12 12:30"))
    assert [(e.kind, e.actual, e.consensus, e.previous) for e in before] == [
        ("cpi", None, None, None)
    ]
    assert known_at([release, sudden], utc("2024-03-12 12:31")) == (release,)
    assert not known_at([release], utc("2023-10-01"))


def test_a_later_table_fills_and_overrides_and_keeps_the_rest():
    official = Event(
        "cpi", utc("2024-03-12 12:30"), "US", actual=0.4, previous=0.3, unit="%", source="BLS"
    )
    mine = Event("cpi", utc("2024-03-12 16:00"), "US", consensus=0.3, is_time_exact=False)
    (merged,) = merge_events([EventTable("a", (official,)), EventTable("b", (mine,))])
    assert (merged.actual, merged.consensus, merged.previous) == (0.4, 0.3, 0.3)
    assert merged.surprise == pytest.approx(0.1)
    assert (merged.time, merged.is_time_exact) == (official.time, True)
    assert merged.source == "BLS"
    corrected = Event("cpi", utc("2024-03-12 12:30"), "US", actual=0.5, source="mine")
    (merged,) = merge_events([EventTable("a", (official,)), EventTable("b", (corrected,))])
    assert (merged.actual, merged.source) == (0.5, "BLS; mine")


def test_figures_of_two_scales_do_not_meet():
    official = Event("nfp", utc("2024-03-08 13:30"), "US", actual=275.0, unit="thousand")
    mine = Event("nfp", utc("2024-03-08 13:30"), "US", consensus=200000.0, unit="persons")
    with pytest.raises(InvalidEvents, match="in 'persons', those known before in 'thousand'"):
        merge_events([EventTable("a", (official,)), EventTable("b", (mine,))])


def test_a_complete_table_drops_dates_that_were_moved_and_keeps_outcomes():
    def cpi(day: str, actual: float | None = None) -> Event:
        return Event("cpi", utc(f"{day} 12:30"), "US", actual=actual)

    bundled = (cpi("2025-08-12", 0.2), cpi("2025-10-15"), cpi("2025-11-13"), cpi("2027-01-12"))
    fetched = (cpi("2025-07-15", 0.3), cpi("2025-10-24", 0.3), cpi("2025-12-18"))
    merged = merge_events([EventTable("a", bundled), EventTable("b", fetched, is_complete=True)])
    assert [event.release_day for event in merged] == [
        "2025-07-15", "2025-08-12", "2025-10-24", "2025-12-18", "2027-01-12",
    ]  # fmt: skip


def test_merging_again_changes_nothing():
    table = EventTable("bundled", bundled_events())
    assert merge_events([table, table]) == table.events


def test_stored_events_join_the_bundled_ones(tmp_path):
    assert load_events(folder=tmp_path) == bundled_events()
    report = Event("earnings", utc("2025-10-30 20:00"), symbol="AAPL", consensus=1.8)
    consensus = Event("cpi", utc("2025-10-24 12:30"), "US", consensus=0.4)
    save_events("earnings", [report], folder=tmp_path)
    save_events("user", [consensus], folder=tmp_path)
    assert stored_events("earnings", folder=tmp_path) == (report,)
    found = load_events(folder=tmp_path)
    assert len(found) == len(bundled_events()) + 1
    (cpi,) = [e for e in found if e.kind == "cpi" and e.release_day == "2025-10-24"]
    assert (cpi.actual, cpi.consensus) == (0.3, 0.4)
    save_events("earnings", [consensus], folder=tmp_path)  # replaced as a whole, seen at once
    assert stored_events("earnings", folder=tmp_path) == (consensus,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earnings.csv", "user.csv"]


def test_a_stored_file_that_was_damaged_is_named(tmp_path):
    (tmp_path / "user.csv").write_text("kind,time,region\ncpi,soon,US\n")
    with pytest.raises(InvalidEvents, match=r"user\.csv, line 2, column time"):
        load_events(folder=tmp_path)


@pytest.mark.parametrize(
    ("calendar", "symbol", "currency", "regions"),
    [
        ("XNYS", "AAPL", "", ("US",)),
        ("XETR", "SAP.DE", "EUR", ("EU",)),
        ("XLON", "VOD.L", "GBp", ("GB",)),
        ("fx", "EURUSD", "", ("EU", "US")),
        ("fx", "EURUSD=X", "USD", ("EU", "US")),
        ("weekdays", "GBP/JPY", "", ("GB", "JP")),
        ("fx", "XAUUSD", "", ("US",)),
        ("24/7", "BTCUSDT", "USDT", ("US",)),
        ("24/7", "BTC-EUR", "EUR", ("EU",)),
        ("weekdays", "series", "", ("US",)),
    ],
)
def test_regions_follow_from_exchange_pair_or_currency(calendar, symbol, currency, regions):
    assert regions_of(calendar, symbol, currency) == regions


def other(**options):
    fields = {"kind": "other", "time": pd.Timestamp("2026-12-01 15:00", tz="UTC"), "symbol": "ACME",
              "name": "Product day"} | options  # fmt: skip
    return Event(**fields)


def test_an_event_of_ones_own_is_read_by_no_model():
    event = other(colour="red", actual=1.0)
    assert event.as_read is event
    assert not sets_a_channel(event.as_read, "ACME", ("US",))


@pytest.mark.parametrize(
    ("reads_as", "region", "symbol"),
    [("cpi", "US", ""), ("rate_decision", "EU", ""), ("earnings", "", "ACME")],
)
def test_an_event_of_ones_own_is_read_as_the_kind_it_is_mapped_to(reads_as, region, symbol):
    event = other(reads_as=reads_as, region="EU", actual=5.0, consensus=1.0)
    read = event.as_read
    assert (read.kind, read.region, read.symbol) == (reads_as, region, symbol)
    assert (read.surprise, read.name) == (None, "Product day")
    assert read.announced_time == event.announced_time
    assert sets_a_channel(read, "ACME", ("EU", "US"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": " "}, "needs a name"),
        ({"colour": "ultraviolet"}, "the colours are blue"),
        ({"reads_as": "split"}, "Models cannot read"),
        ({"reads_as": "earnings", "symbol": "", "region": "US"}, "needs a symbol"),
        ({"reads_as": "rate_decision"}, "needs a region"),
        ({"kind": "news", "colour": "red"}, "Only an event of kind other"),
    ],
)
def test_an_event_of_ones_own_with_a_wrong_field_is_refused(options, said):
    with pytest.raises(InvalidEvents, match=said):
        other(**options)


def test_colour_and_mapping_are_columns_only_where_an_event_has_them():
    plain, mapped = Event("cpi", other().time, "US"), other(colour="red", reads_as="earnings")
    assert "colour" not in events_csv([plain])
    assert read_events(events_csv([plain, mapped]).encode(), "x.csv") == (plain, mapped)
    row = "Other,2026-12-01T15:00Z,ACME,Product day,Red,Earnings\n"
    text = f"kind,time,symbol,name,color,reads_as\n{row}"
    assert read_events(text.encode(), "x.csv") == (mapped,)
    twice = [EventTable("a", (mapped,)), EventTable("b", (other(name="Another"),))]
    assert len(merge_events(twice)) == 2
