"""The widgets of the Synthetic page, and what it shows."""

from __future__ import annotations

import io
import re
import zipfile
from functools import partial

import pandas as pd
import streamlit as st

from kronos import models
from kronos.candles import Candles
from kronos.export import candles_csv
from kronos.serving.jobs import JobStatus
from kronos.synthetic.export import report_json
from kronos.synthetic.generate import MAX_BARS, MAX_SERIES, SyntheticPlan
from kronos.synthetic.realism import Realism
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.controls import LARGEST_SEED
from pages.ui.inputs.model_choices import choices
from pages.ui.jobs.progress import progress_text
from pages.ui.synthetic.figure import MOST_DRAWN, memory_figure, series_figure
from pages.ui.synthetic.work import Outcome, SyntheticRequest

SLOW_STEPS = 100_000
"""Bars in all from which a run takes minutes on a small machine."""


def choose(source: ChosenCandles) -> tuple[SyntheticRequest, bool]:
    """What is generated, and whether the model has to be fetched first.

    Raises:
        InvalidRequest: A value is out of range, which widgets prevent and links may not.
    """
    found = choices()
    title = st.selectbox("Model", list(found), key="syn_model", bind="query-params")
    model = found[title]
    st.caption(model.remark)
    bars = st.number_input(
        "Bars", 2, MAX_BARS, 300, 50, key="syn_bars", bind="query-params",
        help="Length of each series. Where it outgrows the model's window, the window slides.",
    )  # fmt: skip
    series = st.number_input(
        "Series", 1, MAX_SERIES, 1, key="syn_series", bind="query-params",
        help=meaning("Synthetic series", "All begin behind the last bar of the data."),
    )  # fmt: skip
    top_p = 1.0
    with st.expander("Sampling", icon=":material/tune:"):
        seed = st.number_input(
            "Seed", 0, LARGEST_SEED, 0, key="syn_seed", bind="query-params", help=meaning("Seed")
        )
        temperature = 1.0
        if models.draws_tokens(model.name):
            temperature = st.slider(
                "Temperature T", 0.05, 2.0, 1.0, 0.05, key="syn_T", bind="query-params",
                help=meaning("Temperature T"),
            )  # fmt: skip
            top_p = st.slider(
                "Top-p", 0.05, 1.0, 0.95, 0.05, key="syn_top_p", bind="query-params",
                help=meaning("Top-p"),
            )  # fmt: skip
    plan = SyntheticPlan(
        model=model.name,
        n_bars=int(bars),
        n_series=int(series),
        seed=int(seed),
        T=round(float(temperature), 4),
        top_p=round(float(top_p), 4),
    )
    if plan.n_bars * plan.n_series > SLOW_STEPS:
        st.caption("So many bars take a while on a small machine.")
    return SyntheticRequest(source.data_id, plan, model.revision), model.is_missing


def state_text(status: JobStatus) -> str:
    """What a run is doing, in one line."""
    if status.state == "queued" or not status.total or status.stage != "Making bars":
        return progress_text(status)
    return f"Making bars: {status.done:,} of {status.total:,} steps"


def show_result(outcome: Outcome, *, narrow: bool) -> None:
    """Series, comparison and files."""
    source, series, forecast = outcome.source, outcome.series, outcome.forecast
    n = len(series)
    st.caption(
        plain(
            f"{n} series of {len(series[0]):,} bars behind {source.symbol}, made up by "
            f"{forecast.model_name} from {forecast.n_context:,} bars. They never happened."
        )
    )
    if n > MOST_DRAWN:
        st.caption(f"The first {MOST_DRAWN} are drawn; the files have all.")
    config = {"displaylogo": False}
    figure = series_figure(source, series, compact=narrow)
    st.plotly_chart(figure, key="synthetic_chart", config=config)
    if outcome.report is None:
        st.info(
            "How real they look can be said of 60 bars and more, of the data and of a series.",
            icon=":material/straighten:",
        )
    else:
        _show_report(outcome.report, narrow=narrow)
    _show_downloads(outcome)


def measures_table(report: Realism) -> pd.DataFrame:
    """One row a measure of distribution and volume."""
    return pd.DataFrame(
        {
            "Measure": each.name,
            "Source": each.source,
            "Synthetic": each.synthetic,
            "Band low": each.low,
            "Band high": each.high,
            "Within": "yes" if each.is_inside else "no",
        }
        for each in report.measures.values()
    )


def _show_report(report: Realism, *, narrow: bool) -> None:
    st.subheader("How real they look", anchor=False)
    st.markdown(
        f"{report.n_inside} of {report.n_measures} measures lie within the band that block "
        "bootstraps of the source show by chance. A measure outside differs; one inside is not "
        "shown to. Quantiles count in standard deviations of the source's returns.",
        help=" ".join(meaning(name) for name in ("Block bootstrap", "Kurtosis", "KS distance")),
    )
    number = st.column_config.NumberColumn(format="%.3f")
    names = ("Source", "Synthetic", "Band low", "Band high")
    st.dataframe(
        measures_table(report), hide_index=True, key="synthetic_measures", height="content",
        column_config=dict.fromkeys(names, number),
        alt="Measures of the synthetic series beside those of the source",
    )  # fmt: skip
    n_outside = sum(not each.is_inside for each in report.memory)
    st.markdown(
        "**Memory of the size of moves**: autocorrelation of absolute returns. Real markets "
        f"remember for long; {n_outside} of {len(report.memory)} lags lie outside the band.",
        help=meaning("Memory of moves"),
    )
    figure = memory_figure(report, compact=narrow)
    st.plotly_chart(figure, key="memory_chart", config={"displaylogo": False})


def _show_downloads(outcome: Outcome) -> None:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", outcome.source.symbol).strip("-")[:40] or "candles"
    with st.container(horizontal=True):
        if len(outcome.series) == 1:
            st.download_button(
                "Series (CSV)", partial(candles_csv, outcome.series[0]), key="synthetic csv",
                file_name=f"{stem}-synthetic.csv", mime="text/csv", on_click="ignore",
                icon=":material/download:",
            )  # fmt: skip
        else:
            st.download_button(
                "All series (ZIP of CSV)", partial(_zipped, outcome.series, stem),
                key="synthetic zip", file_name=f"{stem}-synthetic.zip", mime="application/zip",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip
        if outcome.report is not None:
            st.download_button(
                "Comparison (JSON)", partial(report_json, outcome.report, outcome.forecast),
                key="synthetic json", file_name=f"{stem}-realism.json", mime="application/json",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip
    st.caption("A series can be uploaded on every page that takes a CSV file.")


def _zipped(series: list[Candles], stem: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, each in enumerate(series, 1):
            archive.writestr(f"{stem}-synthetic-{number}.csv", candles_csv(each))
    return packed.getvalue()
