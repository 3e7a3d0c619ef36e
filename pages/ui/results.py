"""The forecast on the page: heading, read-outs, chart, table, downloads."""

from __future__ import annotations

from functools import partial
from typing import get_args

import streamlit as st

from kronos import baselines, zoo
from kronos.calendars import calendar_title
from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui import exports, readouts
from pages.ui.chart import View, chart_description, fan_figure
from pages.ui.messages import plain
from pages.ui.source import ChosenCandles
from pages.ui.viewport import is_narrow

READOUT_PIXELS = 164
VIEW_LABELS: dict[View, str] = {"price": "Price", "percent": "% from origin", "log": "Log price"}


def show_heading(candles: Candles, forecast: Forecast | None) -> None:
    """Instrument and horizon, and where the bars end."""
    ahead = f": next {forecast.horizon} bars of {candles.interval}" if forecast else ""
    st.title(f"{plain(candles.symbol)}{plain(ahead)}", anchor=False)


def show_readouts(candles: Candles, forecast: Forecast) -> None:
    """The main numbers in a row, and one for a level of the reader's choice."""
    numbers = readouts.main_readouts(candles, forecast)
    with st.container(horizontal=True, gap="small", key="readouts"):
        for number in numbers:
            _show(number)
        _show_touch(candles, forecast)


def show_chart(candles: Candles, forecast: Forecast | None) -> None:
    """The chart under its view control."""
    view = st.segmented_control(
        "View",
        list(get_args(View)),
        default="price",
        required=True,
        format_func=lambda name: VIEW_LABELS[name],
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    narrow = is_narrow()
    figure = fan_figure(candles, forecast, view=view or "price", compact=narrow)
    st.plotly_chart(
        figure,
        key="fan",
        alt=chart_description(candles, forecast),
        config={
            "displaylogo": False,
            # The wheel scrolls the page, of which the chart fills most; the buttons zoom.
            "scrollZoom": False,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": "fan-chart", "scale": 2},
        },
    )
    if narrow and forecast is not None:
        st.caption("Bands: 80% (p10 to p90) and 50% (p25 to p75) of paths. Thick line: median.")


def show_outcome(candles: Candles, forecast: Forecast) -> None:
    """Hit or miss, where it is known."""
    outcome = readouts.outcome_text(candles, forecast)
    if outcome is not None:
        icon = ":material/check_circle:" if "a hit" in outcome else ":material/cancel:"
        st.info(plain(outcome), icon=icon)


def show_cautions(source: ChosenCandles, forecast: Forecast) -> None:
    """What limits the reading of the fan."""
    for note in caution_notes(source, forecast):
        st.caption(f":material/info: {plain(note)}")


def caution_notes(source: ChosenCandles, forecast: Forecast) -> list[str]:
    """What a reader of this fan must know, in words."""
    is_bundled = forecast.model_name == zoo.BUNDLED
    is_published = not is_bundled and baselines.find(forecast.model_name) is None
    notes = readouts.cautions(source.candles, forecast, is_published=is_published)
    if is_bundled and source.report is None:
        notes.append(
            "The bundled model may have been trained on bars like these samples: a demonstration, "
            "not evidence of skill."
        )
    return notes


@st.fragment
def show_details(source: ChosenCandles, forecast: Forecast) -> None:
    """Provenance, quantile table and downloads, one tab each; only the open one is made."""
    titles = ["How it was made", "Quantiles", "Download"]
    made_tab, table_tab, download_tab = st.tabs(titles, key="details", bind="query-params")
    if made_tab.open:
        with made_tab, st.container(horizontal=True, gap="medium"):
            reason = calendar_title(source.candles.calendar)
            if source.report is not None and source.report.calendar:
                reason = source.report.calendar
            for fact in readouts.provenance(source.candles, forecast, reason):
                _show(fact)
    elif table_tab.open:
        with table_tab:
            _show_table(source.candles, forecast)
    else:
        with download_tab:
            _show_downloads(source.candles, forecast)


def _show(number: readouts.Readout) -> None:
    with st.container(width=READOUT_PIXELS, gap=None):
        st.caption(plain(number.label))
        st.markdown(f"**{plain(number.value)}**")
        if number.remark:
            st.caption(plain(number.remark))


def _show_touch(candles: Candles, forecast: Forecast) -> None:
    scene_decimals = readouts.quantile_table(candles, forecast)[1].decimals
    start = round(float(forecast.quantile((0.90,))[0, -1]), scene_decimals)
    with st.container(width=READOUT_PIXELS, gap=None):
        level = st.number_input(
            "Touches the level",
            min_value=0.0,
            value=start,
            step=10.0**-scene_decimals,
            format=f"%.{scene_decimals}f",
            key=f"level {forecast.context_hash} {forecast.horizon}",
            help="Share of paths whose high-low range reaches this price within the horizon. It "
            "begins with p90 at the horizon.",
        )
        number = readouts.touch_readout(forecast, float(level))
        st.markdown(f"**{plain(number.value)}** :small[{plain(number.remark)}]")


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


def _show_downloads(candles: Candles, forecast: Forecast) -> None:
    stem = exports.file_stem(candles, forecast)
    files = (
        ("Quantiles (CSV)", exports.quantiles_csv, f"{stem}_quantiles.csv", "text/csv"),
        ("Paths (CSV)", exports.paths_csv, f"{stem}_paths.csv", "text/csv"),
        ("Everything (JSON)", exports.forecast_json, f"{stem}.json", "application/json"),
    )
    with st.container(horizontal=True):
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
        "The JSON holds the quantiles, every setting, the seed, the model's revision and the "
        "digest of the context: enough to repeat the forecast exactly."
    )
