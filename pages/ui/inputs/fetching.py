"""Bars of live markets for this session: what was asked of which source, and how far it is.

Fetching is done by threads of its own, so that a source that hangs delays neither the page nor a
forecast. Session state holds what is wanted; the bars stay with the thread's queue.
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
from pages.ui.jobs.session import owner

SYMBOL = re.compile(r"[\w.^=\-/:$& ]{1,40}", re.ASCII)
BARS_BEFORE = 1_500
"""Bars fetched before a day in the past: more than any model reads."""
ALL_SYMBOLS = 10_000
POLL_SECONDS = 0.4
AT_ONCE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Wanted:
    """Bars to be fetched.

    Attributes:
        source: Name of the source.
        symbol: Ticker as the source spells it.
        interval: Width of a bar.
        adjusted: Whether earlier prices are rescaled for splits and dividends.
        around: A day in the past that bars are wanted around; None for the latest.
        asked_at: Seconds since 1970; one who asks again gets a new answer.
    """

    source: str
    symbol: str
    interval: str
    adjusted: bool = True
    around: dt.date | None = None
    asked_at: int = 0

    @property
    def key(self) -> str:
        """Sessions that ask for the same within a minute share one answer."""
        return (
            f"bars {self.source} {self.symbol} {self.interval} {self.adjusted} {self.around} "
            f"{self.asked_at // 60}"
        )

    def is_same(self, other: Wanted | None) -> bool:
        """Whether both want the same, whenever they asked."""
        return other is not None and replace(other, asked_at=self.asked_at) == self

    def span(self) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
        """First and last open time to ask for: around a day, with room for every horizon."""
        if self.around is None:
            return None, None
        width = interval_width(self.interval)
        # A market that trades five days of seven, and a quarter of each, needs that much longer.
        stretch = 6 if is_intraday(self.interval) else 1.6
        day = pd.Timestamp(self.around, tz="UTC")
        start = day - BARS_BEFORE * width * stretch
        end = day + pd.Timedelta(days=2) + MAX_HORIZON * width * stretch
        return start, min(end, pd.Timestamp.now(tz="UTC"))


def fetch_work(wanted: Wanted) -> Work:
    """The work that gets bars from their source."""

    def work(control: JobControl) -> Bars:
        if not SYMBOL.fullmatch(wanted.symbol):
            raise UnknownSymbol(
                f"{wanted.symbol[:60]!r} cannot be a ticker: those have at most 40 letters, "
                "digits and . ^ = - / : Choose one from the list or correct it."
            )
        source = open_source(wanted.source)
        control.stage(f"Asking {source.title} for {wanted.symbol}")
        start, end = wanted.span()
        bars = source.fetch(
            wanted.symbol, interval=wanted.interval, adjusted=wanted.adjusted, start=start, end=end
        )
        control.check()
        return bars

    return work


def fetch(wanted: Wanted) -> JobStatus:
    """The state of a fetch, begun if nobody did.

    Args:
        wanted: What is asked for; `asked_at` is that of the session's first asking.

    Raises:
        Busy: too many wait for this source.
    """
    queue = queues.fetches()
    status = queue.status(wanted.key, owner=owner())
    if status is not None:
        return status
    return queue.submit(wanted.key, fetch_work(wanted), owner=owner(), supersede=False)


def asked_since(slot: str, wanted: Wanted) -> Wanted:
    """The same wish, as of when this session first had it; a new one begins now.

    Args:
        slot: Where the session remembers it.
    """
    before: Wanted | None = st.session_state.get(slot)
    if not wanted.is_same(before):
        if before is not None:
            queues.fetches().leave(before.key, owner=owner())
        st.session_state[slot] = before = replace(wanted, asked_at=int(time.time()))
    assert before is not None
    return before


def ask_again(*slots: str) -> None:
    """Forget when these were asked for, so that they are fetched anew."""
    for slot in slots:
        before: Wanted | None = st.session_state.get(slot)
        if before is not None:
            queues.fetches().leave(before.key, owner=owner())
            # Not the next minute's key: the same minute's answer is what should be replaced.
            st.session_state[slot] = replace(before, asked_at=before.asked_at + 60)


def instruments(source: str) -> JobStatus:
    """The lookup of what a source has, done beside the page; its result are `Instrument`s.

    A source that knows without asking anybody answers at once.

    Raises:
        Busy: too many wait.
    """
    key, queue = symbols_key(source), queues.fetches()
    status = queue.status(key, owner=owner())
    if status is not None:
        return status

    def work(control: JobControl) -> list[Instrument]:
        control.stage("Asking for the symbols")
        return open_source(source).suggest("", ALL_SYMBOLS)

    status = queue.submit(key, work, owner=owner(), supersede=False)
    with contextlib.suppress(Exception):  # whatever it raised is told by the status
        queue.result(key, owner=owner(), timeout=AT_ONCE_SECONDS)
    return queue.status(key, owner=owner()) or status


def symbols_key(source: str) -> str:
    """The key of a lookup of all symbols."""
    return f"symbols {source}"
