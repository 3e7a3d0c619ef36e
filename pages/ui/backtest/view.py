"""A backtest on the page: warnings, curves, measures, trades, files."""

from __future__ import annotations

import math
from datetime import date
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from kronos.portfolio.backtest import STRATEGY, Backtest
from kronos.portfolio.export import (
    Doubt,
    break_even_text,
    curves_csv,
    doubts_of,
    facts,
    result_json,
    rows_of,
    trades_csv,
)
from kronos.serving.jobs import JobStatus
from pages.ui.backtest.controls import SIGNAL_TITLES
from pages.ui.backtest.figure import TITLES, equity_description, equity_figure
from pages.ui.backtest.work import FETCHING, FORECASTING, Outcome
from pages.ui.frame.excel import MIME, workbook
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.text import DISCLAIMER, counted, number_text
from pages.ui.inputs.model_choices import choice_of
from pages.ui.jobs.progress import progress_text

_PERCENT, _NUMBER, _WHOLE = "{:.2%}", "{:.2f}", "{:,}"
_ROWS = (
    ("annual_return", "Annual return", _PERCENT),
    ("annual_volatility", "Annual volatility", _PERCENT),
    ("sharpe", "Sharpe ratio", _NUMBER),
    ("max_drawdown", "Max drawdown", _PERCENT),
    ("turnover", "Annual turnover", _NUMBER),
    ("costs", "Total costs", _PERCENT),
    ("total_return", "Total return", _PERCENT),
    ("n_trades", "Trades", _WHOLE),
    ("n_lapsed", "Lapsed orders", _WHOLE),
)
_TERMS = ("Sharpe ratio", "Turnover", "RankIC", "ICIR", "Break-even cost", "Deflated Sharpe ratio")
MAX_TRADES = 2000

RULE = (
    "At every rebalance, the model ranks the instruments and the portfolio holds the top k, net of "
    "costs."
)
"""What the strategy does."""


def state_text(status: JobStatus) -> str:
    """Progress of a run in one line."""
    if status.state == "queued" or not status.total:
        return progress_text(status)
    noun = {FETCHING: "instrument", FORECASTING: "forecast"}.get(status.stage)
    if noun is None:
        return progress_text(status)
    left = status.seconds_left
    rest = f", about {left:.0f} s left" if left is not None and 1 < left < 3600 else ""
    return f"{status.stage}: {status.done:,} of {counted(status.total, noun)}{rest}"


def show_result(outcome: Outcome, *, narrow: bool) -> None:
    """The result of a run, or of the example."""
    result = outcome.result
    _show_doubts(outcome)
    st.caption(
        plain(_heading(result)),
        help=RULE,
    )
    st.plotly_chart(
        equity_figure(result, compact=narrow), key="backtest_chart", config={"displaylogo": False}
    )
    st.caption(plain(equity_description(result)))
    st.dataframe(
        measures_table(result), hide_index=True, key="backtest_measures", height="content",
        column_config={
            title: st.column_config.TextColumn(alignment="right") for title in TITLES.values()
        },
        alt="Measures of the strategy, of equal weight and of momentum",
    )  # fmt: skip
    _show_verdict(result)
    _show_trades(result)
    _show_downloads(outcome)
    if outcome.problems:
        with st.expander(
            f"{counted(len(outcome.problems), 'instrument')} skipped", icon=":material/error:"
        ):
            lines = (f"- **{plain(k)}**: {plain(v)}" for k, v in outcome.problems.items())
            st.markdown("\n".join(lines))


def _show_doubts(outcome: Outcome) -> None:
    """Reasons to doubt the result in one line, which opens into sentences."""
    doubts = doubts_of(outcome.result, outcome.cut_off)
    if outcome.note:
        doubts.append(Doubt("prices without a factor", outcome.note))
    if doubts:
        short = ", ".join(doubt.short for doubt in doubts)
        title = f"**Weak evidence:** {plain(short)}"
        with st.expander(title, icon=":material/warning:", key="backtest_doubts"):
            st.markdown("\n".join(f"- {plain(doubt.text)}" for doubt in doubts))


def measures_table(result: Backtest) -> pd.DataFrame:
    """One row per measure, one column per book; text, as the units differ."""
    rows = []
    for name, label, form in rows_of(_ROWS, result):
        row = {"Measure": label}
        for book, title in TITLES.items():
            value = getattr(result.performance[book], name)
            row[title] = number_text(form, value)
        rows.append(row)
    for label, pick in (
        ("RankIC", lambda ic: ("{:.3f}", ic.mean)),
        ("RankIC, t-statistic", lambda ic: ("{:.1f}", ic.t)),
        ("ICIR", lambda ic: ("{:.2f}", ic.icir)),
    ):
        cells = {"Strategy": result.rank_ic, "Equal weight": None, "Momentum": result.momentum_ic}
        texts = {book: "–" if ic is None else number_text(*pick(ic)) for book, ic in cells.items()}
        rows.append({"Measure": label} | texts)
    return pd.DataFrame(rows)


def verdict(result: Backtest) -> list[str]:
    """Break-even cost and, of a backtest that is long enough, deflated Sharpe ratio."""
    lines = []
    if math.isnan(result.break_even):
        lines.append(
            "Break-even cost: none. Even without costs, the strategy ends below equal weight."
        )
    else:
        lines.append(
            f"Break-even cost: {break_even_text(result)} per trade. At higher costs, the strategy "
            "ends below equal weight."
        )
    deflated = result.deflated
    if not result.can_annualise:
        return lines
    if math.isnan(deflated.probability):
        lines.append("Deflated Sharpe ratio: none, because the returns do not vary.")
    else:
        lines.append(
            f"Deflated Sharpe ratio: {deflated.probability:.0%}. This is the probability that the "
            "true Sharpe ratio exceeds what the best of "
            f"{counted(deflated.n_trials, 'trial')} reaches by chance."
        )
    return lines


def _heading(result: Backtest) -> str:
    rules = result.plan.rules
    return (
        f"{choice_of(result.plan.model).title}. Signal: {SIGNAL_TITLES[result.plan.signal]}. Top "
        f"{rules.top_k} of {counted(len(result.names), 'instrument')}, "
        f"{counted(len(result.dates), 'rebalance')}, fills at the next open."
    )


def _show_verdict(result: Backtest) -> None:
    st.markdown("\n".join(f"- {plain(line)}" for line in verdict(result)))
    if result.can_annualise:
        with st.expander("Sharpe ratio by signal", icon=":material/leaderboard:"):
            _show_signals(result)
    with st.expander("Definitions", icon=":material/menu_book:"):
        st.markdown("\n".join(f"- **{name}**: {meaning(name)}" for name in _TERMS))


def _show_signals(result: Backtest) -> None:
    ratios = {
        SIGNAL_TITLES[name]: number_text("{:.2f}", value)
        for name, value in result.signal_sharpe.items()
    }
    table = pd.DataFrame({"Signal": ratios.keys(), "Sharpe ratio": ratios.values()})
    st.dataframe(table, hide_index=True, key="backtest_signals", alt="Sharpe ratio by signal")
    st.caption(
        "The best of several signals is partly luck. The deflated Sharpe ratio corrects for it."
    )


def _show_trades(result: Backtest) -> None:
    trades = result.books[STRATEGY].trades
    with st.expander(f"Trades of the strategy ({len(trades):,})", icon=":material/receipt_long:"):
        if len(trades) > MAX_TRADES:
            st.caption(f"The last {MAX_TRADES:,} trades. The CSV file has all of them.")
        st.dataframe(
            trades.tail(MAX_TRADES), hide_index=True, key="backtest_trades",
            alt="Trades of the strategy", placeholder="", column_config=trade_columns(trades),
        )  # fmt: skip


def trade_columns(trades: pd.DataFrame) -> dict[str, Any]:
    """Titles and formats; a column is as wide as what it holds, where a default would clip it."""
    if trades.empty:
        return {}
    longest = max(map(len, trades["instrument"]))
    is_daily = (trades["time"].dt.normalize() == trades["time"]).all()
    moment = partial(
        st.column_config.DatetimeColumn,
        format="D MMM YYYY" if is_daily else "D MMM YYYY HH:mm",
        timezone="UTC",
        width=110 if is_daily else 150,
    )
    number = partial(st.column_config.NumberColumn, format="%.2f")
    return {
        "time": moment("Fill"),
        "decided": moment("Decision"),
        "instrument": st.column_config.TextColumn(
            "Instrument", width=min(max(90, 8 * longest + 24), 260)
        ),
        "side": st.column_config.TextColumn("Side", width=60),
        "shares": number("Shares"),
        "price": st.column_config.NumberColumn("Price", format="%.6g"),
        "value": number("Value"),
        "cost": number("Cost"),
    }


def backtest_workbook(result: Backtest, cut_off: date | None) -> bytes:
    """Curves, settings, measures and trades as an Excel workbook.

    Args:
        result: The backtest.
        cut_off: See `kronos.portfolio.export.facts`.
    """
    known = facts(result, cut_off)
    performance = known.pop("performance")
    measures = [
        {"Measure": label} | {TITLES[book]: performance[book][name] for book in TITLES}
        for name, label, _ in rows_of(_ROWS, result)
    ]
    tables = {
        "Curves": result.curves.rename(columns=TITLES).rename_axis("time").reset_index(),
        "Measures": pd.DataFrame(measures),
        "Trades": result.books[STRATEGY].trades,
    }
    return workbook(tables, known | {"note": DISCLAIMER})


def _show_downloads(outcome: Outcome) -> None:
    result = outcome.result
    stem = f"backtest_{result.plan.signal}_{len(result.names)}x{len(result.dates)}"
    with st.container(horizontal=True):
        for label, build, name, mime in (
            ("Curves (CSV)", partial(curves_csv, result), f"{stem}_curves.csv", "text/csv"),
            ("Trades (CSV)", partial(trades_csv, result), f"{stem}_trades.csv", "text/csv"),
            (
                "Tables (Excel)",
                partial(backtest_workbook, result, outcome.cut_off),
                f"{stem}.xlsx",
                MIME,
            ),
            (
                "Everything (JSON)",
                partial(result_json, result, outcome.cut_off),
                f"{stem}.json",
                "application/json",
            ),
        ):
            st.download_button(
                label, build, file_name=name, mime=mime, key=f"backtest {label}",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip
