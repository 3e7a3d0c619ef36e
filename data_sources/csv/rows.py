"""From cells that parsed to bars that hold: blanks, duplicates, order, highs and lows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_sources.csv.report import CsvReport
from kronos.candles import PRICES
from kronos.errors import InvalidCandles

__all__ = ["MAX_OVERHANG", "repair_ranges", "settle_order", "without_blank_prices"]

MAX_OVERHANG = 0.005
"""How far open or close may stick out of high and low (share of the price) and be repaired."""

_MAX_BROKEN_SHARE = 0.02


def without_blank_prices(values: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    """Rows with all four prices above 0; rows with a blank price are dropped and reported.

    Args:
        values: Price columns (and others), indexed by line number.

    Raises:
        InvalidCandles: A price is 0 or negative in some, not all, of the row's prices, or in
            more than a few rows; names line and column.
    """
    prices = values[list(PRICES)].to_numpy()
    blank = np.isnan(prices).any(axis=1)
    report.drop("a price is blank", values.index[blank].tolist())
    all_zero = (prices == 0).all(axis=1)
    report.drop("all prices are 0 (no trading)", values.index[all_zero].tolist())
    bad = (prices <= 0) & ~all_zero[:, None]
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise InvalidCandles(
            f"Line {values.index[row]}, column {PRICES[column]}: prices must be above 0, found "
            f"{prices[row, column]:g}. Series that cross zero (spreads, rates) are not supported."
        )
    return values[~(blank | all_zero)]


def settle_order(values: pd.DataFrame, stamps: pd.DatetimeIndex, report: CsvReport) -> pd.DataFrame:
    """Rows in time order, each time once: of several, the one written last is kept.

    In a file that runs backwards the line further up is the one written last.

    Args:
        values: Indexed by line number.
        stamps: (T,) time of each row.
    """
    moments = stamps.asi8
    steps = np.diff(moments)
    lines = values.index.to_numpy()
    order = np.argsort(moments, kind="stable")
    if (steps < 0).any() and (steps <= 0).all():
        report.assumptions.append("rows stand newest first and were turned round")
        order = np.argsort(moments[::-1], kind="stable")
        order = len(moments) - 1 - order
    elif (steps < 0).any():
        behind = moments < np.maximum.accumulate(moments)
        report.repair("not in time order; sorted", lines[behind].tolist())
    is_last = np.append(np.diff(moments[order]) != 0, True)
    kept, lost = order[is_last], order[~is_last]
    if lost.size:
        group = np.cumsum(is_last) - is_last
        winners = kept[group[~is_last]]
        numbers = values.to_numpy(float)
        same = np.isclose(numbers[lost], numbers[winners], rtol=1e-9, equal_nan=True).all(axis=1)
        report.drop("the same bar again", np.sort(lines[lost[same]]).tolist())
        report.drop(
            "the same time as another row with other values; the one written last was kept",
            np.sort(lines[lost[~same]]).tolist(),
        )
    return values.iloc[kept]


def repair_ranges(values: pd.DataFrame, report: CsvReport) -> pd.DataFrame:
    """Highs and lows widened to hold open and close where they miss them slightly.

    Vendors that round or adjust prices one by one leave such rows. A miss of more than
    `MAX_OVERHANG`, or a high below the low, drops the row.

    Raises:
        InvalidCandles: So many rows are broken that the columns must be wrong.
    """
    opens, high, low, close = (values[name].to_numpy() for name in PRICES)
    top, bottom = np.maximum(opens, close), np.minimum(opens, close)
    overhang = np.maximum(top - high, low - bottom) / close
    is_beyond = (overhang > MAX_OVERHANG) | (high < low * (1 - MAX_OVERHANG))
    if is_beyond.sum() > max(3, _MAX_BROKEN_SHARE * len(values)):
        row = int(np.argmax(is_beyond))
        raise InvalidCandles(
            f"Line {values.index[row]}: high {high[row]:g} and low {low[row]:g} do not hold open "
            f"{opens[row]:g} and close {close[row]:g}, and neither do those of "
            f"{int(is_beyond.sum()):,} rows in all. Check which column is which."
        )
    report.drop(
        f"open or close lies more than {MAX_OVERHANG:.1%} outside high and low",
        values.index[is_beyond].tolist(),
    )
    is_slight = (overhang > 0) & ~is_beyond
    report.repair("high or low widened to hold open and close", values.index[is_slight].tolist())
    repaired = values.assign(high=np.maximum(high, top), low=np.minimum(low, bottom))
    return repaired[~is_beyond]
