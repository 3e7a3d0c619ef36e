"""The split of the bars, and the curves of a run. Pure functions to Plotly figures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from textwrap import wrap

import pandas as pd
import plotly.graph_objects as go

from pages.ui.chart import style
from pages.ui.training.plan import Series
from pages.ui.training.text import Line, of_split, scores

MAX_BARS = 12
"""Series in the chart; more are not legible."""
CURVE_HEIGHT = 270
_DAY_MS = 86_400_000.0


def split_figure(series: Sequence[Series], cut_off: pd.Timestamp) -> go.Figure:
    """A bar for every series, filled before the cut-off and hatched after it."""
    shown = series[:MAX_BARS]
    # Several lines, because a long name leaves no room for the bars on a narrow screen.
    names = ["<br>".join(map(html.escape, wrap(each.title[:40], 20))) for each in shown]
    figure = go.Figure()
    for label, shade, pattern, side in (
        ("training", style.FAN, "", 0),
        ("validation", style.ACTUAL, "/", 1),
    ):
        starts, widths, where = [], [], []
        for name, each in zip(names, shown, strict=True):
            index = each.candles.frame.index
            first, last = index[0], index[-1] + each.candles.width
            low, high = ((first, min(last, cut_off)), (max(first, cut_off), last))[side]
            if high > low:
                starts.append(low.isoformat())
                widths.append((high - low).total_seconds() * 1000)
                where.append(name)
        figure.add_bar(
            orientation="h", y=where, x=widths, base=starts, name=label,
            marker={"color": style.faded(shade, 0.85), "pattern": {"shape": pattern}},
            hovertemplate=f"%{{y}}: {label}<extra></extra>", width=0.6,
        )  # fmt: skip
    figure.update_layout(
        **style.page_layout(), barmode="overlay", height=100 + 34 * len(shown), showlegend=True,
        margin={"l": 8, "r": 12, "t": 30, "b": 40},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0.0},
        xaxis={
            "type": "date", "showgrid": True, "fixedrange": True, "nticks": 6,
            "tickformatstops": style.DATES,
        },
        yaxis={"autorange": "reversed", "automargin": True, "fixedrange": True, "showgrid": False},
    )  # fmt: skip
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def loss_figure(lines: Sequence[Line], n_steps: int) -> go.Figure:
    """Training loss by step."""
    trained = of_split(lines, "train")
    figure = _figure(n_steps)
    figure.add_scatter(
        x=[line["step"] for line in trained], y=[line["loss"] for line in trained],
        mode="lines+markers", name="training loss", line={"color": style.FAN, "width": 2},
        marker={"size": 5}, hovertemplate="%{y:.4f}<extra>training loss</extra>",
    )  # fmt: skip
    return figure


def score_figure(lines: Sequence[Line], n_steps: int) -> go.Figure:
    """Validation CRPS by step, with the base, the volatility cone and the best so far."""
    found = scores(lines)
    figure = _figure(n_steps)
    steps, values = [line["step"] for line in found], [line["crps"] for line in found]
    figure.add_scatter(
        x=steps, y=values, mode="lines+markers", name="this run",
        line={"color": style.ACTUAL, "width": 2}, marker={"size": 7, "symbol": "square"},
        hovertemplate="%{y:.4f}<extra>this run</extra>",
    )  # fmt: skip
    if found:
        for name, value, shade, dash in (
            ("base", values[0], style.NEUTRAL, "dot"),
            ("volatility cone", found[-1]["cone_crps"], style.MACRO, "dash"),
        ):
            figure.add_scatter(
                x=[0, n_steps], y=[value, value], mode="lines", name=name,
                line={"color": shade, "width": 2, "dash": dash},
                hovertemplate=f"%{{y:.4f}}<extra>{name}</extra>",
            )  # fmt: skip
        best = min(found, key=lambda line: float(line["crps"]))
        figure.add_scatter(
            x=[best["step"]], y=[best["crps"]], mode="markers", name="best so far",
            marker={"size": 15, "symbol": "star", "color": style.UP},
            hovertemplate="%{y:.4f}<extra>best so far</extra>",
        )  # fmt: skip
    return figure


def _figure(n_steps: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        **style.page_layout(), height=CURVE_HEIGHT, showlegend=True,
        margin={"l": 8, "r": 12, "t": 40, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0.0},
        xaxis={
            "title": {"text": "step"}, "range": [-0.03 * n_steps, 1.03 * n_steps],
            "zeroline": False, "rangemode": "tozero", "automargin": True,
        },
        yaxis={"automargin": True, "zeroline": False, "tickformat": ".3~f"},
    )  # fmt: skip
    return figure
