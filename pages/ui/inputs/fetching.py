"""Bars of live markets for this session, fetched in the background.

Fetches have threads of their own, so that a slow source delays neither the page nor a forecast.
Session state holds the wanted bars' names; the bars stay with the queue.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from data_sources.registry import open_source
from data_sources.source import Bars, Instrument
from kronos.calendars import MAX_HORIZON
from kronos.calendars.intervals import interval_width, is_intraday
from kronos.errors import UnknownSymbol
from kronos.serving.jobs import JobControl, JobStatus, Work
from pages.ui.jobs import queues
from pages.ui.jobs.presence import note_waiting
from pages.ui.jobs.session import owner

SYMBOL = re.compile(r"[\w.^=\-/:$& ]{1,40}", re.ASCII)
BARS_BEFORE = 1_500
"""Bars fetched before a day in the past: more than any model reads."""
ALL_SYMBOLS = 10_000
POLL_SECONDS = 0.4
AT_ONCE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Wanted:
    """Bars to fetch.

    Attributes:
        source: Name of the source.
        symbol: Ticker as the source spells it.
        interval: Width of a bar.
        adjusted: Whether earlier prices are rescaled for splits and dividends.
        around: A past day to fetch the bars around; None for the latest.
        asked_at: Time of the request in seconds since 1970; a later request is a new fetch.
        look: Which look for a new bar it is, of those that follow the bars; "" for another request.
    """

    source: str
    symbol: str
    interval: str
    adjusted: bool = True
    around: dt.date | None = None
    asked_at: int = 0
    look: str = ""

    @property
    def key(self) -> str:
        """Key in the queue: sessions that want the same within a minute share one fetch.

        Those that follow the same bars share every look.
        """
        return (
            f"bars {self.source} {self.symbol} {self.interval} {self.adjusted} {self.around} "
            f"{self.look or self.asked_at // 60}"
        )

    def is_same(self, other: Wanted | None) -> bool:
        """Whether both want the same bars, at whatever time."""
        if other is None:
            return False
        return replace(other, asked_at=self.asked_at, look=self.look) == self

    def span(self) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
        """First and last open time to request: around the day, with room for every horizon."""
        if self.around is None:
            return None, None
        width = interval_width(self.interval)
        # A market that trades on five days of seven, a quarter of each, needs a longer span.
        stretch = 6 if is_intraday(self.interval) else 1.6
        day = pd.Timestamp(self.around, tz="UTC")
        start = day - BARS_BEFORE * width * stretch
        end = day + pd.Timedelta(days=2) + MAX_HORIZON * width * stretch
        return start, min(end, pd.Timestamp.now(tz="UTC"))


def fetch_work(wanted: Wanted) -> Work:
    """The job that fetches bars from their source."""

    def work(control: JobControl) -> Bars:
        if not SYMBOL.fullmatch(wanted.symbol):
            raise UnknownSymbol(
                f"{wanted.symbol[:60]!r} is not a ticker. A ticker has at most 40 letters, digits "
                "and the signs . ^ = - / : Correct it or choose one from the list."
            )
        source = open_source(wanted.source)
        control.stage(f"Fetching {wanted.symbol} from {source.title}")
        start, end = wanted.span()
        bars = source.fetch(
            wanted.symbol, interval=wanted.interval, adjusted=wanted.adjusted, start=start, end=end
        )
        control.check()
        return bars

    return work


def fetch(wanted: Wanted) -> JobStatus:
    """The state of a fetch; starts it if no session has.

    Args:
        wanted: The bars; `asked_at` is the time of the session's first request.

    Raises:
        Busy: Too many fetches wait.
    """
    queue = queues.fetches()
    status = queue.status(wanted.key, owner=owner())
    if status is not None:
        return status
    note_waiting(owner(), queue)
    return queue.submit(wanted.key, fetch_work(wanted), owner=owner(), supersede=False)


def asked_since(slot: str, wanted: Wanted) -> Wanted:
    """The wanted bars with the time of this session's first request; a new request starts now.

    Args:
        slot: Key of the wanted bars in the session.
    """
    before: Wanted | None = st.session_state.get(slot)
    if not wanted.is_same(before):
        if before is not None:
            queues.fetches().leave(before.key, owner=owner())
        st.session_state[slot] = before = replace(wanted, asked_at=int(time.time()))
    assert before is not None
    return before


def ask_again(*slots: str) -> None:
    """Renew the time of these requests, so that they are fetched again."""
    for slot in slots:
        before: Wanted | None = st.session_state.get(slot)
        if before is not None:
            queues.fetches().leave(before.key, owner=owner())
            # One minute on: another key than that of the result to replace.
            st.session_state[slot] = replace(before, asked_at=before.asked_at + 60, look="")


def instruments(source: str) -> JobStatus:
    """The state of the lookup of a source's symbols; its result is a list of `Instrument`.

    A source with a local list is done at once.

    Raises:
        Busy: Too many fetches wait.
    """
    key, queue = symbols_key(source), queues.fetches()
    status = queue.status(key, owner=owner())
    if status is not None:
        return status

    def work(control: JobControl) -> list[Instrument]:
        control.stage("Fetching the list of symbols")
        return open_source(source).suggest("", ALL_SYMBOLS)

    status = queue.submit(key, work, owner=owner(), supersede=False)
    with contextlib.suppress(Exception):  # the status has the error
        queue.result(key, owner=owner(), timeout=AT_ONCE_SECONDS)
    return queue.status(key, owner=owner()) or status


def symbols_key(source: str) -> str:
    """The key in the queue of a lookup of all symbols."""
    return f"symbols {source}"
