"""No channel holds a fact before it was public, for any later facts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.calendars.spans import bar_spans
from kronos.candles import Candles
from kronos.events.channels import ALIGNMENTS, Alignment, event_channels
from kronos.events.event import Event, known_at
from kronos.events.leaders import Leaders
from kronos.forecast import COLUMNS

START = pd.Timestamp("2024-01-02", tz="UTC").as_unit("ns")
N_CONTEXT, HORIZON = 60, 12
NO_VALUES = [5, 6, 7, 14, 15, 16, 17]
SCHEDULED = [*range(5), *range(8, 14)]


def market(interval: str, calendar: str, zone: str) -> tuple[pd.DatetimeIndex, dict[str, str]]:
    """Open times of 72 bars from the start of 2024, and what describes them."""
    if calendar == "XNYS":
        sessions = pd.bdate_range("2024-01-02", "2024-07-01").difference(
            pd.DatetimeIndex(["2024-01-15", "2024-02-19", "2024-03-29", "2024-05-27", "2024-06-19"])
        )
        hours = [0.0] if interval == "1d" else [9.5 + h for h in range(7)]
        wall = [day + pd.Timedelta(hours=hour) for day in sessions for hour in hours]
        index = pd.DatetimeIndex(wall).tz_localize(zone)
    else:
        step = pd.Timedelta(hours=1) if interval == "1h" else pd.Timedelta(days=1)
        index = pd.DatetimeIndex(START + step * np.arange(400)).tz_convert(zone)
        if calendar == "fx":
            index = index[index.day_of_week < 5]
    index = index[: N_CONTEXT + HORIZON].tz_convert("UTC")
    return index, {"interval": interval, "calendar": calendar, "zone": zone}


MARKETS = {
    "crypto 1h": market("1h", "24/7", "UTC"),
    "crypto 1d": market("1d", "24/7", "UTC"),
    "stock 1h": market("1h", "XNYS", "America/New_York"),
    "stock 1d": market("1d", "XNYS", "America/New_York"),
    "currency 1d": market("1d", "fx", "UTC"),
}


def leader(interval: str, seed: int) -> Candles:
    """120 days of a leader that trades around the clock."""
    n = 24 * 120 if interval == "1h" else 120
    begin = START - pd.Timedelta(days=30)
    step = pd.Timedelta(hours=1) if interval == "1h" else pd.Timedelta(days=1)
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n)))
    opens = np.append(closes[:1], closes[:-1])
    table = np.column_stack(
        [opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, closes, closes]
    )
    index = pd.DatetimeIndex(begin + step * np.arange(n), name="timestamp")
    frame = pd.DataFrame(table, index=index, columns=list(COLUMNS))
    return Candles(frame, interval, "UTC", "24/7", "LEAD", "numbers")


LEADERS = Leaders(leader("1h", 1), leader("1h", 2), leader("1h", 3), leader("1d", 4))
numbers = st.none() | st.floats(-2, 2, width=16)


@st.composite
def one_event(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["fomc", "cpi", "nfp", "gdp", "pce", "rate_decision", "earnings"]))
    time = START + pd.Timedelta(minutes=15 * draw(st.integers(-96 * 40, 96 * 110)))
    lead = draw(st.none() | st.integers(-1, 96 * 50))
    return Event(
        kind,
        time,
        region="" if kind == "earnings" else "US",
        symbol="ABC" if kind == "earnings" else "",
        actual=draw(numbers),
        consensus=draw(numbers),
        previous=draw(numbers),
        announced=None if lead is None else time - pd.Timedelta(minutes=15 * lead),
        is_time_exact=draw(st.booleans()),
    )


@st.composite
def calendars(draw: st.DrawFn) -> list[Event]:
    """Some events anywhere, and a long row of CPI releases, so that surprises have a sigma."""
    events = draw(st.lists(one_event(), max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for i in range(34):
        time = START + pd.Timedelta(days=5 * (i - 22), hours=float(rng.integers(0, 24)))
        events.append(Event("cpi", time, "US", actual=float(rng.normal()), consensus=0.0))
    return events


def channels(
    index: pd.DatetimeIndex,
    about: dict[str, str],
    events: list[Event] | tuple[Event, ...],
    n_context: int = N_CONTEXT,
    leaders: Leaders = LEADERS,
    alignment: Alignment = "bar",
) -> np.ndarray:
    return event_channels(
        index, n_context=n_context, events=events, leaders=leaders, symbol="ABC",
        alignment=alignment, **about,
    )  # fmt: skip


def origin(index: pd.DatetimeIndex, about: dict[str, str], n_context: int) -> pd.Timestamp:
    end = bar_spans(index, **about).end[n_context - 1]
    return pd.Timestamp(int(end), tz="UTC")


each_market = pytest.mark.parametrize("name", MARKETS)
each_alignment = pytest.mark.parametrize("alignment", ALIGNMENTS)
quick = settings(max_examples=8, deadline=None)


@each_market
@each_alignment
@quick
@given(calendars(), st.integers(1, N_CONTEXT))
def test_only_what_was_public_at_the_origin_counts(name, alignment, events, n_context):
    """The calendar as it stood at the origin gives the same, over the horizon too."""
    index, about = MARKETS[name]
    public = known_at(events, origin(index, about, n_context))
    np.testing.assert_array_equal(
        channels(index, about, events, n_context, alignment=alignment),
        channels(index, about, public, n_context, alignment=alignment),
    )


@each_market
@each_alignment
@quick
@given(calendars(), st.integers(1, N_CONTEXT - 1))
def test_a_bar_says_the_same_whatever_follows_it(name, alignment, events, n_context):
    """Values of the context do not depend on where it ends: bars after it, horizon or context."""
    index, about = MARKETS[name]
    longer = channels(index, about, events, alignment=alignment)
    shorter = channels(index[: n_context + 5], about, events, n_context, alignment=alignment)
    np.testing.assert_array_equal(longer[:n_context], shorter[:n_context])


@each_market
@each_alignment
@quick
@given(calendars(), st.integers(1, N_CONTEXT - 1))
def test_a_bar_says_the_same_wherever_the_window_begins(name, alignment, events, start):
    index, about = MARKETS[name]
    np.testing.assert_array_equal(
        channels(index, about, events, alignment=alignment)[start:],
        channels(index[start:], about, events, N_CONTEXT - start, alignment=alignment),
    )


@each_market
@each_alignment
@quick
@given(calendars(), st.lists(one_event(), max_size=6), st.data())
def test_what_happens_after_the_origin_changes_nothing(name, alignment, events, more, data):
    """Other outcomes, events nobody had announced, other prices of leaders."""
    index, about = MARKETS[name]
    moment = origin(index, about, N_CONTEXT)
    changed = [
        replace(event, actual=data.draw(numbers), consensus=data.draw(numbers))
        if event.value_time >= moment
        else event
        for event in events
    ]
    changed += [replace(event, announced=event.time) for event in more if event.time >= moment]
    later = Leaders(
        *(
            _with_other_prices(getattr(LEADERS, name), moment)
            for name in ("btc", "spy", "dxy", "vix")
        )
    )
    np.testing.assert_array_equal(
        channels(index, about, events, alignment=alignment),
        channels(index, about, changed, leaders=later, alignment=alignment),
    )


def _with_other_prices(bars: Candles, moment: pd.Timestamp) -> Candles:
    """Bars that are not complete at the moment, doubled."""
    frame = bars.frame.copy()
    frame.loc[frame.index + bars.width > moment] *= 2.0
    return replace(bars, frame=frame)


@each_market
@each_alignment
@quick
@given(calendars(), st.integers(1, N_CONTEXT))
def test_outcomes_leaders_and_vix_are_zero_over_the_horizon(name, alignment, events, n_context):
    index, about = MARKETS[name]
    table = channels(index, about, events, n_context, alignment=alignment)
    assert not table[n_context:, NO_VALUES].any()
    assert alignment == "ahead" or not table[:, 18:].any()
    assert np.isfinite(table).all()


@each_market
def test_a_date_that_was_public_is_flagged_over_the_horizon_and_a_surprise_is_not(name):
    index, about = MARKETS[name]
    time = index[N_CONTEXT + 4] + pd.Timedelta(minutes=5)
    scheduled = Event("nfp", time, "US", actual=5.0, consensus=1.0)
    sudden = Event("fomc", time, "US", actual=1.0, previous=0.5, announced=time)
    table = channels(index, about, [scheduled, sudden])
    flagged = np.flatnonzero(table[:, 2])
    assert N_CONTEXT + 4 in flagged
    assert abs(flagged - (N_CONTEXT + 4)).max() <= 1  # bars that share the release hour
    assert not table[:, [0, 6, 7, 10, 11]].any()
    # After the release its bar has it.
    after = channels(index, about, [scheduled, sudden], n_context=N_CONTEXT + 6)
    assert np.flatnonzero(after[:, 0]).tolist() == [N_CONTEXT + 4]


@each_market
@quick
@given(calendars(), st.integers(1, N_CONTEXT))
def test_a_row_ahead_holds_the_schedule_of_the_next_bar(name, events, n_context):
    """As it was known at the row; over the horizon all that is known is what the origin knew."""
    index, about = MARKETS[name]
    ahead = channels(index, about, events, n_context, alignment="ahead")
    assert not ahead[-1, SCHEDULED].any()  # no bar follows it
    for row in {0, n_context // 2, n_context - 1}:
        own = channels(index, about, events, row + 1)
        np.testing.assert_array_equal(ahead[row, SCHEDULED], own[row + 1, SCHEDULED])
    of_horizon = channels(index, about, events, n_context)[n_context:]
    np.testing.assert_array_equal(ahead[n_context - 1 : -1, SCHEDULED], of_horizon[:, SCHEDULED])


@each_market
@quick
@given(calendars(), st.integers(1, N_CONTEXT))
def test_what_was_released_stands_in_the_row_of_its_bar_in_both(name, events, n_context):
    index, about = MARKETS[name]
    own, ahead = (channels(index, about, events, n_context, alignment=each) for each in ALIGNMENTS)
    np.testing.assert_array_equal(own[:, NO_VALUES], ahead[:, NO_VALUES])


@each_market
@each_alignment
def test_a_schedule_announced_after_the_origin_is_not_in_the_rows(name, alignment):
    """Nor is one announced in the bar itself in time for the row before."""
    index, about = MARKETS[name]
    last = origin(index, about, N_CONTEXT)
    time = index[N_CONTEXT + 2] + pd.Timedelta(minutes=5)
    for event_time in (time, last + pd.Timedelta(minutes=5)):
        event = Event("nfp", event_time, "US", announced=last)
        nothing = channels(index, about, [], alignment=alignment)
        np.testing.assert_array_equal(channels(index, about, [event], alignment=alignment), nothing)


def test_leaders_and_vix_are_heard_over_the_context():
    """The laws above do not hold only because channels are empty."""
    index, about = MARKETS["crypto 1h"]
    table = channels(index, about, [])
    assert (table[:N_CONTEXT, 14:18] != 0).all()


@each_market
@each_alignment
@quick
@given(st.integers(0, N_CONTEXT - 1))
def test_a_leader_bar_that_closes_after_a_row_changes_nothing_up_to_it(name, alignment, row):
    """Not in the row, nor in those before it: the bar must have closed by the end of its bar."""
    index, about = MARKETS[name]
    moment = origin(index, about, row + 1)
    names = ("btc", "spy", "dxy", "vix")
    later = Leaders(*(_with_other_prices(getattr(LEADERS, each), moment) for each in names))
    own, other = (
        channels(index, about, [], leaders=each, alignment=alignment) for each in (LEADERS, later)
    )
    np.testing.assert_array_equal(own[: row + 1], other[: row + 1])
    cut = channels(index, about, [], leaders=LEADERS.until(moment), alignment=alignment)
    np.testing.assert_array_equal(own[: row + 1], cut[: row + 1])
