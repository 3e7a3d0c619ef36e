"""The lines of a run together: a portfolio, its fan and risk, and what moves with what."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from kronos.errors import InvalidRequest
from kronos.joint import JointForecast, Member, PortfolioFan, join
from kronos.risk import (
    CONFIDENCE,
    Estimate,
    Side,
    expected_shortfall,
    share_of,
    value_at_risk,
)
from pages.ui.chart import style
from pages.ui.chart.sheet import Sheet
from pages.ui.chart.view import show_figure
from pages.ui.fan.readouts import Readout
from pages.ui.fan.results import show_number
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted, number_text
from pages.ui.watchlist.work import WatchRun

HEIGHT = 320
MOST = 40
"""Lines that a portfolio has at most: a table of correlations shows no more."""
_WEIGHT = "Weight (%)"
_GRID = {"zeroline": False, "ticks": "", "fixedrange": True, "automargin": True, "tickangle": 0}


def show_together(run: WatchRun) -> None:
    """The portfolio of a run that has ended; nothing for fewer than two forecasts."""
    members = members_of(run)
    if not run.is_final or len(members) < 2:
        return
    st.subheader("Portfolio", anchor=False)
    st.fragment(_show_portfolio)(run, members)


def members_of(run: WatchRun) -> dict[str, Member]:
    """The forecasts of a run by their symbols; a symbol that occurs again has its line."""
    found: dict[str, Member] = {}
    for i, row in enumerate(run.rows):
        if row.summary is not None and len(found) < MOST:
            name = row.symbol if row.symbol not in found else f"{row.symbol} ({i + 1})"
            found[name] = row.summary.member
    return found


def usual_lines(members: dict[str, Member]) -> list[str]:
    """The names of the largest group with one interval whose forecasts are of the same time."""
    groups = [
        [
            name
            for name, other in members.items()
            if other.interval == each.interval and len(other.times.intersection(each.times))
        ]
        for each in members.values()
    ]
    return max(groups, key=len)


@lru_cache(maxsize=16)
def _joined(names: tuple[str, ...], members: tuple[Member, ...]) -> JointForecast:
    return join(dict(zip(names, members, strict=True)))


def _show_portfolio(run: WatchRun, members: dict[str, Member]) -> None:
    names = st.multiselect(
        "Lines",
        list(members),
        default=usual_lines(members),
        key=f"portfolio lines {run.key}",
        help="Lines with bars of one interval, at times that they have in common.",
    )
    try:
        joint = _joined(tuple(names), tuple(members[name] for name in names))
    except InvalidRequest as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    controls, picture = st.columns([1, 3], gap="medium")
    with controls:
        equal = pd.DataFrame({"Symbol": joint.names, _WEIGHT: 100.0 / len(joint.names)})
        weights = st.data_editor(
            equal,
            key=f"weights {run.key} {names}",
            hide_index=True,
            disabled=["Symbol"],
            column_config={
                _WEIGHT: st.column_config.NumberColumn(
                    format="%.1f", min_value=-1000.0, max_value=1000.0, required=True,
                    help="Share of the capital, negative for a short position. The rest is cash.",
                )
            },
        )  # fmt: skip
    with picture:
        shares = dict(zip(joint.names, (weights[_WEIGHT] / 100.0).tolist(), strict=True))
        try:
            fan = joint.portfolio(shares)
        except InvalidRequest:
            st.info("Give at least one line a weight.", icon=":material/balance:")
            return
        with st.container(horizontal=True, gap="small", key="portfolio readouts"):
            for readout in portfolio_readouts(fan, members):
                show_number(readout)
        wide, square = st.columns([3, 2])
        with wide:
            show_figure(portfolio_figure(fan), key="portfolio")
        with square:
            show_figure(correlation_figure(joint), key="correlations")
    st.caption(
        f"Bought at the last closes and held for {counted(len(fan.times), 'common bar')}, without "
        f"costs. Paths move together as {counted(joint.n_common, 'common return')} did; no fan "
        "changes by it.",
        help="Whole paths of each line are put together by the ranks of common past bars. "
        "Correlations are of one-bar returns in units of their volatility at the time.",
    )


def portfolio_readouts(fan: PortfolioFan, members: dict[str, Member]) -> list[Readout]:
    """Median, range and losses at the last common bar, each loss with its sampling error."""
    returns = fan.growth[:, -1] - 1.0
    low, median, high = (float(x) for x in fan.quantile((0.1, 0.5, 0.9))[:, -1])
    up = share_of(returns > 0)
    alone = 0.0
    for name, weight in fan.weights.items():
        member = members[name]
        own = member.paths[:, member.times.get_indexer(fan.times[-1:])[0]] / member.last_close - 1
        side: Side = "long" if weight >= 0 else "short"
        alone += abs(weight) * value_at_risk(own, CONFIDENCE[0], side).value
    found = [
        Readout("P(gain)", f"{up.value:.0%}", f"± {100 * up.error:.1f} points"),
        Readout("Median", number_text("{:+.2%}", median), ""),
        Readout("80% range", number_text("{:+.1%} to {:+.1%}", low, high), ""),
    ]
    for level in CONFIDENCE:
        found.append(_loss(f"Value at risk {level:.0%}", value_at_risk(returns, level)))
    found.append(
        _loss(f"Shortfall {CONFIDENCE[0]:.0%}", expected_shortfall(returns, CONFIDENCE[0]))
    )
    found.append(
        Readout(f"Sum of lines {CONFIDENCE[0]:.0%}", f"{alone:.2%}", "without diversification")
    )
    return found


def portfolio_figure(fan: PortfolioFan) -> go.Figure:
    """The fan of the portfolio's return."""
    sheet = Sheet()
    is_intraday = bool((fan.times != fan.times.normalize()).any())
    form = "%d %b %H:%M" if is_intraday else "%d %b %Y"
    labels = ["now", *(f"{time:{form}}" for time in fan.times)]
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    bands = np.concatenate([np.zeros((5, 1)), 100.0 * fan.quantile(levels)], axis=1)
    unseen: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    for low, high, opacity, name in ((0, 4, 0.16, "80%"), (1, 3, 0.3, "50%")):
        sheet.trace("scatter", x=labels, y=bands[low], showlegend=False, **unseen)
        sheet.trace(
            "scatter", x=labels, y=bands[high], fill="tonexty", name=name,
            fillcolor=style.faded(style.FAN, opacity), **unseen,
        )  # fmt: skip
    sheet.trace(
        "scatter", x=labels, y=bands[2], mode="lines", name="median",
        line={"color": style.MEDIAN, "width": 2.2},
        customdata=bands[[0, 4]].T,
        hovertemplate="%{x}: %{y:+.2f}%, 80% %{customdata[0]:+.2f} to "
        "%{customdata[1]:+.2f}%<extra></extra>",
    )  # fmt: skip
    sheet.time_axis().update(_GRID, type="category", nticks=3, showgrid=False)
    sheet.price_axis().update(_GRID, ticksuffix="%", nticks=7, zeroline=True)
    sheet.layout.update(_layout())
    return sheet.figure()


def correlation_figure(joint: JointForecast) -> go.Figure:
    """The correlations of the members."""
    sheet = Sheet()
    names = [name if len(name) <= 10 else f"{name[:9]}…" for name in joint.names]
    few = len(names) <= 8
    values = np.where(np.eye(len(names)), np.nan, joint.correlation.to_numpy())
    sheet.trace(
        "heatmap", z=values.round(2), x=names, y=names, zmin=-1, zmax=1,
        colorscale=[
            [0, style.faded(style.DOWN, 0.6)],
            [0.5, style.faded(style.NEUTRAL, 0.05)],
            [1, style.faded(style.FAN, 0.6)],
        ],
        textfont={"color": style.NEUTRAL, "size": 13}, hoverongaps=False,
        texttemplate="%{z:.2f}" if few else "", showscale=not few, xgap=1, ygap=1,
        hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    sheet.time_axis().update(_GRID, type="category", showgrid=False, showticklabels=False)
    sheet.price_axis().update(_GRID, type="category", showgrid=False, autorange="reversed")
    sheet.layout.update(_layout(), title={"text": "Correlation", "font": {"size": 13}})
    return sheet.figure()


def _layout() -> dict[str, Any]:
    return style.page_layout() | {
        "height": HEIGHT,
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "dragmode": False,
    }


def _loss(label: str, estimate: Estimate) -> Readout:
    error = "n/a" if np.isnan(estimate.error) else f"{100 * estimate.error:.2f}"
    return Readout(label, number_text("{:.2%}", estimate.value), f"± {error} points")
