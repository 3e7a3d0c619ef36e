"""The list of stored forecasts on the page, page by page, and the open one as a chart."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.store.switch import OFF, VARIABLE, is_off
from pages.ui.fan.results import show_in_strip
from pages.ui.fan.stored import Since, open_stored, read_since, show_again, show_stored
from pages.ui.forecasts.controls import OPENED
from pages.ui.forecasts.text import (
    OPEN,
    forecast_title,
    forecasts_table,
    forecasts_workbook,
    outcome_numbers,
)
from pages.ui.frame.excel import MIME
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import table_pixels
from pages.ui.jobs.run_button import chip_line

if TYPE_CHECKING:
    from kronos.store.listing import Filters, Listed, Place
    from kronos.store.prediction import Prediction
    from kronos.store.store import Store

PAGE_ROWS = 50
MOST_LISTED = 10_000
"""Rows of the list as a file."""
_PLACES = "forecasts places"


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A stored forecast that is open.

    Attributes:
        store: Where it is.
        prediction: The forecast.
        listed: Its row in the list.
        since: What came of it.
    """

    store: Store
    prediction: Prediction
    listed: Listed
    since: Since


def find_opened(prediction_id: str) -> Opened | None:
    """A stored forecast; None without an id, and where forecasts are not saved.

    Raises:
        InvalidRequest: There is none with this id.
        StoreError: The store cannot be used.
    """
    if not prediction_id or is_off():
        return None
    from kronos.store import open_store
    from kronos.store.listing import find_listed

    store = open_store()
    prediction = open_stored(prediction_id)
    since = read_since(store, prediction)
    listed = find_listed(store, prediction.id)
    assert listed is not None  # rows of the store stay
    if isinstance(since.found, Candles) and listed.n_closes < np.isfinite(since.closes).sum():
        from kronos.store.scoring import score_candles

        # The chart shows bars that the hourly scoring has not seen: the list is to know them too.
        with contextlib.suppress(KronosError):  # the scoring tries again
            score_candles(
                store, since.found, of_source=prediction.source, bars_source=prediction.source
            )
        listed = find_listed(store, prediction.id) or listed
    return Opened(store, prediction, listed, since)


def show_opened(opened: Opened, *, narrow: bool) -> None:
    """What a forecast said and what came of it, as on the Forecast page: line, strip, chart."""
    prediction, since = opened.prediction, opened.since
    title = forecast_title(opened.listed)
    line = chip_line()
    with line.name:
        st.title(plain(title), anchor=False)
    with line.chips:
        show_again(prediction, key="stored_again")
        st.button("Close", key="stored_close", icon=":material/close:", on_click=_close)
    with line.facts:
        st.caption(
            plain(
                f"{prediction.parameters['sample_count']} paths, seed {prediction.seed}, stored "
                f"{prediction.created_at:%d %b %Y %H:%M} UTC"
            ),
            help=f"Revision {plain(prediction.model_version[:8])}. Id: {prediction.id}",
        )
    with st.container(horizontal=True, border=True, gap="small", key="strip"):
        for number in outcome_numbers(prediction, opened.listed, since.closes):
            show_in_strip(number)
    show_stored(opened.store, prediction, since, key="stored_fan", alt=title, narrow=narrow)


def show_list(filters: Filters | None) -> None:
    """A page of the list, and the way to the others."""
    if is_off():
        st.info(f"Forecasts are not saved: {VARIABLE} is {OFF}.", icon=":material/inbox:")
    if filters is None:
        return
    from kronos.store import open_store
    from kronos.store.listing import list_forecasts

    places = _places(filters)
    after = places[-1] if places else None
    try:
        found = list_forecasts(open_store(), filters, after=after, limit=PAGE_ROWS + 1)
    except KronosError as error:
        show_error(error)
        return
    listed, has_more = found[:PAGE_ROWS], len(found) > PAGE_ROWS
    if listed:
        _show_table(listed)
        _show_opening(listed)
        st.download_button(
            "List (Excel)", partial(_list_workbook, filters), file_name="forecasts.xlsx",
            mime=MIME, key="stored xlsx", on_click="ignore", icon=":material/download:",
            help=f"The {MOST_LISTED:,} newest forecasts of these filters.",
        )  # fmt: skip
    else:
        _show_none(filters)
    if places or has_more:
        with st.container(horizontal=True, vertical_alignment="center", key="stored_pages"):
            st.button(
                "Newer", key="stored_newer", icon=":material/chevron_left:", disabled=not places,
                on_click=_turn, args=(None,),
            )  # fmt: skip
            st.button(
                "Older", key="stored_older", icon=":material/chevron_right:",
                disabled=not has_more, on_click=_turn, args=(listed[-1].place if listed else None,),
            )  # fmt: skip
            st.caption(f"Page {len(places) + 1}")


def _list_workbook(filters: Filters) -> bytes:
    from kronos.store import open_store
    from kronos.store.listing import list_forecasts

    listed = list_forecasts(open_store(), filters, limit=MOST_LISTED)
    return forecasts_workbook(
        listed, {k: v for k, v in asdict(filters).items() if v is not None and k != "sources"}
    )


def _show_table(listed: list[Listed]) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        forecasts_table(listed),
        key="stored_table",
        hide_index=True,
        placeholder="",
        height=table_pixels(len(listed), 560),
        alt=f"{len(listed)} stored forecasts",
        column_config={
            "Instrument": st.column_config.TextColumn(pinned=True, width=110),
            OPEN: st.column_config.ButtonColumn(
                "Chart", type="tertiary", key="stored_open", width=70,
                help="Open the chart as it was, with the bars since.",
            ),
            "Horizon": number(format="%d", help="Bars ahead."),
            "Outcome": st.column_config.TextColumn(
                help="Move from the origin to the last close that was scored, and the bars scored. "
                "Scoring runs once an hour."
            ),
            "Inside 80%": st.column_config.TextColumn(help="Scored closes inside the 80% band."),
            "CRPS / cone": number(
                format="%.2f",
                help=meaning(
                    "CRPS", "Over that of a random walk with EWMA volatility: below 1 is better."
                ),
            ),
            "Stored": st.column_config.DatetimeColumn(format="distance"),
        },
    )  # fmt: skip
    click = st.session_state.get("stored_open")
    if click is not None and 0 <= click.row < len(listed):
        _mark_opened(listed[click.row].id)
        st.rerun()


def _show_opening(listed: list[Listed]) -> None:
    """The way to a chart without a mouse."""
    titles = {each.id: f"{i + 1}. {forecast_title(each)}" for i, each in enumerate(listed)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Forecast to open", list(titles), key="stored_line", width=420,
            format_func=lambda each: titles.get(each, each),
        )  # fmt: skip
        if st.button("Open chart", key="stored_open_line", icon=":material/show_chart:"):
            _mark_opened(chosen)
            st.rerun()


def _show_none(filters: Filters) -> None:
    if any((filters.instrument, filters.model, filters.interval, filters.state)):
        st.info("No stored forecast matches these filters.", icon=":material/filter_alt:")
    else:
        st.info(
            "No stored forecast yet. A press of Run on Forecast, Compare, What if or Watchlist "
            "stores one, and so does `kronos forecast --save`.",
            icon=":material/inbox:",
        )


def _mark_opened(prediction_id: str) -> None:
    """Open a forecast in the next run: its control stands in the sidebar already."""
    st.session_state["stored_next"] = prediction_id


def take_opened() -> None:
    """Put a forecast that was opened by a click into its control, before that is drawn."""
    chosen = st.session_state.pop("stored_next", None)
    if chosen is not None:
        st.session_state[OPENED] = chosen


def _close() -> None:
    st.session_state[OPENED] = ""


def _places(filters: Filters) -> list[Place]:
    """The last rows of the pages before; none after a change of the filters."""
    known = st.session_state.get(_PLACES)
    if known is None or known[0] != filters:
        known = st.session_state[_PLACES] = (filters, [])
    places: list[Place] = known[1]
    return places


def _turn(after: Place | None) -> None:
    """The page after a row, or the one before."""
    if (known := st.session_state.get(_PLACES)) is None:
        return
    if after is not None:
        known[1].append(after)
    elif known[1]:
        known[1].pop()
