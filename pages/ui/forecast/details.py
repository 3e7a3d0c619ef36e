"""What stands below the chart: how it was made, the table, files, and the forecast as Python."""

from __future__ import annotations

from functools import partial

import streamlit as st

from kronos import export
from kronos.calendars import calendar_title
from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui.chart.figure import Look
from pages.ui.fan import exports, readouts
from pages.ui.fan.event_code import events_code
from pages.ui.fan.results import READOUT_PIXELS, show_number
from pages.ui.frame.picture import picture_button
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.market_events import currency_of
from pages.ui.inputs.own_events import added_events, own_file


@st.fragment
def show_details(source: ChosenCandles, forecast: Forecast, look: Look) -> None:
    """Provenance, quantile table and downloads, one tab each; only the open one is made.

    Args:
        source: The bars.
        forecast: The fan.
        look: The look of the chart on the page.
    """
    titles = ["How it was made", "Quantiles", "Download", "Python"]
    made_tab, table_tab, download_tab, python_tab = st.tabs(
        titles, key="details", bind="query-params"
    )
    if made_tab.open:
        with made_tab, st.container(horizontal=True, gap="medium"):
            reason = calendar_title(source.candles.calendar)
            if source.report is not None and source.report.calendar:
                reason = source.report.calendar
            for fact in readouts.provenance(source.candles, forecast, reason):
                show_number(fact)
    elif table_tab.open:
        with table_tab:
            _show_table(source.candles, forecast)
    elif download_tab.open:
        with download_tab:
            _show_downloads(source.candles, forecast, look)
    else:
        with python_tab:
            code = exports.python_snippet(
                source.code,
                forecast,
                events=events_code(own_file()[0], added_events()),
                currency=currency_of(source),
            )
            st.code(code, language="python")
            st.caption("Makes the same forecast, path by path, where Kronos Fan is installed.")


def _show_table(candles: Candles, forecast: Forecast) -> None:
    table, scene = readouts.quantile_table(candles, forecast)
    prices = [name for name in table.columns if name not in ("bar", "time", "P(up)")]
    number = st.column_config.NumberColumn(format=f"%.{scene.decimals}f")
    st.dataframe(
        table,
        hide_index=True,
        height=min(36 * (len(table) + 1), 420),
        column_config={
            **dict.fromkeys(prices, number),
            "P(up)": st.column_config.NumberColumn(format="%.0f%%"),
        },
    )


def _show_downloads(candles: Candles, forecast: Forecast, look: Look) -> None:
    stem = exports.file_stem(candles, forecast)
    files = (
        ("Quantiles (CSV)", export.quantiles_csv, f"{stem}_quantiles.csv", "text/csv"),
        ("Paths (CSV)", export.paths_csv, f"{stem}_paths.csv", "text/csv"),
        ("Chart (HTML)", partial(exports.chart_html, look=look), f"{stem}.html", "text/html"),
        ("Everything (JSON)", export.forecast_json, f"{stem}.json", "application/json"),
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
        "The PNG is the chart as it is on the screen; the HTML is one that can be zoomed, without "
        "a network. The JSON holds the quantiles, every setting, the seed, the model's "
        "revision and the digests of context and events: enough to repeat the forecast exactly."
    )
