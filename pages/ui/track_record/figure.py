"""The charts of the track record. Pure functions to Plotly figures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.ui.chart import style
from pages.ui.chart.sheet import Sheet
from pages.ui.track_record.study import Rival

__all__ = [
    "coverage_figure", "coverage_time_figure", "pit_figure", "reliability_figure", "skill_figure",
]  # fmt: skip

HEIGHT = 320
_BAND = 0.8
_REFERENCE = {"color": style.NEUTRAL, "width": 1.2, "dash": "dash"}


def reliability_figure(table: pd.DataFrame) -> go.Figure:
    """Share of outcomes below each quantile over its level, beside the diagonal."""
    sheet = _sheet("quantile level", "share of outcomes below")
    sheet.trace(
        "scatter", x=[0, 1], y=[0, 1], mode="lines", line=_REFERENCE, name="calibrated",
        hoverinfo="skip",
    )  # fmt: skip
    sheet.trace(
        "scatter", x=table["level"], y=table["share"], mode="lines+markers", name="this model",
        line={"color": style.FAN, "width": 2}, marker={"size": 7, "color": style.FAN},
        hovertemplate="p%{customdata:g}: %{y:.1%} of outcomes below<extra></extra>",
        customdata=100 * table["level"],
    )  # fmt: skip
    for axis in (sheet.time_axis(), sheet.price_axis()):
        axis.update(range=[-0.02, 1.02], tickformat=".0%", nticks=6)
    return sheet.figure()


def pit_figure(shares: np.ndarray) -> go.Figure:
    """Histogram of the PIT: ten bins, each with a tenth of the outcomes if calibrated."""
    n = len(shares)
    sheet = _sheet("position in the fan, bottom to top", "share of outcomes")
    sheet.trace(
        "bar", x=(np.arange(n) + 0.5) / n, y=shares, width=0.9 / n, name="this model",
        marker={"color": style.faded(style.FAN, 0.55), "line": {"color": style.FAN, "width": 1}},
        customdata=[f"{i / n:.0%} to {(i + 1) / n:.0%}" for i in range(n)],
        hovertemplate="%{customdata}: %{y:.1%} of outcomes<extra></extra>",
    )  # fmt: skip
    sheet.trace(
        "scatter", x=[0, 1], y=[1 / n, 1 / n], mode="lines", line=_REFERENCE, name="calibrated",
        hoverinfo="skip",
    )  # fmt: skip
    sheet.time_axis().update(range=[0, 1], tickformat=".0%", nticks=6)
    sheet.price_axis().update(rangemode="tozero", tickformat=".0%", nticks=6)
    return sheet.figure()


def coverage_figure(table: pd.DataFrame, *, title: str) -> go.Figure:
    """Coverage of the 80% band by distance, with two standard errors to both sides.

    Args:
        table: Of `kronos.evaluation.track_record.coverage_by`.
        title: Title of the horizontal axis.
    """
    sheet = _sheet(title, "80% coverage")
    low, high = (table["coverage"] + sign * 2 * table["error"] for sign in (-1, 1))
    _draw_coverage(sheet, list(table.index), low.clip(0, 1), high.clip(0, 1), "± 2 standard errors")
    sheet.trace(
        "scatter", x=list(table.index), y=table["coverage"], mode="lines+markers",
        name="this model", line={"color": style.FAN, "width": 2},
        marker={"size": 6, "color": style.FAN}, customdata=table["n"],
        hovertemplate="%{x}: %{y:.1%} of %{customdata:,} outcomes<extra></extra>",
    )  # fmt: skip
    places = list(table.index)
    if places:
        sheet.trace(
            "scatter", x=[places[0], places[-1]], y=[_BAND, _BAND], mode="lines", line=_REFERENCE,
            name="80%", hoverinfo="skip",
        )  # fmt: skip
    sheet.time_axis().update(nticks=8)
    lowest = float(np.nanmin([0.6, *low]))
    sheet.price_axis().update(range=[max(lowest - 0.02, 0), 1.0], tickformat=".0%", nticks=6)
    return sheet.figure()


def coverage_time_figure(table: pd.DataFrame) -> go.Figure:
    """Smoothed coverage of the 80% band over time, with its 95% interval.

    Args:
        table: Of `kronos.evaluation.track_record.smoothed_coverage`.
    """
    sheet = _sheet("", "80% coverage")
    dates = [f"{stamp:%Y-%m-%d}" for stamp in table.index]
    for part in _without_gaps(table):
        places = [dates[i] for i in part]
        rows = table.iloc[part]
        is_named = not sheet.traces  # the legend names the first part alone
        _draw_coverage(sheet, places, rows["low"], rows["high"], "95% interval", is_named)
    sheet.trace(
        "scatter", x=dates, y=table["coverage"], connectgaps=False, name="this model, smoothed",
        mode="lines" if len(table) > 1 else "markers", line={"color": style.FAN, "width": 2.4},
        marker={"size": 7, "color": style.FAN},
        hovertemplate="%{x|%d %b %Y}: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    if dates:
        margin = max((table.index[-1] - table.index[0]) * 0.03, pd.Timedelta(days=3))
        ends = (table.index[0] - margin, table.index[-1] + margin)
        span = [f"{end:%Y-%m-%d}" for end in ends]
        sheet.trace(
            "scatter", x=span, y=[_BAND, _BAND], mode="lines", line=_REFERENCE, name="80%",
            hoverinfo="skip",
        )  # fmt: skip
        sheet.time_axis().update(range=span)
    sheet.time_axis().update(type="date", tickangle=0, nticks=6, tickformatstops=style.DATES)
    lowest = float(np.nanmin([0.6, *table["low"], *table["coverage"]]))
    sheet.price_axis().update(range=[max(lowest - 0.02, 0), 1.01], tickformat=".0%", nticks=6)
    return sheet.figure()


def _without_gaps(table: pd.DataFrame) -> list[np.ndarray]:
    """Places of each run of rows that have an interval."""
    known = np.flatnonzero(table["low"].notna())
    return [part for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(part)]


def _draw_coverage(
    sheet: Sheet, places: Sequence[Any], low: pd.Series, high: pd.Series, name: str,
    is_named: bool = True,
) -> None:  # fmt: skip
    """The interval around a line of coverage."""
    sheet.trace(
        "scatter", x=places, y=low, mode="lines", line={"width": 0}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    sheet.trace(
        "scatter", x=places, y=high, mode="lines", line={"width": 0}, fill="tonexty",
        fillcolor=style.faded(style.FAN, 0.2), name=name, hoverinfo="skip", showlegend=is_named,
    )  # fmt: skip


def skill_figure(rivals: Sequence[Rival], *, compact: bool = False) -> go.Figure:
    """CRPS skill against each rival, with its 95% confidence interval."""
    sheet = _sheet("CRPS skill" if compact else "CRPS skill: above 0 the model is better", "")
    titles = [_wrapped(rival.title, compact) for rival in rivals]
    values = np.array([rival.skill.skill for rival in rivals])
    low = np.array([rival.skill.low for rival in rivals])
    high = np.array([rival.skill.high for rival in rivals])
    sheet.shape(
        "line", x0=0, x1=0, y0=0, y1=1, xref="x", yref="paper", layer="below",
        line={"color": style.NEUTRAL, "width": 1.2, "dash": "dash"},
    )  # fmt: skip
    sheet.trace(
        "scatter", x=values, y=titles, mode="markers", showlegend=False,
        marker={"size": 10, "color": style.FAN, "symbol": "diamond"},
        error_x={
            "type": "data", "symmetric": False, "array": np.nan_to_num(high - values),
            "arrayminus": np.nan_to_num(values - low), "color": style.FAN, "thickness": 1.6,
        },
        customdata=np.column_stack([low, high]),
        hovertemplate="%{y}: %{x:+.1%} (%{customdata[0]:+.1%} to %{customdata[1]:+.1%})"
        "<extra></extra>",
    )  # fmt: skip
    sheet.time_axis().update(tickformat="+.0%", nticks=4 if compact else 6)
    sheet.time_axis()["labelalias"] = {"+0%": "0%"}
    sheet.price_axis().update(autorange="reversed", automargin=True, showgrid=False)
    sheet.layout["height"] = 90 + 44 * max(len(rivals), 1)
    sheet.layout["hovermode"] = "closest"
    return sheet.figure()


def _sheet(x_title: str, y_title: str) -> Sheet:
    sheet = Sheet()
    grid = {"zeroline": False, "ticks": "", "showgrid": True, "fixedrange": True}
    sheet.time_axis().update(grid, title={"text": x_title, "standoff": 8}, automargin=True)
    sheet.price_axis().update(grid, title={"text": y_title, "standoff": 8}, automargin=True)
    sheet.layout.update(
        style.page_layout(),
        height=HEIGHT,
        margin={"l": 8, "r": 12, "t": 34, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        hovermode="closest",
        dragmode=False,
    )
    return sheet


def _wrapped(title: str, compact: bool) -> str:
    text = html.escape(title)
    return text.replace(" ", "<br>", 1) if compact and len(title) > 14 else text
