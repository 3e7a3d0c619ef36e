"""The series after their source, and their volatility clustering. Pure functions to figures."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from kronos.candles import Candles
from kronos.synthetic.realism import LAGS, Realism
from pages.ui.chart import style

__all__ = ["MOST_DRAWN", "memory_figure", "series_figure"]

MOST_DRAWN = 12
"""Series in the chart; more are not legible."""


def series_figure(
    source: Candles, series: Sequence[Candles], *, compact: bool = False
) -> go.Figure:
    """Closes of the last bars of the source and of the series that continue them.

    Args:
        source: The context.
        series: The generated series.
        compact: For a narrow screen.
    """
    n = len(series[0])
    known = source.slice(-min(n, len(source)))
    figure = go.Figure()
    last_time, last_close = known.local_index[-1], float(known.frame["close"].iloc[-1])
    for i, each in enumerate(series[:MOST_DRAWN]):
        figure.add_scatter(
            x=[last_time.isoformat(), *(t.isoformat() for t in each.local_index)],
            y=[last_close, *each.frame["close"]], mode="lines", name="synthetic",
            legendgroup="synthetic", showlegend=i == 0,
            line={"color": style.faded(style.FAN, 1.0 if i == 0 else 0.45), "width": 1.6},
            hovertemplate=f"%{{y:.6g}}<extra>series {i + 1}</extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=[t.isoformat() for t in known.local_index], y=known.frame["close"], mode="lines",
        name="source", line={"color": style.NEUTRAL, "width": 1.8, "dash": "dot"},
        hovertemplate="%{y:.6g}<extra>source</extra>",
    )  # fmt: skip
    figure.update_layout(
        **style.page_layout(compact=compact), height=380, showlegend=True,
        margin={"l": 52, "r": 12, "t": 34, "b": 30},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0.0},
        xaxis={"type": "date", "nticks": 4 if compact else 8, "zeroline": False,
            "tickformatstops": style.DATES},
        yaxis={
            "title": {"text": "close"}, "automargin": True, "zeroline": False,
            "exponentformat": "none",  # 0.00001234 instead of 12.34μ
        },
    )  # fmt: skip
    return figure


def memory_figure(report: Realism, *, compact: bool = False) -> go.Figure:
    """Autocorrelation of absolute returns by lag: source, its band, and the series.

    Args:
        report: The comparison.
        compact: For a narrow screen.
    """
    lags, memory = list(LAGS), report.memory
    figure = go.Figure()
    figure.add_scatter(
        x=[*lags, *lags[::-1]], y=[*(m.high for m in memory), *(m.low for m in memory[::-1])],
        fill="toself", mode="none", fillcolor=style.faded(style.NEUTRAL, 0.2),
        name="95% band of the source", hoverinfo="skip",
    )  # fmt: skip
    for name, values, shade, dash, symbol in (
        ("source", [m.source for m in memory], style.NEUTRAL, "dot", "circle"),
        ("synthetic", [m.synthetic for m in memory], style.FAN, "solid", "square"),
    ):
        figure.add_scatter(
            x=lags, y=values, mode="lines+markers", name=name,
            line={"color": shade, "width": 2, "dash": dash}, marker={"size": 6, "symbol": symbol},
            hovertemplate=f"%{{y:.3f}}<extra>{name}</extra>",
        )  # fmt: skip
    figure.update_layout(
        **style.page_layout(compact=compact), height=300, showlegend=True,
        margin={"l": 52, "r": 12, "t": 34, "b": 40},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0.0},
        xaxis={"title": {"text": "lag (bars)"}, "dtick": 5, "zeroline": False},
        yaxis={"automargin": True, "tickformat": ".2f"},
    )  # fmt: skip
    return figure
