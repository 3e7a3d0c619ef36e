"""The finished backtest that the page opens with: the controls as they stand, on the samples.

Its forecasts come with the application; the portfolio is traded and measured here, in a tenth of a
second. `python -m benchmarks.examples` makes the forecasts with the bundled weights, and without
those of this machine's weights there is no example.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from data_sources.samples import SAMPLES as BUNDLED
from data_sources.samples import load_sample
from kronos import models
from kronos.candles import Candles
from kronos.portfolio import Market, Plan
from kronos.portfolio.backtest import judge, rebalance_dates
from kronos.portfolio.signals import Outlook
from kronos.serving.service import service
from pages.ui.backtest.controls import SAMPLE_INTERVAL, SAMPLES_FROM
from pages.ui.backtest.work import Outcome
from pages.ui.jobs.examples import MODEL, read_examples
from pages.ui.jobs.settings import data_id

__all__ = ["PLAN", "backtest_example", "example_bars", "packed"]

PLAN = Plan(model=MODEL, start=SAMPLES_FROM)


def example_bars() -> dict[str, Candles]:
    """The universe, by symbol."""
    return {
        each.symbol: load_sample(key)
        for key, each in BUNDLED.items()
        if each.interval == SAMPLE_INTERVAL
    }


def packed(outlooks: list[list[Outlook | None]]) -> dict[str, Any]:
    """The part of the file of examples that has the forecasts, R lists of I."""
    return {
        "data": {name: data_id(bars) for name, bars in example_bars().items()},
        "outlooks": [
            [
                each
                and {
                    "medians": each.medians.tolist(),
                    "low": each.low,
                    "high": each.high,
                    "probability_up": each.probability_up,
                }
                for each in row
            ]
            for row in outlooks
        ],
    }


def backtest_example() -> Outcome | None:
    """The example; None where the file is not there, or about other weights or bars."""
    return _example(service().facts(MODEL).revision)


@cache
def _example(revision: str) -> Outcome | None:
    stored = (read_examples(revision) or {}).get("backtest")
    bars = example_bars()
    if stored is None or stored["data"] != {name: data_id(each) for name, each in bars.items()}:
        return None
    market = Market.of(bars)
    dates = rebalance_dates(market, PLAN)
    outlooks = [
        [
            each and Outlook(
                np.array(each["medians"]), each["low"], each["high"], each["probability_up"]
            )
            for each in row
        ]
        for row in stored["outlooks"]
    ]  # fmt: skip
    if len(outlooks) != len(dates):
        return None
    result = judge(market, PLAN, dates, outlooks, service().facts(MODEL))
    return Outcome(result, models.cut_off(MODEL, revision), {})
