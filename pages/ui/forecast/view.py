"""The Forecast page: the state of its request, and the details below the chart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from kronos import export
from kronos.calendars import calendar_title
from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.forecast import Forecast
from kronos.request import ForecastRequest
from kronos.serving.jobs import JobStatus
from pages.ui.chart.figure import Look
from pages.ui.fan import exports, readouts
from pages.ui.fan.exports import events_code
from pages.ui.fan.results import READOUT_PIXELS, show_number
from pages.ui.fan.risk import show_risk
from pages.ui.fan.tokens import show_tokens
from pages.ui.forecast.lines import Lines
from pages.ui.frame.excel import MIME
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.picture import picture_button
from pages.ui.frame.text import DISCLAIMER, Format, counted, in_print, table_pixels
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import added_events, own_file
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.progress import (
    look_again_in,
    poll_seconds,
    progress_share,
    progress_text,
)
from pages.ui.jobs.settings import ForecastSettings


def show_state(
    settings: ForecastSettings,
    source: ChosenCandles,
    status: JobStatus | None,
    refusal: KronosError | None,
    shown: Forecast | None,
) -> None:
    """One line about the request: running, failed, cancelled, or out of date.

    Where the page still shows an older forecast below, the line says so.
    """
    older = f" Below is the previous forecast: {_settings(shown)}." if shown else ""
    if refusal is not None:
        show_error(refusal)
    if not FORECAST.concern(source.data_id):
        st.info("Press Run to forecast these candles.", icon=":material/play_arrow:")
    elif FORECAST.is_cancelled():
        # Nothing is missing where the controls describe the forecast that is shown.
        if shown is None or FORECAST.shown_settings() != (settings,):
            st.info(f"Cancelled. Press Run to start again.{older}", icon=":material/cancel:")
    elif status is None:
        st.info("This forecast has expired. Press Run.", icon=":material/history:")
    elif status.error is not None:
        show_error(status.error)
        if shown:
            st.caption(older.strip())
    elif status.state == "cancelled":
        text = f"Cancelled. Press Run to start again.{older}"
        st.info(text, icon=":material/cancel:")
    elif not status.is_final:
        st.fragment(show_progress, run_every=poll_seconds([status]))(source.data_id)
        if shown:
            st.caption(older.strip())
    elif [run.settings for run in FORECAST.runs()] != [settings]:
        st.info(f"Settings changed: press Run.{older}", icon=":material/sync:")


def _settings(forecast: Forecast) -> str:
    return plain(
        f"{forecast.model_name}, {counted(forecast.horizon, 'bar')}, {forecast.n_paths} paths, "
        f"seed {forecast.parameters.seed}"
    )


def show_progress(data_id: str) -> None:
    """Place in line, or steps and time left, with Cancel. Reruns the page at the end.

    It stands outside the chart: a figure that is drawn anew loses its zoom.
    """
    status = next(iter(FORECAST.advance(data_id)), None)
    if status is None or status.is_final:
        st.rerun()
    look_again_in(poll_seconds([status]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(progress_share(status), progress_text(status))
        st.button(
            "Cancel", key="cancel", on_click=FORECAST.cancel, icon=":material/close:",
            width="content",
        )  # fmt: skip


def show_panel(
    source: ChosenCandles,
    forecast: Forecast | None,
    request: ForecastRequest | None,
    look: Look,
    lines: Lines,
) -> None:
    """The details beside the chart."""
    if forecast is not None and request is not None:
        show_details(source, forecast, request, look, lines)
    st.caption(DISCLAIMER)


@st.fragment
def show_details(
    source: ChosenCandles,
    forecast: Forecast,
    request: ForecastRequest,
    look: Look,
    lines: Lines,
) -> None:
    """Risk, quantiles, provenance, tokens and downloads in tabs; the open one is built.

    Args:
        source: The bars.
        forecast: The fan.
        request: What it was made of.
        look: The look of the chart on the page.
        lines: Lines over the fan, for the table and the files.
    """
    titles = ["Risk", "Quantiles", "How it was made", "Tokens", "Download"]
    risk_tab, table_tab, made_tab, tokens_tab, download_tab = st.tabs(
        titles, key="details", bind="query-params"
    )
    if risk_tab.open:
        with risk_tab:
            show_risk(source.candles, forecast, lines.implied)
    elif made_tab.open:
        with made_tab, st.container(horizontal=True, gap="small"):
            reason = calendar_title(source.candles.calendar)
            if source.report is not None and source.report.calendar:
                reason = source.report.calendar
            for fact in readouts.provenance(source.candles, forecast, reason):
                show_number(fact)
    elif table_tab.open:
        with table_tab:
            _show_table(source.candles, forecast, lines.levels)
    elif tokens_tab.open:
        with tokens_tab:
            show_tokens(source.candles, request)
    else:
        with download_tab:
            _show_downloads(source.candles, forecast, look, lines)
            _show_python(source, forecast, lines)


def _show_python(source: ChosenCandles, forecast: Forecast, lines: Lines) -> None:
    code = exports.python_snippet(
        source.code,
        forecast,
        events=events_code(own_file()[0], added_events()),
        currency=source.currency,
        levels=lines.levels,
        corridor=lines.corridor if forecast.n_paths >= 3 else None,
        implied=lines.implied,
    )
    st.caption("In Python, where Kronos Fan is installed; it repeats this forecast path by path:")
    st.code(code, language="python")


def _show_table(candles: Candles, forecast: Forecast, levels: Sequence[float]) -> None:
    table, scene = readouts.quantile_table(candles, forecast, levels)
    prices = [name for name in table.columns if name not in ("bar", "time", "P(up)")]
    formats: dict[str, Format] = {**dict.fromkeys(prices, scene.price_text), "P(up)": "{:.0f}%"}
    st.dataframe(in_print(table, formats), hide_index=True, height=table_pixels(len(table), 420))


def _show_downloads(candles: Candles, forecast: Forecast, look: Look, lines: Lines) -> None:
    corridor = lines.corridor if forecast.n_paths >= 3 else None
    build_csv, build_json = (
        partial(build, levels=lines.levels, corridor=corridor, implied=lines.implied)
        for build in (export.quantiles_csv, export.forecast_json)
    )
    stem = exports.file_stem(candles, forecast)
    files = (
        (
            "Quantiles (CSV)",
            build_csv,
            f"{stem}_quantiles.csv",
            "text/csv",
        ),
        ("Paths (CSV)", export.paths_csv, f"{stem}_paths.csv", "text/csv"),
        (
            "Tables (Excel)",
            partial(
                exports.forecast_workbook,
                levels=lines.levels,
                corridor=corridor,
                implied=lines.implied,
            ),
            f"{stem}.xlsx",
            MIME,
        ),
        ("Chart (HTML)", partial(exports.chart_html, look=look), f"{stem}.html", "text/html"),
        (
            "Everything (JSON)",
            build_json,
            f"{stem}.json",
            "application/json",
        ),
    )
    with st.container(horizontal=True):
        with st.container(width=READOUT_PIXELS):
            picture_button(
                "Chart (PNG)", chart="fan", name=f"{stem}.png", foot=exports.foot_line(forecast)
            )
        for label, build, name, mime in files:
            st.download_button(
                label,
                partial(build, candles, forecast),
                file_name=name,
                mime=mime,
                key=f"download {label}",
                on_click="ignore",
                icon=":material/download:",
            )
    st.caption(
        "PNG: the chart on the screen. HTML: an interactive chart that works offline. JSON: all "
        "that is needed to repeat the forecast.",
        help="The JSON contains the quantiles, every setting, the seed, the revision of the model "
        "and the digests of context and events.",
    )
