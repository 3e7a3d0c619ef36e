"""When a source can have new bars, and whether old ones have changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_sources.open_bar import LATEST_DELAY, UNFINISHED, bar_end
from data_sources.source import Bars
from kronos.candles import PRICES

__all__ = ["fresh_until", "merged_notes", "moment_and_age", "same_prices"]

# Numbers that are given twice may differ in their last digits; a dividend changes more.
_SAME = 1e-5
_SHORTEST_PAUSE, _LONGEST_PAUSE = pd.Timedelta(seconds=5), pd.Timedelta(seconds=60)
_MOST_AHEAD = 64


def fresh_until(fetched: Bars, now: pd.Timestamp) -> pd.Timestamp:
    """Until when it is of no use to ask for newer bars, by this machine's clock.

    That is when the next bar ends. A bar that has ended and was not given may still come for
    `LATEST_DELAY`: then it is worth asking again after a tenth of a bar, 5 to 60 seconds.

    Args:
        fetched: The bars up to now.
        now: Time of this machine when they came.
    """
    candles, source_now = fetched.candles, fetched.fetched_at
    pause = min(max(candles.width / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    news = source_now + pause
    for opened in candles.future(_MOST_AHEAD):
        end = bar_end(
            opened, interval=candles.interval, calendar=candles.calendar, zone=candles.zone
        )
        if end > source_now - LATEST_DELAY:
            news = max(news, end)
            break
    return now + (news - source_now)


def same_prices(known: pd.DataFrame, fetched: pd.DataFrame) -> bool:
    """Whether bars that were fetched before have the prices they had.

    Args:
        known: (K, 6) bars kept.
        fetched: (T, 6) bars as they are given now.

    Returns:
        False also if the two have no bar in common, or one of the known ones has gone.
    """
    if not len(known) or not known.index.isin(fetched.index).all():
        return False
    before = known[list(PRICES)].to_numpy()
    after = fetched.loc[known.index, list(PRICES)].to_numpy()
    return bool(np.allclose(before, after, rtol=_SAME, atol=0))


def merged_notes(
    kept: tuple[str, ...], fetched: tuple[str, ...], *, is_newer: bool
) -> tuple[str, ...]:
    """Notes on bars of two requests: each once, and only the later one on an open bar."""
    older, newer = (kept, fetched) if is_newer else (fetched, kept)
    return tuple(dict.fromkeys([*(note for note in older if UNFINISHED not in note), *newer]))


def moment_and_age(fetched_at: pd.Timestamp, now: pd.Timestamp) -> str:
    """When something was fetched, and how long ago that is."""
    minutes = max(0, int((now - fetched_at).total_seconds() // 60))
    if minutes < 120:
        age = f"{minutes} min"
    else:
        age = f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
    return f"{age} old (of {fetched_at:%Y-%m-%d %H:%M} UTC)"
