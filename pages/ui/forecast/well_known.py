"""Well-known instruments, one click each; a first visit opens the first of them unasked.

A visit whose address names nothing shows the sample at once. Once the server has drawn it, the bars
of the first instrument are fetched in the background. They open if they are there within
`OPENING_SECONDS` and nothing has been touched; else the sample stays, and no visit of this server
asks again for `REST_SECONDS`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import streamlit as st

from data_sources.calendar import is_on
from data_sources.registry import source_titles
from kronos.errors import Busy
from pages.ui.frame.links import forget_link
from pages.ui.inputs import fetching
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.fetching import Wanted
from pages.ui.inputs.ticker import LATEST, TICKER
from pages.ui.jobs import queues
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.session import owner

OPENING_SECONDS = 3.0
REST_SECONDS = 600.0
_LOOK_SECONDS = 0.2
_OPENING, _CHIPS = "live_opening", "well_known"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A well-known instrument: its title, its ticker at Yahoo, and the width of its bars."""

    title: str
    symbol: str
    interval: str


WELL_KNOWN = (
    Instrument("BTC/USD", "BTC-USD", "1h"),
    Instrument("ETH/USD", "ETH-USD", "1h"),
    Instrument("S&P 500 (SPY)", "SPY", "1d"),
    Instrument("Nasdaq (QQQ)", "QQQ", "1d"),
    Instrument("EUR/USD", "EURUSD=X", "1h"),
    Instrument("Gold", "GC=F", "1d"),
    Instrument("AAPL", "AAPL", "1d"),
)
_SOURCE = "yahoo"


class _Server:
    """What the visits of this process share.

    Attributes:
        rests_until: When they may ask unasked again, by the clock that only runs forward.
        has_asked: Whether one has: the client of the source is loaded then.
    """

    rests_until = float("-inf")
    has_asked = False


@dataclass(slots=True)
class _Opening:
    wanted: Wanted | None = None  # None until the page has been drawn
    begun: float = 0.0
    is_looked_for: bool = False  # the first look is part of the run that draws the page
    is_over: bool = False


def choose_well_known() -> None:
    """The instruments as chips; a click opens one and forecasts it."""
    st.pills(
        "Live markets",
        [each.title for each in WELL_KNOWN],
        key=_CHIPS,
        on_change=_open_chosen,
        label_visibility="collapsed",
    )


def show_beside_sample(source: ChosenCandles) -> None:
    """The chips on the page, while it shows a sample."""
    if source.is_sample:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="live"):
            st.caption("Sample data. Live:", width="content")
            choose_well_known()


def open_unasked() -> None:
    """Open the first instrument on a first visit, if its bars come in time; before any control."""
    opening: _Opening | None = st.session_state.get(_OPENING)
    if opening is None:
        opening = st.session_state[_OPENING] = _Opening()
        opening.is_over = (
            bool(st.query_params) or not is_on() or time.monotonic() < _Server.rests_until
        )  # fmt: skip
    if not opening.is_over:
        st.fragment(_advance, run_every=_LOOK_SECONDS)()


def fetch_unasked() -> None:
    """Begin what `open_unasked` looks for, last in the run that draws the page.

    On a server that has never asked, the first look begins it: loading the source's client would
    take the processor from the browser that paints.
    """
    opening: _Opening = st.session_state[_OPENING]
    if _Server.has_asked and not opening.is_over and opening.wanted is None:
        _begin(opening)


def _begin(opening: _Opening) -> None:
    first = WELL_KNOWN[0]
    opening.wanted = Wanted(_SOURCE, first.symbol, first.interval, asked_at=int(time.time()))
    opening.begun = time.monotonic()
    _Server.has_asked = True
    with contextlib.suppress(Busy):  # said by the next look
        fetching.fetch(opening.wanted)


def _advance() -> None:
    """Look for the bars; nothing in the run that draws the page."""
    opening: _Opening = st.session_state[_OPENING]
    if not opening.is_looked_for:
        opening.is_looked_for = True
        return
    if opening.wanted is None:
        _begin(opening)
        return
    try:
        status = fetching.fetch(opening.wanted)
    except Busy:
        _end(opening)
        return
    # What a visitor chooses stands in the address.
    if status.state == "done" and not st.query_params:
        opening.is_over = True
        _open(WELL_KNOWN[0], opening.wanted)
        st.rerun()
    elif status.is_final or st.query_params:
        _end(opening, rests=status.state == "failed")
    elif time.monotonic() - opening.begun > OPENING_SECONDS:
        queues.fetches().leave(opening.wanted.key, owner=owner())
        _end(opening, rests=True)


def _end(opening: _Opening, *, rests: bool = False) -> None:
    opening.is_over = True
    if rests:
        _Server.rests_until = time.monotonic() + REST_SECONDS
    st.rerun()  # ends the looks


def _open_chosen() -> None:
    title = st.session_state.get(_CHIPS)
    st.session_state[_CHIPS] = None
    chosen = next((each for each in WELL_KNOWN if each.title == title), None)
    if chosen is not None:
        _open(chosen)


def _open(instrument: Instrument, wanted: Wanted | None = None) -> None:
    """Have the controls say this instrument, and its forecast start by itself."""
    forget_link()
    state = st.session_state
    if "interval" not in state:  # a control that appears in this run leaves the address as it is
        st.query_params["interval"] = instrument.interval
    state.update(
        {
            "data": TICKER,
            "source": source_titles()[_SOURCE],
            "symbol_box": instrument.symbol,
            "symbol_source": _SOURCE,
            "interval": instrument.interval,
            "raw": False,
            "origin": None,
            "origin_time": None,
        }
    )
    if wanted is not None:
        state[LATEST] = wanted
    FORECAST.expect_visit()
