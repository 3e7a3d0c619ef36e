"""The calendar of events on the page: days that are missing are fetched unasked, in the background.

One line says what the calendar covers for the instrument, and until when.
"""

from __future__ import annotations

import contextlib
import time

import pandas as pd
import streamlit as st

from data_sources.calendar import CalendarDays, days_for, event_calendar, is_on
from kronos.calendars import EXCHANGES
from kronos.candles import Candles
from kronos.errors import Busy, KronosError
from kronos.events import Event, regions_of
from kronos.events.coverage import coverage, coverage_text
from kronos.forecast import Forecast
from kronos.serving.jobs import JobControl, JobStatus, Work
from pages.ui.frame.messages import plain
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.fetching import POLL_SECONDS
from pages.ui.inputs.leaders import show_leaders
from pages.ui.jobs import queues
from pages.ui.jobs.presence import note_waiting
from pages.ui.jobs.session import owner

_TRY_AGAIN_SECONDS = 300


def keep_calendar(source: ChosenCandles, forecast: Forecast | None = None) -> JobStatus | None:
    """Fetch the days around the last bar, or around a forecast, that are missing.

    Returns:
        The state of the fetch, which sessions that need the same days share; None where nothing is
        missing.
    """
    days = _days(source, forecast) if is_on() else None
    missing = None if days is None else event_calendar().missing(days)
    if days is None or not missing:
        return None
    # Part of the key: what failed, or went out of date, is fetched again later.
    key = f"calendar {missing} {int(time.time()) // _TRY_AGAIN_SECONDS}"
    queue = queues.fetches()
    status = queue.status(key, owner=owner())
    if status is not None:
        return status
    note_waiting(owner(), queue)
    try:
        return queue.submit(key, _work(days), owner=owner(), supersede=False)
    except Busy:  # the line says what is known; the next run of the page tries again
        return None


def fetch_calendar(
    candles: Candles, currency: str = "", *, origin: pd.Timestamp | None = None
) -> None:
    """Fetch the days around forecasts that are missing, for work in the background.

    Where that fails, what is known stays; the Forecast page says why.

    Args:
        candles: Bars of the instrument.
        currency: Currency it is quoted in, where the source says.
        origin: The first origin; default: the last bar.
    """
    days = days_for(
        candles,
        pd.Timestamp(candles.frame.index[-1]),
        currency=currency,
        origin=origin,
        now=pd.Timestamp.now("UTC"),
    )
    if days is not None and is_on() and event_calendar().missing(days):
        with contextlib.suppress(KronosError):
            event_calendar().refresh(days)


def show_calendar(
    source: ChosenCandles, events: tuple[Event, ...], forecast: Forecast | None
) -> None:
    """The line on what the calendar covers, and the state of its fetch.

    Args:
        source: The candles.
        events: All events, the visitor's own among them.
        forecast: The fan on the chart.
    """
    status = keep_calendar(source, forecast)
    candles = source.candles
    origin, end = _span(source, forecast)
    regions = regions_of(candles.calendar, candles.symbol, source.currency)
    calendar = event_calendar()
    covered = coverage(
        events,
        regions,
        fetched={region: calendar.covered_until(region) for region in ("US", *regions)},
        ticker=_company(source, events),
    )
    text = coverage_text(covered, origin, end)
    days = _days(source, forecast)
    if days is not None and is_on():
        failed = None if status is None else status.error
        problem = failed or calendar.problem(days)
        text += f" Not up to date: {problem}" if problem is not None else ""
    st.caption(f":material/event_note: {plain(text)}")
    show_leaders(forecast)
    if status is not None and not status.is_final:
        st.fragment(_await_calendar, run_every=POLL_SECONDS)(status.key)


def _company(source: ChosenCandles, events: tuple[Event, ...]) -> str:
    """The company whose earnings the line names; "" for none.

    The symbol of a visitor's file is the name of the file, unless there are events of it.
    """
    symbol = source.candles.symbol
    if source.candles.calendar not in EXCHANGES:
        return ""
    is_listed = source.is_sample or source.bars is not None
    return symbol if is_listed or any(event.symbol == symbol for event in events) else ""


def _await_calendar(key: str) -> None:
    """A line until the fetch has ended; then the page runs again, with the new events."""
    status = queues.fetches().status(key, owner=owner())
    if status is None or status.is_final:
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(status.stage or 'Fetching the calendar')} …")


def _work(days: CalendarDays) -> Work:
    def work(control: JobControl) -> None:
        def progress(stage: str) -> None:
            control.check()
            control.stage(stage)

        event_calendar().refresh(days, progress=progress)

    return work


def _span(source: ChosenCandles, forecast: Forecast | None) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The last known bar, and the end of the chart."""
    last = pd.Timestamp(source.candles.frame.index[-1])
    if forecast is None:
        return last, last
    return forecast.origin.tz_convert("UTC"), forecast.timestamps[-1].tz_convert("UTC")


def _days(source: ChosenCandles, forecast: Forecast | None) -> CalendarDays | None:
    origin, end = _span(source, forecast)
    is_yahoos = source.bars is not None and source.source_name == "yahoo"
    return days_for(
        source.candles,
        end,
        currency=source.currency,
        # The symbol of a visitor's file is not sent to anyone.
        ticker=source.bars.instrument.symbol if is_yahoos and source.bars is not None else "",
        origin=origin,
        now=pd.Timestamp.now("UTC"),
    )
