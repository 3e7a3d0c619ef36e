"""The candles of a page: a ticker of a live market, a bundled sample, or an uploaded file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from data_sources.csv.formats import FILE_TYPES
from data_sources.csv.reader import CsvChoices
from data_sources.csv.report import CsvReport
from data_sources.samples import SAMPLES, load_sample
from data_sources.source import Bars
from kronos.calendars import calendar_title
from kronos.calendars.clocks import clock_title
from kronos.candles import Candles
from kronos.errors import Busy, InvalidCandles
from kronos.serving.jobs import JobStatus
from pages.ui.frame.links import forget_link
from pages.ui.frame.messages import error_text, plain, show_error
from pages.ui.frame.text import counted, moment_text
from pages.ui.frame.uploads import copies
from pages.ui.inputs.fetching import Wanted
from pages.ui.inputs.file_clock import choose_file_clock
from pages.ui.inputs.ticker import (
    LATEST,
    TICKER,
    ask_again,
    bars_of,
    choose_ticker,
    show_fetching,
)
from pages.ui.jobs import caches
from pages.ui.jobs.settings import data_id

UPLOAD = "My own file"
NO_SYMBOL = "no symbol"
_UPLOADED, _HANDED = "uploaded file", "handed candles"
_ASKED_CLOCK = "asked_clock"
MAX_UPLOAD_MB = 10
DATE_ORDERS = {"3 April": True, "4 March": False}


@dataclass(frozen=True, slots=True, eq=False)
class ChosenCandles:
    """Candles on the page.

    Attributes:
        candles: The bars.
        data_id: Their digest.
        report: How an uploaded file was read; None otherwise.
        bars: The response of a live market, with its notes; None otherwise.
        code: Python that makes the same candles as `candles`.
        is_handed: Whether they come from an upload on the Training page.
    """

    candles: Candles
    data_id: str
    report: CsvReport | None = None
    bars: Bars | None = None
    code: str = ""
    is_handed: bool = False

    @property
    def is_sample(self) -> bool:
        return self.report is None and self.bars is None and not self.is_handed

    @property
    def source_name(self) -> str:
        """Name of the source that has later bars; empty for an uploaded file."""
        if self.bars is not None:
            return self.bars.instrument.source
        return "samples" if self.is_sample else ""

    @property
    def series_id(self) -> str:
        """What stays the same while bars are added: the instrument and the width of its bars."""
        if self.bars is None:
            return self.data_id
        instrument = self.bars.instrument
        return f"{instrument.source} {instrument.symbol} {self.candles.interval}"

    @property
    def currency(self) -> str:
        """Currency of the prices; empty where the source does not say."""
        return "" if self.bars is None else self.bars.instrument.currency


def choose_candles() -> ChosenCandles | None:
    """The data controls; None while there are no candles, which `show_no_candles` explains."""
    titles = {sample.title: sample for sample in SAMPLES.values()}
    choices = [TICKER, UPLOAD, *titles]
    st.session_state["source_problem"] = None
    chosen = st.selectbox(
        "Data",
        choices,
        2,
        key="data",
        bind="query-params",
        on_change=_forget_origin,
    )
    if chosen == TICKER:
        return _live()
    st.query_params.pop("symbol", None)  # a symbol in the address opens the ticker
    file = _choose_file()
    if chosen in titles:
        sample = titles[chosen]
        candles = load_sample(sample.key)
        return ChosenCandles(candles, data_id(candles), code=sample_code(sample.key))
    return _uploaded(file)


def _live() -> ChosenCandles | None:
    wanted = choose_ticker()
    if wanted is None:
        st.session_state["source_problem"] = NO_SYMBOL
        return None
    try:
        found = bars_of(wanted)
    except Busy as error:
        st.session_state["source_problem"] = error
        return None
    if isinstance(found, JobStatus):
        st.session_state["source_problem"] = found
        return None
    st.button(
        "Fetch again",
        key="refresh",
        icon=":material/refresh:",
        width="stretch",
        on_click=ask_again,
        help="Loads the bars that closed since the last fetch.",
    )
    candles = found.candles
    return ChosenCandles(candles, data_id(candles), bars=found, code=fetch_code(wanted, candles))


def _choose_file() -> UploadedFile | None:
    """The field of the file, beside a sample as well: a file that is dropped there is opened."""
    return st.file_uploader(
        "File of candles",
        type=list(FILE_TYPES),
        key="upload",
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_uploaded_another,
        help="CSV, Parquet, Feather or Excel. Columns: time, open, high, low and close; optional: "
        "volume and amount. Of a workbook, the first sheet with bars is read. The file stays in "
        "this session.",
    )


def _uploaded(file: UploadedFile | None) -> ChosenCandles | None:
    choices = choose_reading("upload", on_change=_forget_origin, stays=True)
    if file is not None:
        # The widget loses its file when the user opens another page; the session keeps it.
        copies().put(_UPLOADED, (file.name, file.getvalue()), file.size)
        copies().drop(_HANDED)
    uploaded = copies().get(_UPLOADED)
    if uploaded is None:
        return _handed()
    name, content = uploaded
    if file is None:
        st.caption(f"Earlier upload: {plain(name)}. Upload another file to replace it.")
    try:
        reading = caches.read_upload(content, name, choices)
    except (Busy, InvalidCandles) as error:
        st.session_state["source_problem"] = error
        # The open chip covers the message of the page.
        st.caption(f":material/error: {error_text(error)}")
        return None
    return ChosenCandles(
        reading.candles, data_id(reading.candles), reading.report, code=upload_code(name, choices)
    )


def _uploaded_another() -> None:
    """Forget the file before, and open the new one."""
    copies().drop(_UPLOADED)
    if st.session_state.get("upload") is not None:
        st.session_state["data"] = UPLOAD
    _forget_origin()


def hand_over(candles: Candles, name: str, choices: CsvChoices) -> None:
    """Use candles that another page has read wherever this session chooses an uploaded file.

    Args:
        candles: The bars.
        name: Name of the file they came from.
        choices: The options it was read with.
    """
    code = upload_code(name, choices)
    chosen = ChosenCandles(candles, data_id(candles), code=code, is_handed=True)
    copies().put(_HANDED, (name, chosen), caches.candles_bytes(candles))
    copies().drop(_UPLOADED)


def hand_over_file(name: str, content: bytes) -> None:
    """Use a file that another page holds as the upload of this session.

    Args:
        name: Name of the file.
        content: Its bytes.
    """
    copies().put(_UPLOADED, (name, content), len(content))
    copies().drop(_HANDED)
    for key in ("upload_clock", "upload_dates"):  # those of the file before
        st.session_state.pop(key, None)


def _handed() -> ChosenCandles | None:
    name, chosen = copies().get(_HANDED) or ("", None)
    if chosen is not None:
        st.caption(f"From the Training page: {plain(name)}. Upload another file to replace it.")
    return chosen


def choose_reading(
    prefix: str, *, on_change: Callable[[], None] | None = None, stays: bool = False
) -> CsvChoices:
    """The reading options that a file may leave open.

    Args:
        prefix: Prefix of the keys of the controls.
        on_change: Called when one of them changes.
        stays: Whether the options survive a visit of another page, as the file does; the link
            holds the clock then.
    """
    persist: Literal["session"] | None = "session" if stays else None
    with st.expander("Reading options", icon=":material/rule:"):
        clock = choose_file_clock(f"{prefix}_clock", on_change=on_change, stays=stays)
        order = st.selectbox(
            "Date order: 03/04/2024 is",
            list(DATE_ORDERS),
            None,
            key=f"{prefix}_dates",
            persist_state=persist,
            placeholder="Detect from the file",
            on_change=on_change,
        )
    return CsvChoices(clock=clock, day_first=None if order is None else DATE_ORDERS[order])


def ask_clock(source: ChosenCandles) -> None:
    """Ask for the clock of an uploaded file whose bars do not decide it; else nothing.

    The answer goes to the control below Reading options, which the link holds.
    """
    clocks = () if source.report is None else source.report.clocks
    if not clocks:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.warning(
            f"The times in this file have no time zone, and its bars fit {len(clocks)} time zones. "
            f"Chart and forecast assume **{plain(clock_title(clocks[0]))}**. Choose the time zone "
            "of the file.",
            icon=":material/schedule:",
        )
        st.selectbox(
            "Time zone of the file",
            clocks,
            None,
            key=_ASKED_CLOCK,
            format_func=clock_title,
            placeholder=f"{clock_title(clocks[0])}, assumed",
            on_change=_answer_clock,
            label_visibility="collapsed",
            width=260,
        )


def _answer_clock() -> None:
    st.session_state["upload_clock"] = st.session_state[_ASKED_CLOCK]
    _forget_origin()


def _forget_origin() -> None:
    """Start again from the last bar, as another series has other dates."""
    forget_link()
    for key in ("origin", "origin_time"):
        if key in st.session_state:
            st.session_state[key] = None


def is_waiting() -> bool:
    """Whether a fetch of candles is under way."""
    problem = st.session_state.get("source_problem")
    return isinstance(problem, JobStatus) and not problem.is_final


def show_no_candles() -> None:
    """The page without candles: the problem, or what to do."""
    problem = st.session_state.get("source_problem")
    if problem == NO_SYMBOL:
        st.title("Live markets", anchor=False)
        st.info("Choose a symbol or type one.", icon=":material/search:")
        return
    is_live = st.session_state.get("data") == TICKER
    if isinstance(problem, JobStatus) or (isinstance(problem, Busy) and is_live):
        st.title(plain(st.session_state[LATEST].symbol), anchor=False)
        show_fetching(problem)
        return
    st.title("Your own candles", anchor=False)
    if problem is not None:
        show_error(problem)
        st.caption("Correct the file and upload it again, or choose other data.")
    else:
        st.info(
            "Upload a file of candles: CSV, Excel, Parquet or Feather.",
            icon=":material/upload_file:",
        )
    st.markdown(
        "One row per bar, with a header row. Columns, in any order and case:\n\n"
        "| Column | Names |\n|---|---|\n"
        "| Time | timestamp, datetime, date, time |\n"
        "| Prices | open, high, low, close |\n"
        "| Volume, optional | volume, vol |\n"
        "| Turnover, optional | amount, turnover |\n\n"
        "A forecast needs at least 32 bars; a few hundred give a better one."
    )


def show_reading(source: ChosenCandles) -> None:
    """Facts about the bars, and how their file was read."""
    candles = source.candles
    first, last = candles.local_index[0], candles.local_index[-1]
    if source.report is not None:
        title, lines = "How the file was read", source.report.lines()
        n_left_out = source.report.rows_read - source.report.rows_kept
        if n_left_out:
            title += f": {n_left_out:,} of {counted(source.report.rows_read, 'row')} skipped"
    else:
        title = "About the data"
        lines = [f"Source: {candles.source}.", f"Calendar: {calendar_title(candles.calendar)}."]
    with st.expander(title, icon=":material/fact_check:"):
        st.markdown(
            f"{counted(len(candles), 'bar')} of {plain(candles.interval)} from "
            f"{plain(moment_text(first, candles))} to {plain(moment_text(last, candles))} "
            f"({plain(candles.zone)})."
        )
        st.markdown("\n".join(f"- {plain(line)}" for line in lines if line))


def sample_code(key: str) -> str:
    """Python that loads a bundled sample."""
    return f"""\
from data_sources.samples import load_sample

candles = load_sample({key!r})"""


def fetch_code(wanted: Wanted, candles: Candles) -> str:
    """Python that fetches bars of a live market, by their first and last time."""
    first, last = candles.frame.index[0], candles.frame.index[-1]
    return f"""\
from data_sources.registry import open_source

candles = open_source({wanted.source!r}).fetch(
    {wanted.symbol!r},
    interval={wanted.interval!r},
    adjusted={wanted.adjusted},
    start=pd.Timestamp({first.isoformat()!r}),
    end=pd.Timestamp({last.isoformat()!r}),
).candles"""


def upload_code(name: str, choices: CsvChoices) -> str:
    """Python that reads an uploaded file from the user's working directory."""
    return f"""\
from pathlib import Path

from data_sources.csv.reader import CsvChoices, read_csv

name = {name!r}
choices = CsvChoices(clock={choices.clock!r}, day_first={choices.day_first!r})
candles = read_csv(Path(name).read_bytes(), name, choices=choices).candles"""
