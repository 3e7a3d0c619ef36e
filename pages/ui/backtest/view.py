"""A backtest on the page: warnings, curves, measures, trades, files."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
import streamlit as st

from kronos.portfolio.backtest import STRATEGY, Backtest
from kronos.portfolio.export import (
    break_even_text,
    curves_csv,
    result_json,
    trades_csv,
    warnings_of,
)
from kronos.serving.jobs import JobStatus
from pages.ui.backtest.controls import SIGNAL_TITLES
from pages.ui.backtest.figure import TITLES, equity_description, equity_figure
from pages.ui.backtest.work import FETCHING, FORECASTING, BacktestRun, Outcome
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.jobs.progress import progress_text

_PERCENT, _NUMBER, _WHOLE = "{:.2%}", "{:.2f}", "{:,}"
_ROWS = (
    ("annual_return", "Return a year", _PERCENT),
    ("annual_volatility", "Volatility a year", _PERCENT),
    ("sharpe", "Sharpe ratio", _NUMBER),
    ("max_drawdown", "Largest drawdown", _PERCENT),
    ("turnover", "Turnover a year", _NUMBER),
    ("costs", "Costs paid", _PERCENT),
    ("total_return", "Return in all", _PERCENT),
    ("n_trades", "Trades", _WHOLE),
    ("n_lapsed", "Orders lapsed", _WHOLE),
)
_TERMS = ("Sharpe ratio", "Turnover", "RankIC", "ICIR", "Break-even cost", "Deflated Sharpe ratio")
MAX_TRADES = 2000


def state_text(status: JobStatus) -> str:
    """What a run is doing, in one line."""
    if status.state == "queued" or not status.total:
        return progress_text(status)
    noun = {FETCHING: "instruments", FORECASTING: "forecasts"}.get(status.stage)
    if noun is None:
        return progress_text(status)
    left = status.seconds_left
    rest = f", about {left:.0f} s left" if left is not None and 1 < left < 3600 else ""
    return f"{status.stage}: {status.done:,} of {status.total:,} {noun}{rest}"


def show_result(run: BacktestRun, outcome: Outcome, *, narrow: bool) -> None:
    """Everything a run has found."""
    result, cut_off = outcome.result, outcome.cut_off
    for text in warnings_of(result, cut_off):
        st.warning(plain(text), icon=":material/warning:")
    st.caption(plain(_heading(result)))
    st.plotly_chart(
        equity_figure(result, compact=narrow), key="backtest_chart", config={"displaylogo": False}
    )
    st.caption(plain(equity_description(result)))
    st.dataframe(
        measures_table(result), hide_index=True, key="backtest_measures", height="content",
        alt="Measures of the strategy, of equal weight and of momentum",
    )  # fmt: skip
    _show_verdict(result)
    _show_trades(result)
    _show_downloads(run, outcome)
    if outcome.problems:
        with st.expander(f"{len(outcome.problems)} left out", icon=":material/error:"):
            lines = (f"- **{plain(k)}**: {plain(v)}" for k, v in outcome.problems.items())
            st.markdown("\n".join(lines))


def measures_table(result: Backtest) -> pd.DataFrame:
    """One row a measure, one column a book; text, as their units differ."""
    rows = []
    for name, label, form in _ROWS:
        row = {"Measure": label}
        for book, title in TITLES.items():
            value = getattr(result.performance[book], name)
            row[title] = "-" if math.isnan(value) else form.format(value)
        rows.append(row)
    for label, pick in (
        ("RankIC (t)", lambda ic: f"{ic.mean:.3f} ({ic.t:.1f})"),
        ("ICIR", lambda ic: f"{ic.icir:.2f}"),
    ):
        cells = {"Strategy": result.rank_ic, "Equal weight": None, "Momentum": result.momentum_ic}
        told = {k: "-" if ic is None else pick(ic).replace("nan", "-") for k, ic in cells.items()}
        rows.append({"Measure": label} | told)
    return pd.DataFrame(rows)


def verdict(result: Backtest) -> list[str]:
    """What the break-even cost and the deflated Sharpe ratio say, in sentences."""
    told = []
    if math.isnan(result.break_even):
        told.append(
            "Break-even cost: none. Even without costs the strategy ends below equal weight."
        )
    else:
        told.append(
            f"Break-even cost: {break_even_text(result)} of each trade. Above it the strategy "
            "ends below equal weight."
        )
    deflated = result.deflated
    if math.isnan(deflated.probability):
        told.append("Deflated Sharpe ratio: none, as the returns do not vary.")
    else:
        told.append(
            f"Deflated Sharpe ratio: {deflated.probability:.0%}, the probability that the true one "
            f"is above what the best of {deflated.n_trials:,} attempts shows by chance."
        )
    return told


def _heading(result: Backtest) -> str:
    rules = result.plan.rules
    return (
        f"{result.model_name}, {SIGNAL_TITLES[result.plan.signal]}: the best {rules.top_k} of "
        f"{len(result.names)} instruments, {len(result.dates)} rebalances from "
        f"{result.dates[0]:%d %b %Y} to {result.dates[-1]:%d %b %Y}, filled at the next open."
    )


def _show_verdict(result: Backtest) -> None:
    st.markdown("\n".join(f"- {plain(line)}" for line in verdict(result)))
    with st.expander("All signals on these bars", icon=":material/leaderboard:"):
        ratios = {
            SIGNAL_TITLES[name]: "-" if math.isnan(value) else f"{value:.2f}"
            for name, value in result.signal_sharpe.items()
        }
        table = pd.DataFrame({"Signal": ratios.keys(), "Sharpe ratio": ratios.values()})
        st.dataframe(table, hide_index=True, key="backtest_signals", alt="Sharpe ratio by signal")
        st.caption("The best of several is better by chance alone; that is what is deflated.")
    with st.expander("What the measures mean", icon=":material/menu_book:"):
        st.markdown("\n".join(f"- **{name}**: {meaning(name)}" for name in _TERMS))


def _show_trades(result: Backtest) -> None:
    trades = result.books[STRATEGY].trades
    with st.expander(f"Trades of the strategy ({len(trades):,})", icon=":material/receipt_long:"):
        if len(trades) > MAX_TRADES:
            st.caption(f"The last {MAX_TRADES:,}; the file has all.")
        st.dataframe(
            trades.tail(MAX_TRADES), hide_index=True, key="backtest_trades",
            alt="Trades of the strategy", placeholder="",
        )  # fmt: skip


def _show_downloads(run: BacktestRun, outcome: Outcome) -> None:
    plan, result = run.request.plan, outcome.result
    stem = f"backtest_{plan.signal}_{len(result.names)}x{len(result.dates)}"
    with st.container(horizontal=True):
        for label, build, name, mime in (
            ("Curves (CSV)", partial(curves_csv, result), f"{stem}_curves.csv", "text/csv"),
            ("Trades (CSV)", partial(trades_csv, result), f"{stem}_trades.csv", "text/csv"),
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
