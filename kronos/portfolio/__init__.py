"""Portfolios that follow forecasts: what would have become of them, costs and halts included.

    market.py     bars of many instruments on one calendar, and when each can be traded
    signals.py    one number an instrument and date, from a forecast or from past bars
    outlooks.py   what signals need of a forecast; kept, so that a stopped run goes on
    forecasts.py  an outlook for every instrument and rebalance date, by way of a service
    rules.py      which instruments are held: top-k with few changes
    book.py       cash, holdings and trades, bar by bar
    measures.py   what a run is judged by
    rank_ic.py    whether the signal puts instruments in the right order
    deflated.py   the Sharpe ratio after so many attempts
    plan.py       what is tried, and when it decides
    backtest.py   a plan in, curves, trades and measures out
    export.py     a run as text

Importing this package imports neither torch nor scipy.
"""

from __future__ import annotations

from kronos.portfolio.backtest import Backtest, backtest
from kronos.portfolio.book import Book, simulate
from kronos.portfolio.market import Market
from kronos.portfolio.outlooks import OutlookCache
from kronos.portfolio.plan import Plan, rebalance_dates
from kronos.portfolio.rules import Costs, Rules
from kronos.portfolio.signals import SIGNALS

__all__ = [
    "SIGNALS",
    "Backtest",
    "Book",
    "Costs",
    "Market",
    "OutlookCache",
    "Plan",
    "Rules",
    "backtest",
    "rebalance_dates",
    "simulate",
]
