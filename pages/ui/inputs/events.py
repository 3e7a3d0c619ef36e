"""Events of the instrument on the page: stored ones, and those of this session."""

from __future__ import annotations

import datetime as dt
import hashlib

import pandas as pd
import streamlit as st

from kronos.candles import Candles
from kronos.errors import Busy, InvalidEvents, KronosError
from kronos.events import (
    COLOURS,
    KINDS,
    MACRO,
    READABLE,
    REGIONS,
    Alignment,
    Event,
    EventInputs,
    EventTable,
    event_inputs,
    events_csv,
    load_events,
    merge_events,
    regions_of,
)
from kronos.events.csv_file import read_moment
from kronos.forecast import Forecast
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.frame.uploads import copies
from pages.ui.inputs.calendar import fetch_calendar, keep_calendar
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.leaders import keep_leaders
from pages.ui.jobs import caches, queues

_FILE, _ADDED, _PROBLEM = "own_events_file", "own_events_added", "own_events_problem"
LONG_BEFORE = pd.Timedelta(days=90)
"""An event added by hand counts as announced so long before its date."""
_EVENT_BYTES = 1000  # of an event in memory, measured
MOST_ADDED = 100
MAX_EVENTS_MB = 2
FIRST_DAY, LAST_DAY = dt.date(1970, 1, 1), dt.date(2099, 12, 31)


def own_events() -> tuple[Event, ...]:
    """Events of this session; those added by hand come last and take precedence."""
    return own_file()[1] + added_events()


def own_events_digest() -> str:
    """SHA-256 of the events of this session; "" without any."""
    text = own_events_text()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def own_file() -> tuple[str, tuple[Event, ...]]:
    """Name and events of the uploaded file; "" and none without one."""
    return copies().get(_FILE) or ("", ())


def added_events() -> tuple[Event, ...]:
    """Events that were added by hand."""
    return st.session_state.get(_ADDED, ())


def own_events_text() -> str:
    """The events of this session as a CSV table; "" without any."""
    own = own_events()
    return events_csv(own) if own else ""


def put_own_events(name: str, text: str) -> None:
    """Put the events of a table in the place of those of this session; "" for none.

    Raises:
        InvalidEvents: The table cannot be read.
        Busy: Too many tables are read at this moment.
    """
    events = caches.read_events_apart(text.encode(), "events.csv") if text else ()
    _remove()
    if events:
        copies().put(_FILE, (name, events), _EVENT_BYTES * len(events))


def choose_own_events(candles: Candles, *, currency: str = "") -> None:
    """Controls that add events of this session and remove them."""
    st.caption("For this session only: marked on the chart, and input of models that read events.")
    st.file_uploader(
        "CSV file of events",
        type=["csv", "txt", "tsv"],
        key="events_upload",
        max_upload_size=MAX_EVENTS_MB,
        on_change=_read_upload,
        help=meaning(
            "Event",
            "Columns: kind, time, region or symbol. Optional: name, actual, consensus, "
            "previous, unit, announced; for kind other also colour and reads_as. A row "
            "overrides the stored event of the same kind and day.",
        ),
    )
    _choose_one(candles, currency)
    problem = st.session_state.get(_PROBLEM)
    if problem:
        st.error(problem, icon=":material/event_busy:")
    _show_own(candles)


def _read_upload() -> None:
    st.session_state[_PROBLEM] = ""
    file = st.session_state.get("events_upload")
    copies().drop(_FILE)
    if file is None:
        return
    try:
        events = caches.read_events_apart(file.getvalue(), file.name)
    except (Busy, InvalidEvents) as error:
        st.session_state[_PROBLEM] = plain(error)
    else:
        copies().put(_FILE, (file.name, events), _EVENT_BYTES * len(events))


def _choose_one(candles: Candles, currency: str) -> None:
    """A form for one event."""
    regions = dict.fromkeys([*regions_of(candles.calendar, candles.symbol, currency), "US"])
    concerned = [REGIONS[region].title for region in regions]
    if candles.symbol:
        concerned.append(candles.symbol)
    with st.form("own_event", border=False):
        st.selectbox("Kind", list(KINDS), format_func=KINDS.__getitem__, key="event_kind")
        st.selectbox("Region or symbol", concerned, key="event_concerns")
        st.date_input("Date", None, FIRST_DAY, LAST_DAY, key="event_date", format="YYYY-MM-DD")
        st.time_input(
            "Time of day", None, key="event_clock",
            help=f"In the time zone {candles.zone}. Empty: the usual time of such releases, or the "
            "date alone.",
        )  # fmt: skip
        st.text_input(
            "Name", max_chars=60, key="event_name", help="Optional, except for the kind Other."
        )
        st.selectbox(
            "Colour of other events", COLOURS, format_func=str.capitalize, key="event_colour"
        )
        st.selectbox(
            "Models read other events as", ["", *READABLE], key="event_reads_as",
            format_func=lambda kind: KINDS[kind] if kind else "Nothing",
            help="Only models that read events do. Nothing: the event is on the chart alone.",
        )  # fmt: skip
        st.number_input("Actual", value=None, key="event_actual", format="%g")
        st.number_input("Consensus", value=None, key="event_consensus", format="%g")
        st.form_submit_button(
            "Add event", icon=":material/add:", width="stretch", on_click=_add, args=(candles,)
        )


def _add(candles: Candles) -> None:
    state = st.session_state
    kind, concerns = state.get("event_kind"), state.get("event_concerns")
    region = next((name for name, one in REGIONS.items() if one.title == concerns), "")
    try:
        if kind is None or concerns is None:  # the message of another client than the page
            raise InvalidEvents("The event is incomplete. Choose its kind and region or symbol.")
        if len(added_events()) >= MOST_ADDED:
            raise InvalidEvents(
                f"A session has at most {MOST_ADDED} events added by hand. Upload a file."
            )
        event = event_from_form(
            candles,
            kind=kind,
            region=region,
            symbol="" if region else concerns,
            day=state.get("event_date"),
            clock=state.get("event_clock"),
            name=(state.get("event_name") or "").strip(),
            actual=state.get("event_actual"),
            consensus=state.get("event_consensus"),
            colour=state.get("event_colour") or "",
            reads_as=state.get("event_reads_as") or "",
        )
    except InvalidEvents as error:
        state[_PROBLEM] = plain(error)
        return
    state[_PROBLEM] = ""
    state[_ADDED] = (*added_events(), event)


def event_from_form(
    candles: Candles,
    *,
    kind: str,
    region: str,
    symbol: str,
    day: dt.date | None,
    clock: dt.time | None,
    name: str = "",
    actual: float | None = None,
    consensus: float | None = None,
    colour: str = "",
    reads_as: str = "",
) -> Event:
    """The event of the form; colour and mapping are those of the kind other alone.

    Raises:
        InvalidEvents: A field is missing or wrong.
    """
    if day is None:
        raise InvalidEvents("An event needs a date.")
    text = f"{day:%Y-%m-%d}" if clock is None else f"{day:%Y-%m-%d} {clock:%H:%M}"
    zone = "" if clock is None and region else candles.zone
    moment = read_moment(text, "The event", kind, region, zone)
    assert moment is not None  # the text is not empty
    time, is_exact = moment
    is_public = kind in MACRO or kind in ("news", "gap")
    is_other = kind == "other"
    return Event(
        kind, time, region, symbol, name,
        actual=actual, consensus=consensus, source="added by hand",
        announced=None if is_public else time - LONG_BEFORE, is_time_exact=is_exact,
        colour=colour if is_other else "", reads_as=reads_as if is_other else "",
    )  # fmt: skip


def _show_own(candles: Candles) -> None:
    name, of_file = own_file()
    if of_file:
        st.caption(f"{counted(len(of_file), 'event')} from {plain(name)}.")
    for event in added_events():
        when = event.time.tz_convert(candles.zone)
        time = (
            f"{when:%d %b %Y %H:%M} {when.tzname()}" if event.is_time_exact else f"{when:%d %b %Y}"
        )
        st.caption(plain(f"{event.title}, {time}"))
    if of_file or added_events():
        st.button(
            "Remove my events", key="own_events_remove", icon=":material/delete:",
            width="stretch", on_click=_remove,
        )  # fmt: skip


def _remove() -> None:
    copies().drop(_FILE)
    for key in (_ADDED, _PROBLEM):
        st.session_state.pop(key, None)


_MERGED = "events_with_own"


def all_events() -> tuple[Event, ...]:
    """The stored events of this machine and those of this session.

    A table that cannot be used gives a warning, and its events are left out.
    """
    try:
        stored = load_events()
    except InvalidEvents as error:
        _warn(error)
        stored = ()
    own = own_events()
    if not own:
        return stored
    kept = st.session_state.get(_MERGED)
    # `load_events` returns the same object until a table changes.
    if kept is None or kept[0] is not stored or kept[1] != own:
        tables = [EventTable("stored", stored), EventTable("own", own)]
        try:
            merged = merge_events(tables)
        except InvalidEvents as error:
            _warn(error)
            return stored
        kept = st.session_state[_MERGED] = (stored, own, merged)
    return kept[2]


def current_events(own: tuple[Event, ...], candles: Candles, currency: str) -> tuple[Event, ...]:
    """The events for an instrument in work outside of a session: fetched where days are missing.

    Args:
        own: The visitor's own events.
        candles: Bars of the instrument.
        currency: Currency it is quoted in, where the source says.
    """
    fetch_calendar(candles, currency)
    stored = load_events()
    try:
        return merge_events([EventTable("stored", stored), EventTable("own", own)])
    except InvalidEvents:  # figures in another unit than the stored ones; the Forecast page says so
        return stored


def events_of(source: ChosenCandles, forecast: Forecast | None) -> tuple[Event, ...]:
    """Releases of its regions and its own events, from the first bar to the end of the fan."""
    return relevant_events(all_events(), source.candles, forecast, currency=source.currency)


def events_for(source: ChosenCandles, model: str) -> EventInputs | None:
    """Events of these candles for a model; None for one that reads no events."""
    keep_calendar(source)
    try:
        facts = queues.forecasts().facts(model)
    except KronosError:  # the list of models and Run show the error
        return None
    if not facts.reads_events:
        return None
    leaders = keep_leaders(source.candles)
    return event_inputs(all_events(), source.candles, currency=source.currency, leaders=leaders)


def alignments_of(model: str) -> tuple[Alignment, ...]:
    """Alignments of the event rows of a model; none for one that reads no events."""
    try:
        return queues.forecasts().facts(model).event_alignments
    except KronosError:  # the list of models and Run show the error
        return ()


def relevant_events(
    events: tuple[Event, ...], candles: Candles, forecast: Forecast | None, *, currency: str = ""
) -> tuple[Event, ...]:
    """Events of the instrument's regions and symbol, within the bars and the horizon."""
    regions = regions_of(candles.calendar, candles.symbol, currency)
    first = pd.Timestamp(candles.frame.index[0])
    last = pd.Timestamp(candles.frame.index[-1])
    if forecast is not None:
        last = max(last, forecast.timestamps[-1].tz_convert("UTC"))
    last += max(candles.width, pd.Timedelta(days=1))
    return tuple(
        event
        for event in events
        if first <= event.time <= last
        and (event.symbol == candles.symbol if event.symbol else event.region in regions)
    )


def _warn(error: InvalidEvents) -> None:
    st.warning(plain(error), icon=":material/event_busy:")
