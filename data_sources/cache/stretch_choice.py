"""Which of the stretches that are kept answers a request, and how far a new one reaches."""

from __future__ import annotations

import pandas as pd

from data_sources.asked_range import AskedRange
from data_sources.cache.bar_news import fresh_until
from data_sources.cache.stretch import Stretch
from data_sources.open_bar import LATEST_DELAY
from data_sources.source import Bars

__all__ = ["covered_until", "fitting", "freshness", "is_enough"]


def fitting(kept: list[Stretch], asked: AskedRange) -> Stretch | None:
    """The stretch to answer from, or to lengthen until it can; None if there is none.

    Args:
        kept: The stretches of the series, the latest first.
        asked: The range.
    """
    start, end = asked.start, asked.end
    if start is None:
        return next((stretch for stretch in kept if stretch.is_default), None)
    for stretch in kept:
        if stretch.first <= start <= stretch.last:
            return stretch
    for stretch in kept:
        if start < stretch.first and (end is None or end >= stretch.first):
            return stretch
    return None


def is_enough(stretch: Stretch, asked: AskedRange, now: pd.Timestamp) -> bool:
    """Whether a stretch holds all bars of a range that there can be now."""
    if asked.start is not None and asked.start < stretch.first:
        return False
    if asked.end is not None and asked.end <= stretch.last:
        return True
    return stretch.fresh_until is not None and now < stretch.fresh_until


def covered_until(fetched: Bars, end: pd.Timestamp | None) -> pd.Timestamp:
    """Open time up to which no bar is missing, of bars fetched up to `end`."""
    last = pd.Timestamp(fetched.candles.frame.index[-1])
    if end is None or end + fetched.candles.width + LATEST_DELAY > fetched.fetched_at:
        return last  # A bar behind it may have been open, or late.
    return end


def freshness(fetched: Bars, end: pd.Timestamp | None, now: pd.Timestamp) -> pd.Timestamp | None:
    """Until when there can be nothing new; None for bars that were fetched up to some past time."""
    reaches_now = end is None or end >= fetched.fetched_at
    return fresh_until(fetched, now) if reaches_now else None
