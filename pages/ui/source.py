"""Choosing the candles: a bundled sample or a file of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from data_sources.csv_file import CsvChoices
from data_sources.csv_report import CsvReport
from data_sources.samples import SAMPLES
from kronos.calendars import calendar_title
from kronos.candles import Candles
from kronos.errors import InvalidCandles
from pages.ui import services
from pages.ui.messages import plain, show_error
from pages.ui.readouts import moment_text
from pages.ui.request import data_id

UPLOAD = "My own CSV file"
MAX_UPLOAD_MB = 10
DATE_ORDERS = {"3 April": True, "4 March": False}
ZONES = (
    "UTC",
    "America/New_York",
    "America/Chicago",
    "America/Toronto",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Moscow",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Australia/Sydney",
)


@dataclass(frozen=True, slots=True, eq=False)
class ChosenCandles:
    """Candles on the page.

    Attributes:
        candles: The bars.
        data_id: Their digest.
        report: What the reader understood of an uploaded file; None for a sample.
    """

    candles: Candles
    data_id: str
    report: CsvReport | None


def choose_candles() -> ChosenCandles | None:
    """The data controls. None, with a message on the page, while there is nothing to show."""
    titles = {sample.title: sample for sample in SAMPLES.values()}
    _note_unknown([*titles, UPLOAD])
    chosen = st.selectbox(
        "Data",
        [*titles, UPLOAD],
        key="data",
        bind="query-params",
        on_change=_forget_origin,
    )
    if chosen in titles:
        sample = titles[chosen]
        candles = services.sample_candles(sample.key)
        return ChosenCandles(candles, data_id(candles), None)
    return _uploaded()


def _uploaded() -> ChosenCandles | None:
    file = st.file_uploader(
        "CSV file of candles",
        type=["csv", "txt", "tsv"],
        key="upload",
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_forget_origin,
        help="A time column, open, high, low and close; volume and amount are optional. Comma, "
        "semicolon or tab. The file stays in this session.",
    )
    choices = _choose_reading()
    if file is None:
        st.session_state["source_problem"] = None
        return None
    try:
        reading = services.read_upload(file.getvalue(), file.name, choices)
    except InvalidCandles as error:
        st.session_state["source_problem"] = error
        return None
    st.session_state["source_problem"] = None
    return ChosenCandles(reading.candles, data_id(reading.candles), reading.report)


def _choose_reading() -> CsvChoices:
    """What a file may leave open, for the user to settle."""
    with st.expander("How the file is read", icon=":material/rule:"):
        clock = st.selectbox(
            "Clock of the timestamps",
            ZONES,
            None,
            key="upload_clock",
            placeholder="Found out from the file",
            on_change=_forget_origin,
            help="On which times without an offset are read. The exchange's own clock follows from "
            "its calendar.",
        )
        order = st.selectbox(
            "03/04/2024 is",
            list(DATE_ORDERS),
            None,
            key="upload_dates",
            placeholder="Found out from the file",
            on_change=_forget_origin,
        )
    return CsvChoices(clock=clock, day_first=None if order is None else DATE_ORDERS[order])


def _note_unknown(titles: list[str]) -> None:
    """A link may name data of another version of the application, or be mistyped."""
    named = st.query_params.get("data")
    if named is not None and named not in titles:
        st.session_state["unknown_data"] = named


def show_link_problem() -> None:
    """Say that the link asked for other candles than these."""
    named = st.session_state.get("unknown_data")
    if named is not None:
        st.warning(
            f"The link asks for the data {plain(repr(named[:60]))}, which are not here; another "
            "series is shown instead. Choose the data in the sidebar.",
            icon=":material/link_off:",
        )


def _forget_origin() -> None:
    """Another series has other dates: start again from its last bar."""
    st.session_state.pop("unknown_data", None)
    for key in ("origin", "origin_time"):
        if key in st.session_state:
            st.session_state[key] = None


def show_no_candles() -> None:
    """The page when there are no candles: what is wrong, or what to do."""
    st.title("Your own candles", anchor=False)
    problem = st.session_state.get("source_problem")
    if problem is not None:
        show_error(problem)
        st.caption("Correct the file and upload it again, or choose a sample.")
    else:
        st.info("Upload a CSV file of candles in the sidebar.", icon=":material/upload_file:")
    st.markdown(
        "One row a bar, with a header. These columns are understood, in any order and case:\n\n"
        "| Column | Names |\n|---|---|\n"
        "| Time | timestamp, datetime, date, time |\n"
        "| Prices | open, high, low, close |\n"
        "| Volume, optional | volume, vol |\n"
        "| Turnover, optional | amount, turnover |\n\n"
        "At least 32 bars are needed; a few hundred make a better forecast."
    )


def show_reading(source: ChosenCandles) -> None:
    """What the bars are and what the reader made of the file."""
    candles = source.candles
    first, last = candles.local_index[0], candles.local_index[-1]
    if source.report is not None:
        title, lines = "What was understood of the file", source.report.lines()
        n_left_out = source.report.rows_read - source.report.rows_kept
        if n_left_out:
            title += f": {n_left_out:,} of {source.report.rows_read:,} rows were left out"
    else:
        title = "About these bars"
        lines = [f"Source: {candles.source}.", f"Calendar: {calendar_title(candles.calendar)}."]
    with st.expander(title, icon=":material/fact_check:"):
        st.markdown(
            f"{len(candles):,} bars of {plain(candles.interval)} from "
            f"{plain(moment_text(first, candles))} to {plain(moment_text(last, candles))} "
            f"({plain(candles.zone)})."
        )
        st.markdown("\n".join(f"- {plain(line)}" for line in lines if line))
