"""Equity and drawdown of the books of a backtest. Pure functions to a Plotly figure."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from kronos.portfolio.backtest import BENCHMARK, STRATEGY, Backtest
from kronos.portfolio.measures import drawdown
from kronos.portfolio.signals import MOMENTUM
from pages.ui.chart import style
from pages.ui.frame.text import number_text

__all__ = ["TITLES", "equity_description", "equity_figure"]

TITLES = {STRATEGY: "Strategy", BENCHMARK: "Equal weight", MOMENTUM: "Momentum"}
"""Titles of the books."""
_LINES: dict[str, dict[str, Any]] = {
    STRATEGY: {"color": style.MEDIAN, "width": 2.4, "dash": "solid"},
    BENCHMARK: {"color": style.NEUTRAL, "width": 2, "dash": "dash"},
    MOMENTUM: {"color": style.ACTUAL, "width": 1.8, "dash": "dot"},
}
HEIGHT = 470


def equity_figure(result: Backtest, *, compact: bool = False) -> go.Figure:
    """Equity of each book, and its drawdown below.

    Args:
        result: The run.
        compact: For a narrow screen.
    """
    curves = result.curves
    times = [stamp.isoformat() for stamp in curves.index]
    figure = go.Figure()
    for name, line in _LINES.items():
        title = TITLES[name]
        equity = curves[name].to_numpy()
        figure.add_scatter(
            x=times, y=equity, mode="lines", name=title, line=line, legendgroup=name,
            hovertemplate=f"%{{y:.3f}}<extra>{title}</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=times, y=100 * drawdown(equity), mode="lines", name=title, yaxis="y2",
            line=line | {"width": 1.4}, legendgroup=name, showlegend=False,
            fill="tozeroy" if name == STRATEGY else None,
            fillcolor=style.faded(style.FAN, 0.18),
            hovertemplate=f"%{{y:.1f}}%<extra>{title}</extra>",
        )  # fmt: skip
    figure.update_layout(
        **style.page_layout(compact=compact), height=HEIGHT, showlegend=True,
        margin={"l": 52, "r": 12, "t": 34, "b": 30},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0.0},
        xaxis={
            "type": "date", "anchor": "y2", "nticks": 4 if compact else 8, "zeroline": False,
            "tickformatstops": style.DATES,
        },
        yaxis={
            "domain": [0.34, 1.0], "title": {"text": "equity"}, "zeroline": False,
            "tickformat": ".3~f", "automargin": True,
        },
        yaxis2={
            "domain": [0.0, 0.28], "title": {"text": "drawdown"}, "ticksuffix": "%", "nticks": 4,
            "zeroline": False, "automargin": True,
        },
    )  # fmt: skip
    return figure


def equity_description(result: Backtest) -> str:
    """The figure in words, for screen readers."""
    curves = result.curves
    parts = []
    for name, title in TITLES.items():
        equity = curves[name].to_numpy()
        fall = 100 * drawdown(equity).min()
        text = number_text("{:+.1%}, max drawdown {:.1f}%", equity[-1] - 1, fall)
        parts.append(f"{title} {text}")
    first, last = curves.index[0], curves.index[-1]
    return f"Total return, {first:%d %b %Y} to {last:%d %b %Y}: {'; '.join(parts)}."
