"""The ticker of a live market, and its candles."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import streamlit as st

from data_sources.registry import exchange_titles, open_source, source_titles
from data_sources.source import Bars, Instrument
from kronos.errors import Busy
from kronos.serving.jobs import JobStatus
from pages.ui.frame.messages import plain, show_error
from pages.ui.inputs import fetching
from pages.ui.inputs.fetching import Wanted
from pages.ui.jobs import queues
from pages.ui.jobs.session import owner
from pages.ui.jobs.settings import MIN_CONTEXT

TICKER = "Ticker"
"""The option of the data control for live markets."""
OTHERS = "Another exchange"
LATEST, AROUND = "wanted", "wanted around"
"""Keys in the session of the wanted bars: the latest ones, and those around an origin."""
DEFAULT_INTERVAL = "1d"
EARLIEST_ORIGIN = dt.date(1970, 1, 1)
_CANCELLED = "cancelled fetch"
_SEPARATOR = " · "


def choose_ticker() -> Wanted | None:
    """The controls: source, symbol, interval, adjustment; None until there is a symbol."""
    source = _choose_source()
    symbol = _choose_symbol(source)
    intervals = open_source(source).intervals
    interval = st.selectbox(
        "Interval",
        intervals,
        intervals.index(DEFAULT_INTERVAL) if DEFAULT_INTERVAL in intervals else 0,
        key="interval",
        bind="query-params",
        help="Width of a bar. Most sources have less history of short intervals.",
    )
    raw = False
    if source == "yahoo":
        raw = st.toggle(
            "Raw prices",
            key="raw",
            bind="query-params",
            help="Off: prices are adjusted for splits and dividends. On: prices as traded.",
        )
    if symbol is None:
        return None
    if source == "yahoo":  # its tickers have capital letters only
        symbol = symbol.upper()
    return Wanted(source, symbol, interval, adjusted=not raw)


def _choose_source() -> str:
    names = {title: name for name, title in source_titles().items()}
    title = st.selectbox("Source", [*names, OTHERS], key="source", bind="query-params")
    if title in names:
        return names[title]
    names = {title: name for name, title in exchange_titles().items()}
    title = st.selectbox("Exchange", list(names), key="exchange", bind="query-params")
    return names[title]


def ticker_link(instrument: Instrument, interval: str, **settings: object) -> dict[str, str]:
    """Link parameters of the Forecast page for an instrument.

    Args:
        instrument: The instrument.
        interval: Width of a bar.
        settings: Further parameters of the page, such as horizon or paths.
    """
    known = source_titles().get(instrument.source)
    where = {"source": known} if known else {"source": OTHERS}
    if known is None:
        where["exchange"] = exchange_titles()[instrument.source]
    return {
        "data": TICKER,
        **where,
        "symbol": instrument.symbol,
        "interval": interval,
        **{name: str(value) for name, value in settings.items()},
    }


def bars_of(wanted: Wanted) -> Bars | JobStatus:
    """The bars, or the state of their fetch.

    An origin before the latest bars needs the bars around it.

    Raises:
        Busy: Too many fetches wait.
    """
    status = _fetched(LATEST, wanted)
    day = remembered_origin()
    if status.state == "done" and day is not None and _is_before(day, status.result):
        status = _fetched(AROUND, replace(wanted, around=day))
    return status.result if status.state == "done" else status


def _fetched(slot: str, wanted: Wanted) -> JobStatus:
    wanted = fetching.asked_since(slot, wanted)
    if st.session_state.get(_CANCELLED) == wanted.key:  # other sessions may still wait for it
        return JobStatus(wanted.key, "cancelled")
    return fetching.fetch(wanted)


def ask_again() -> None:
    """Fetch the bars again."""
    st.session_state.pop(_CANCELLED, None)
    fetching.ask_again(LATEST, AROUND)


def remembered_origin() -> dt.date | None:
    """The origin of the page or its link, before its control is drawn."""
    day = st.session_state.get("origin")
    if isinstance(day, dt.date):
        return day
    try:
        day = dt.date.fromisoformat(st.query_params.get("origin", ""))
    except ValueError:
        return None
    return day if EARLIEST_ORIGIN <= day <= dt.date.today() else None


def show_fetching(status: JobStatus | Busy) -> None:
    """The page while there are no bars: the state of the fetch, or its error."""
    if isinstance(status, Busy):
        show_error(status)
    elif status.error is not None:
        show_error(status.error)
    elif status.is_final:
        st.info("Fetch cancelled.", icon=":material/cancel:")
    else:
        _poll()
        return
    st.button(
        "Try again",
        key="fetch_again",
        icon=":material/refresh:",
        on_click=ask_again,
    )


def show_stale(bars: Bars) -> None:
    """A warning where the bars are old."""
    if bars.stale:
        st.warning(plain(bars.stale), icon=":material/cloud_off:")


@st.fragment(run_every=fetching.POLL_SECONDS)
def _poll() -> None:
    """Progress of the fetch, with Cancel; reruns the page once it has ended."""
    status = None
    for slot in (AROUND, LATEST):
        wanted: Wanted | None = st.session_state.get(slot)
        if wanted is not None:
            found = queues.fetches().status(wanted.key)
            if found is not None and not found.is_final:
                status = found
    if status is None:
        st.rerun()
    queued = f": position {status.position} in the queue" if status.state == "queued" else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/hourglass_top: {plain(status.stage or 'Waiting' + queued)} …")
        st.button("Cancel", key="fetch_cancel", on_click=_cancel, icon=":material/close:")


def _cancel() -> None:
    for slot in (LATEST, AROUND):
        wanted: Wanted | None = st.session_state.get(slot)
        if wanted is not None:
            queues.fetches().leave(wanted.key, owner=owner())
            st.session_state[_CANCELLED] = wanted.key


def _choose_symbol(source: str) -> str | None:
    """A text box with the symbols of the source as suggestions; the link carries the symbol."""
    known = {_option(each): each.symbol for each in known_instruments(source)}
    named = st.query_params.get("symbol", "").strip()[:60]
    if st.session_state.get("symbol_source", source) != source:
        st.session_state["symbol_box"] = None
    elif named and "symbol_box" not in st.session_state:
        st.session_state["symbol_box"] = named
    st.session_state["symbol_source"] = source
    # A typed symbol is one of the options, under its full name once the list is loaded.
    typed = st.session_state.get("symbol_box")
    spelled = typed.upper() if typed and source == "yahoo" else typed
    full = next((option for option, symbol in known.items() if symbol == spelled), typed)
    if full != typed:
        st.session_state["symbol_box"] = full
    options = list(known) if full is None or full in known else [full, *known]
    # The box offers a text that equals no option as a new one, before the instruments it matches:
    # the bare symbols at the end let a symbol that is typed in full be found instead.
    options += [symbol for option, symbol in known.items() if symbol != option]
    chosen = st.selectbox(
        "Symbol",
        options,
        None,
        key="symbol_box",
        accept_new_options=True,
        persist_state="session",
        placeholder="AAPL, EURUSD=X, ES=F" if source == "yahoo" else "BTC/USDT",
        help="A ticker in the spelling of the source, or a name to search its list.",
    )
    if not chosen:
        st.query_params.pop("symbol", None)
        return None
    symbol = known.get(chosen) or str(chosen).partition(_SEPARATOR)[0].strip()
    if symbol != named:
        st.query_params["symbol"] = symbol
    return symbol or None


def _option(instrument: Instrument) -> str:
    return _SEPARATOR.join(filter(None, (instrument.symbol, instrument.name)))


def _is_before(day: dt.date, bars: Bars) -> bool:
    clock = bars.candles.local_index
    return day < clock[min(MIN_CONTEXT, len(clock)) - 1].date()


def known_instruments(source: str) -> list[Instrument]:
    """The instruments of a source; none, with a line on the page, while the list is loading."""
    try:
        status = fetching.instruments(source)
    except Busy:
        return []
    if status.state == "done":
        return status.result
    if status.is_final:
        st.caption("The list of symbols is not available. Type the symbol.")
    else:
        _await_symbols(source)
    return []


@st.fragment(run_every=fetching.POLL_SECONDS)
def _await_symbols(source: str) -> None:
    status = queues.fetches().status(fetching.symbols_key(source), owner=owner())
    if status is None or status.is_final:
        st.rerun()
    st.caption(":material/hourglass_top: Loading the list of symbols …")
