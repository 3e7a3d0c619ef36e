"""Backtests of portfolios that follow forecasts, with costs and halts.

    market.py     bars of many instruments on one calendar, and when each can be traded
    signals.py    one number for each instrument and date, from a forecast or from past bars
    forecasts.py  forecasts of every instrument and rebalance date, cached on disk
    book.py       the rules of holding; cash, holdings and trades, bar by bar
    measures.py   performance, RankIC, deflated Sharpe ratio
    backtest.py   a plan in, curves, trades and measures out
    export.py     a backtest as text

Importing this package imports neither torch nor scipy.
"""

from __future__ import annotations

from kronos.portfolio.backtest import Backtest, Plan, backtest, rebalance_dates
from kronos.portfolio.book import Book, Costs, Rules, simulate
from kronos.portfolio.forecasts import OutlookCache
from kronos.portfolio.market import Market
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
