"""The current run on the page: progress, table, failed lines, downloads, ways to Forecast."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import streamlit as st

from data_sources.samples import SAMPLES as BUNDLED
from data_sources.source import Instrument
from kronos.calendars.clocks import clock_title
from kronos.errors import ForecastCancelled, KronosError
from kronos.follow import AlertRule
from kronos.serving.jobs import JobStatus
from pages.ui.chart.scene import price_decimals
from pages.ui.frame.excel import MIME
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import open_page
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import Format, counted, in_print
from pages.ui.inputs.candles import UPLOAD, hand_over_file
from pages.ui.inputs.instruments import SAMPLES, uploaded_content
from pages.ui.inputs.ticker import ticker_link
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.progress import progress_share, progress_text
from pages.ui.watchlist import session
from pages.ui.watchlist.follow import POLL_SECONDS as FOLLOW_SECONDS
from pages.ui.watchlist.follow import WatchFollower, can_follow, show_follow
from pages.ui.watchlist.session import WATCHLIST
from pages.ui.watchlist.text import (
    OPEN,
    counts_text,
    watch_csv,
    watch_json,
    watch_table,
    watch_workbook,
)
from pages.ui.watchlist.work import WatchRequest, WatchRun

POLL_SECONDS = 1.0
_FORMATS: dict[str, Format] = {
    "P(up)": "{:.0f}%",
    "±": "{:.1f}",
    "Expected move": "{:.2f}%",
    "80% low": "{:+.2f}%",
    "80% high": "{:+.2f}%",
    "Last close": lambda price: f"{price:,.{price_decimals(np.array([price]))}f}",
}
_DRAWN = "watch_drawn"
ROW_PIXELS, HEADER_PIXELS = 44, 38
MAX_PIXELS = 640


def show_state(
    run: WatchRun | None, request: WatchRequest | None, refusal: KronosError | None
) -> None:
    """The next action of the visitor, if there is one."""
    if refusal is not None:
        show_error(refusal)
    if request is None:
        st.info(
            "Paste or find symbols in the sidebar, or upload files of candles, then press Run.",
            icon=":material/playlist_add:",
        )
    elif run is None:
        st.info("Press Run to forecast this list.", icon=":material/play_arrow:")
    elif run.request.key != request.key:
        text = "The list or its settings changed: press Run. The table shows the previous run."
        st.info(text, icon=":material/sync:")
    elif WATCHLIST.is_cancelled():
        text = f"Cancelled: {counts_text(run.rows)}. Press Run to start again."
        st.info(text, icon=":material/cancel:")


def show_board(run: WatchRun, rules: tuple[AlertRule, ...] | None) -> None:
    """Progress and table, which refresh by themselves during the run and while it is followed.

    Args:
        run: The run.
        rules: Alerts of the lines; None where they are not followed.
    """
    moves = WATCHLIST.moving_status(run) is not None
    seconds = POLL_SECONDS if moves else None
    follower = None
    if rules is not None and not moves and can_follow(run):
        follower, seconds = session.follower_of(run), FOLLOW_SECONDS
    st.session_state[_DRAWN] = run.n_renewed
    st.fragment(_draw, run_every=seconds)(run, moves, follower, rules or ())


def _draw(
    run: WatchRun,
    was_moving: bool,
    follower: WatchFollower | None,
    rules: tuple[AlertRule, ...],
) -> None:
    # What stands below the table is drawn anew once no line moves any more.
    if follower is not None:
        follower.poll()
        if run.n_renewed != st.session_state.get(_DRAWN) and not follower.is_working:
            st.rerun()
        show_follow(follower, run, rules)
    status = WATCHLIST.moving_status(run)
    if was_moving and status is None:
        st.rerun()
    with st.container():
        if status is not None:
            _show_progress(run, status)
        elif run.error is not None and not isinstance(run.error, ForecastCancelled):
            show_error(run.error)
    _show_table(run, is_final=status is None, follows=follower is not None)


def _show_progress(run: WatchRun, status: JobStatus) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(_share(run, status), _progress_words(run, status))
        if st.button("Cancel", key="watch_cancel", icon=":material/close:", width="content"):
            WATCHLIST.cancel()
            st.rerun()


def _share(run: WatchRun, status: JobStatus) -> float:
    return run.n_final / len(run.rows) if run.n_final else progress_share(status)


def _progress_words(run: WatchRun, status: JobStatus) -> str:
    if status.state == "queued" or status.stage.startswith("Downloading"):
        return progress_text(status)
    wait = run.seconds_to_wait
    if wait > 0:
        return f"{counts_text(run.rows)}; rate limit of the source, next request in {wait:.0f} s"
    return counts_text(run.rows)


def _show_table(run: WatchRun, *, is_final: bool, follows: bool) -> None:
    table = watch_table(run.rows, run.request, is_final=is_final, follows=follows)
    number = st.column_config.NumberColumn
    horizon = run.request.horizon
    st.dataframe(
        in_print(table, _FORMATS),
        key="watch_table",
        hide_index=True,
        row_height=ROW_PIXELS,
        height=min(ROW_PIXELS * len(table) + HEADER_PIXELS, MAX_PIXELS),
        placeholder="",
        alt=f"Watchlist: forecasts of {len(table)} instruments",
        column_config={
            "Symbol": st.column_config.TextColumn(
                pinned=True, width=symbol_pixels(row.symbol for row in run.rows)
            ),
            OPEN: st.column_config.ButtonColumn(
                "Forecast", type="tertiary", key="watch_open", width=74,
                help="Open this line on the Forecast page.",
            ),
            "Fan": st.column_config.ImageColumn(
                f"Next {horizon} bars", width=156,
                help="The last closes, then the p10 to p90 band and the median.",
            ),
            "P(up)": number(
                width=64,
                help=meaning("P(up)", f"At bar {horizon}."),
            ),
            "±": number(
                width=46,
                help=f"Sampling error of P(up), in percentage points. {meaning('Sampling error')}",
            ),
            "Expected move": number(
                "Move", width=66,
                help=meaning("Expected move"),
            ),
            "80% low": number(width=80, help="p10 relative to the last close."),
            "80% high": number(width=80, help="p90 relative to the last close."),
            "Last close": number("Last price", width=92),
            "Bars": st.column_config.TextColumn("Interval", width=70),
            "Origin": st.column_config.DatetimeColumn(
                format="D MMM YYYY HH:mm", timezone="UTC", width=136,
                help="Open time of the newest complete bar, UTC: the forecast begins after it.",
            ),
            "Newest bar": st.column_config.DatetimeColumn(
                "Age", format="distance", width=104,
                help="Time since the newest complete bar opened.",
            ),
            "Change": st.column_config.TextColumn(
                width=250, help="Against the forecast of the bar before: P(up) in points.",
            ),
            "Next bar": st.column_config.DatetimeColumn(
                "Next close", format="distance", width=104,
                help="When the next bar of this line is complete.",
            ),
            "Status": st.column_config.TextColumn(width=180),
        },
    )  # fmt: skip
    _open_clicked(run)


def symbol_pixels(symbols: Iterable[str]) -> int:
    """Width of the column that holds these symbols or names of files."""
    longest = max(map(len, symbols), default=0)
    return min(max(88, 8 * longest + 24), 184)  # half of a phone at most


def _open_clicked(run: WatchRun) -> None:
    click = st.session_state.get("watch_open")
    if click is not None and 0 <= click.row < len(run.rows):
        _open(run, click.row)


def show_opening(run: WatchRun) -> None:
    """The way to Forecast without a mouse."""
    names = {
        f"{row.symbol} ({i + 1})": i for i, row in enumerate(run.rows) if row.state != "failed"
    }
    if not names:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Symbol to open", list(names), key="watch_line", width=220)
        if st.button("Open in Forecast", key="watch_open_line", icon=":material/open_in_new:"):
            _open(run, names[name])


def _open(run: WatchRun, i: int) -> None:
    titles = {entry.name: entry.title for entry in caches.models()}
    query = forecast_query(run, i, titles.get(run.request.model, ""))
    entry = run.request.entries[i]
    if entry.is_file:
        content = uploaded_content(entry)
        if content is None:
            st.error(
                f"The file {plain(entry.symbol)} is no longer in this session. Upload it again.",
                icon=":material/upload_file:",
            )
            return
        hand_over_file(entry.symbol, content)
    FORECAST.expect_visit()
    open_page("forecast", query)


def show_downloads(run: WatchRun) -> None:
    """The results as files."""
    stem = f"watchlist_{run.request.source}_{run.request.horizon}bars"
    with st.container(horizontal=True):
        for label, build, name, mime in (
            ("Table (CSV)", watch_csv, f"{stem}.csv", "text/csv"),
            ("Table (Excel)", watch_workbook, f"{stem}.xlsx", MIME),
            ("Everything (JSON)", watch_json, f"{stem}.json", "application/json"),
        ):
            st.download_button(
                label, partial(build, run), file_name=name, mime=mime, key=f"watch {label}",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip


def show_problems(run: WatchRun) -> None:
    """The errors of failed lines in full; a cell of the table may cut them."""
    failed = [row for row in run.rows if row.state == "failed"]
    if not failed:
        return
    is_all = len(failed) == len(run.rows)
    with st.expander(
        f"{counted(len(failed), 'line')} failed", expanded=is_all, icon=":material/error:"
    ):
        st.markdown("\n".join(f"- **{plain(row.symbol)}**: {plain(row.problem)}" for row in failed))


def forecast_query(run: WatchRun, i: int, model_title: str) -> dict[str, str]:
    """Link to a line on the Forecast page, with the settings of the run.

    Args:
        run: The run.
        i: Number of the line.
        model_title: Title of its model; empty for the default of the page.

    Returns:
        The parameters. Those of a file work in the session that holds the file.
    """
    entry, request = run.request.entries[i], run.request
    settings = {
        "horizon": str(request.horizon),
        "paths": str(request.sampling.sample_count),
        "seed": str(request.sampling.seed),
    }
    if model_title:
        settings["model"] = model_title
    if entry.is_file:
        clock = {"upload_clock": clock_title(entry.clock)} if entry.clock else {}
        return {"data": UPLOAD, **clock, **settings}
    if request.source != SAMPLES:
        summary = run.rows[i].summary
        symbol = entry.symbol if summary is None else summary.symbol
        return ticker_link(Instrument(request.source, symbol), entry.interval, **settings)
    titles = {(sample.symbol, sample.interval): sample.title for sample in BUNDLED.values()}
    return {"data": titles[entry.symbol, entry.interval], **settings}
