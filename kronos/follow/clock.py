"""When the next bar of a series closes, and when to look again where it does not come.

A source may send a bar late, or never: a market halts, a holiday is not recorded. The pauses
between two looks grow to a bound, and a source that fails gets longer ones.
"""

from __future__ import annotations

import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.calendars.spans import bar_end
from kronos.candles import Candles

__all__ = ["LATE", "SETTLE", "BarClock", "next_close"]

SETTLE = pd.Timedelta(seconds=1)
"""Time after the close of a bar until the first look for it."""
LATE = pd.Timedelta(minutes=35)
"""Time after its close when a bar that is not there counts as late; quotes are delayed by up to 30
minutes."""
_FIRST_PAUSE = pd.Timedelta(seconds=5)
_LONGEST_PAUSE = pd.Timedelta(minutes=1)  # while the bar may be on its way
_LONGEST_PAUSE_LATE = pd.Timedelta(minutes=15)
_FIRST_PAUSE_FAILED, _LONGEST_PAUSE_FAILED = pd.Timedelta(seconds=10), pd.Timedelta(minutes=5)
_MOST_DOUBLINGS = 16


def next_close(candles: Candles) -> pd.Timestamp:
    """When the bar after the last one is complete, UTC: its calendar's hours, half days too."""
    return bar_end(
        candles.future(1)[0],
        interval=candles.interval,
        calendar=candles.calendar,
        zone=candles.zone,
    )


class BarClock:
    """The clock of one series.

    Attributes:
        last: Open time of the newest bar that was taken, UTC; None before the first.
        closes: When the bar after it is complete, UTC; None before the first.
        due: When to look for bars, UTC; None for at once.
    """

    def __init__(self) -> None:
        self.last: pd.Timestamp | None = None
        self.closes: pd.Timestamp | None = None
        self.due: pd.Timestamp | None = None
        self._n_looks = 0  # in vain, since the last bar
        self._n_failures = 0  # in a row

    def is_due(self, now: pd.Timestamp) -> bool:
        """Whether it is time to look."""
        return self.due is None or now >= self.due

    def is_late(self, now: pd.Timestamp) -> bool:
        """Whether the next bar is overdue for longer than quotes are delayed."""
        return self.closes is not None and now >= self.closes + LATE

    def n_new(self, candles: Candles) -> int:
        """How many bars are newer than the last one that was taken; all, before the first."""
        index = candles.frame.index
        return len(index) if self.last is None else int((index > self.last).sum())

    def take(self, candles: Candles, now: pd.Timestamp) -> None:
        """Take new bars, and wait for the close of the next one.

        Args:
            candles: The bars; the last one is new.
            now: Time of this machine, aware.
        """
        self.last = pd.Timestamp(candles.frame.index[-1])
        self.closes = next_close(candles)
        self._n_looks = self._n_failures = 0
        self.due = self.closes + SETTLE
        if self.due <= now:  # the bars are older than they could be
            self.look_again(candles.interval, now)

    def resume(self, last: pd.Timestamp, closes: pd.Timestamp) -> None:
        """Continue from a bar that was taken elsewhere.

        Args:
            last: Its open time, UTC.
            closes: When the bar after it is complete, UTC.
        """
        self.last, self.closes, self.due = last, closes, closes + SETTLE

    def look_again(self, interval: str, now: pd.Timestamp) -> None:
        """Wait once more for a bar that has not come.

        Args:
            interval: Width of a bar.
            now: Time of this machine, aware.
        """
        self._n_failures = 0
        width = interval_width(interval)
        if self.is_late(now):
            longest = min(max(width / 4, _LONGEST_PAUSE), _LONGEST_PAUSE_LATE)
        else:
            longest = min(max(width / 10, _FIRST_PAUSE), _LONGEST_PAUSE)
        self.due = now + _doubled(_FIRST_PAUSE, self._n_looks, longest)
        self._n_looks += 1

    def fail(self, now: pd.Timestamp, *, retry_after: float | None = None) -> None:
        """Wait after a failure of the source.

        Args:
            now: Time of this machine, aware.
            retry_after: Seconds that the source asks for; None where it names none.
        """
        pause = _doubled(_FIRST_PAUSE_FAILED, self._n_failures, _LONGEST_PAUSE_FAILED)
        self._n_failures += 1
        self.due = now + max(pause, pd.Timedelta(seconds=retry_after or 0.0))


def _doubled(first: pd.Timedelta, n: int, longest: pd.Timedelta) -> pd.Timedelta:
    return min(first * 2 ** min(n, _MOST_DOUBLINGS), longest)
