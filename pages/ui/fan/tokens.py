"""How a model sees candles: the bars that its tokens decode to, beside the real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.forecasters.reconstruction import CodeUse, Reconstruction
from kronos.request import ForecastRequest
from kronos.serving.requests import ReconstructionRequest
from pages.ui.chart import style
from pages.ui.chart.sheet import Sheet
from pages.ui.chart.view import show_figure
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.text import bar_time
from pages.ui.jobs import queues

PATIENCE = 20.0
"""Seconds that the page waits for an engine at work on other forecasts."""
N_SHOWN = 48
HEIGHT = 340
FIELDS = ("Open", "High", "Low", "Close")
KINDS = ("s1 alone", "s1 and s2")


def show_tokens(candles: Candles, request: ForecastRequest) -> None:
    """The bars that a forecast read, as its model's tokens keep them.

    Args:
        candles: The bars of the page.
        request: The forecast, whose context is shown.
    """
    service = queues.forecasts()
    try:
        facts = service.facts(request.model)
        bars = request.context(facts)
        question = ReconstructionRequest(request.model, request.revision, bars)
        with st.spinner("Reading the tokens ..."):
            made: Reconstruction = service.run(question, deadline=PATIENCE, keep=True)
    except KronosError as error:
        show_error(error)
        return
    end = candles.position_of(request.origin) + 1
    times = [
        bar_time(stamp, candles.interval)
        for stamp in candles.local_index[end - len(made.bars) : end]
    ]
    show_figure(tokens_figure(made, times), key="tokens_chart")
    table = errors_table(made)
    number = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(table, hide_index=True, column_config=dict.fromkeys(table.columns[1:], number))
    st.caption(
        "Errors of prices are in sigmas of a bar, the root mean square of its log-return; those of "
        f"volume in mean volumes. {plain(codes_text(made))}",
        help="A token pair stands for one bar: s1 is its coarse half, s2 refines it. Perplexity "
        "is the number of codes that would be as varied if all were equally frequent.",
    )


def tokens_figure(made: Reconstruction, times: list[str]) -> go.Figure:
    """The last bars as candles, and the closes that s1 alone and both halves decode to."""
    sheet = Sheet()
    bars, labels = made.bars[-N_SHOWN:], times[-N_SHOWN:]
    columns = dict(zip(("open", "high", "low", "close"), bars[:, :4].T, strict=True))
    sheet.trace(
        "candlestick", x=labels, **columns, name="real bars", whiskerwidth=0,
        increasing={"line": {"color": style.UP, "width": 1}, "fillcolor": style.CLEAR},
        decreasing={"line": {"color": style.DOWN, "width": 1}, "fillcolor": style.DOWN},
        hoverinfo="skip",
    )  # fmt: skip
    for name, part, symbol, colour in (
        (KINDS[0], made.coarse, "circle-open", style.ACTUAL),
        (KINDS[1], made.full, "x-thin-open", style.FAN),
    ):
        sheet.trace(
            "scatter", x=labels, y=part[-N_SHOWN:, 3], mode="markers", name=f"close from {name}",
            marker={"size": 7, "symbol": symbol, "color": colour, "line": {"width": 1.6}},
            hovertemplate=f"%{{x}}: %{{y:,.6~g}}<extra>{name}</extra>",
        )  # fmt: skip
    grid = {"zeroline": False, "ticks": "", "fixedrange": True, "automargin": True}
    sheet.time_axis().update(grid, type="category", nticks=3, tickangle=0, showgrid=False)
    sheet.time_axis()["rangeslider"] = {"visible": False}
    sheet.price_axis().update(grid, nticks=7, tickformat=",.6~g")
    sheet.layout.update(
        style.page_layout(),
        height=HEIGHT,
        margin={"l": 8, "r": 12, "t": 34, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hovermode="x",
        dragmode=False,
    )
    return sheet.figure()


def errors_table(made: Reconstruction) -> pd.DataFrame:
    """Median and 95th percentile of the errors: prices in sigmas of a bar, volume in means."""
    parts = {KINDS[0]: made.coarse, KINDS[1]: made.full}
    rows = [
        {"Field": field}
        | _spread({name: made.price_errors(part)[:, i] for name, part in parts.items()})
        for i, field in enumerate(FIELDS)
    ]
    volumes = {name: made.volume_errors(part) for name, part in parts.items()}
    if not np.isnan(volumes[KINDS[0]]).all():
        rows.append({"Field": "Volume"} | _spread(volumes))
    return pd.DataFrame(rows)


def codes_text(made: Reconstruction) -> str:
    """Size and use of both codebooks."""
    n = len(made.bars)
    return f"These {n} bars use {_use(made.s1)} for s1 and {_use(made.s2)} for s2."


def _use(use: CodeUse) -> str:
    return f"{use.distinct:,} of {use.size:,} codes (perplexity {use.perplexity:.0f})"


def _spread(errors: dict[str, np.ndarray]) -> dict[str, float]:
    found = {}
    for name, values in errors.items():
        known = values[~np.isnan(values)]
        for title, level in (("median", 0.5), ("95%", 0.95)):
            value = float(np.quantile(known, level)) if len(known) else float("nan")
            found[f"{name}: {title}"] = round(value, 4)
    return found
