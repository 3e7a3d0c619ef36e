"""Bars of any source, kept on this machine, so that the source is asked for what is new only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

from data_sources.cache.store import BarStore, SeriesKey, Stretch, attempt
from data_sources.cleaning import LATEST_DELAY, UNFINISHED, bar_end
from data_sources.source import AskedRange, Bars, DataSource, Instrument
from kronos.calendars.intervals import interval_width
from kronos.candles import PRICES, Candles
from kronos.errors import (
    IntervalUnavailable,
    RateLimited,
    SourceBlocked,
    SourceDown,
    SourceError,
    SourceNonsense,
)
from kronos.system import user_cache

__all__ = [
    "CachedBars",
    "default_path",
]

T = TypeVar("T")

# So many bars that are kept already are fetched again, to see whether prices were adjusted since.
_OVERLAP = 6
# Behind by more bars than this, and with no start asked for, a series is fetched anew.
_MOST_BEHIND = 2_000
# A source that has just failed for a series is not asked for it again for so long.
_REST = pd.Timedelta(seconds=2)
_FAILURES = (RateLimited, SourceBlocked, SourceDown, SourceNonsense)


def default_path() -> Path:
    """Where bars are kept: in the user's cache, which may be deleted at any time."""
    return user_cache("bars.sqlite")


class CachedBars:
    """A `DataSource` in front of another one.

    The source is not asked while no new bar can have ended since it was asked last. Otherwise
    it is asked for the bars since then and a few before, and if those have changed (a split, a
    dividend) for the whole series. One request at a time is made for a series; who asks for
    the same meanwhile gets the same answer. When the source fails, the bars that are kept are
    given, with the reason and their age in `Bars.stale`. Without a start but with an end the
    source is asked every time.

    Args:
        source: The source.
        store: Where bars are kept; default: the user's cache.
        clock: Time of this machine, aware.
    """

    def __init__(
        self,
        source: DataSource,
        store: BarStore | None = None,
        *,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
    ) -> None:
        self.source = source
        self.name, self.title, self.intervals = source.name, source.title, source.intervals
        self._store = store or BarStore(default_path())
        self._clock = clock
        self._lock = threading.Lock()
        self._flight: SingleFlight[Bars] = SingleFlight()
        self._failures: dict[SeriesKey, tuple[pd.Timestamp, SourceError]] = {}

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        """See `DataSource.suggest`."""
        return self.source.suggest(text, limit)

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        """See `DataSource.fetch`."""
        asked = AskedRange(self, interval, start, end)
        key = SeriesKey(self.name, symbol.strip(), interval, adjusted)
        return self._flight.run(
            key, (key, asked.start, asked.end), lambda: self._answer(key, asked)
        )

    def _answer(self, key: SeriesKey, asked: AskedRange) -> Bars:
        if asked.start is None and asked.end is not None:
            return self._ask(key, None, asked.end)
        kept = self._stored(lambda store: store.find(key)) or []
        stretch = fitting(kept, asked)
        now = self._clock()
        if stretch is not None and is_enough(stretch, asked, now):
            bars = self._serve(stretch, key, asked)
            if bars is not None:
                return bars
        try:
            self._require_rest(key, now)
            return self._renew(key, asked, stretch)
        except _FAILURES as error:
            self._note_failure(key, now, error)
            covers = stretch is not None and (asked.start is None or asked.start >= stretch.first)
            bars = self._serve(stretch, key, asked) if stretch is not None and covers else None
            if bars is None:
                raise
            age = moment_and_age(bars.fetched_at, now)
            return replace(bars, stale=f"These bars are {age}. {error}")

    def _renew(self, key: SeriesKey, asked: AskedRange, stretch: Stretch | None) -> Bars:
        """Asks for what is missing, keeps it, and answers."""
        width = interval_width(key.interval)
        is_far_behind = (
            stretch is not None
            and asked.start is None
            and self._clock() - stretch.last > _MOST_BEHIND * width
        )
        if stretch is None or is_far_behind:
            return self._fetch_anew(key, asked)
        if asked.start is not None and asked.start < stretch.first:
            extended = self._extend(key, stretch, asked.start, None)
            if extended is None:
                return self._fetch_anew(key, asked)
            stretch = extended
        if not is_enough(stretch, asked, self._clock()):
            try:
                extended = self._extend(key, stretch, None, asked.end)
            except IntervalUnavailable:
                extended = None  # What is missing has meanwhile got too old to be had.
            if extended is None:
                return self._fetch_anew(key, asked)
            stretch = extended
        return self._serve(stretch, key, asked) or self._ask(key, asked.start, asked.end)

    def _fetch_anew(self, key: SeriesKey, asked: AskedRange) -> Bars:
        fetched = self._ask(key, asked.start, asked.end)
        now = self._clock()
        first = fetched.candles.frame.index[0] if asked.start is None else asked.start
        candles = fetched.candles
        stretch = Stretch(
            first=first,
            last=covered_until(fetched, asked.end),
            is_default=asked.start is None,
            fetched_at=fetched.fetched_at,
            fresh_until=freshness(fetched, asked.end, now),
            zone=candles.zone,
            calendar=candles.calendar,
            symbol=candles.symbol,
            credit=candles.source,
            instrument=fetched.instrument,
            notes=fetched.notes,
        )
        self._stored(lambda store: store.write(key, stretch, candles.frame, now=now))
        return fetched

    def _extend(
        self,
        key: SeriesKey,
        stretch: Stretch,
        start: pd.Timestamp | None,
        end: pd.Timestamp | None,
    ) -> Stretch | None:
        """The stretch with older bars from `start` on, or with newer ones where that is None.

        Returns:
            None if what is kept does not fit what the source says now; it is then forgotten.
        """
        overlap = self._stored(lambda store: store.overlap(stretch, _OVERLAP, at_end=start is None))
        if overlap is None or overlap.empty:
            return None
        edge = overlap.index[0] if start is None else overlap.index[-1]
        fetched = self._ask(key, start or edge, end if start is None else edge)
        # The latest bar may still be corrected; the others change only with an adjustment.
        known = overlap.iloc[:-1] if start is None and len(overlap) > 1 else overlap
        if not same_prices(known, fetched.candles.frame):
            self._stored(lambda store: store.drop(key))
            return None
        now = self._clock()
        longer = replace(
            stretch,
            first=stretch.first if start is None else start,
            instrument=fetched.instrument,
            notes=merged_notes(stretch.notes, fetched.notes, is_newer=start is None),
        )
        replaced = (longer.first, edge)
        if start is None:
            longer = replace(
                longer,
                last=max(stretch.last, covered_until(fetched, end)),
                fetched_at=fetched.fetched_at,
                fresh_until=freshness(fetched, end, now),
            )
            replaced = (edge, longer.last)
        frame = fetched.candles.frame
        return self._stored(
            lambda store: store.write(key, longer, frame, now=now, replaced=replaced)
        )

    def _serve(self, stretch: Stretch, key: SeriesKey, asked: AskedRange) -> Bars | None:
        """What is kept of the range; None if there is nothing."""
        frame = self._stored(lambda store: store.read(stretch, asked.start, asked.end))
        if frame is None or frame.empty:
            return None
        self._stored(lambda store: store.mark_used(stretch, self._clock()))
        candles = Candles(
            frame, key.interval, stretch.zone, stretch.calendar, stretch.symbol, stretch.credit
        )
        return Bars(candles, stretch.instrument, stretch.fetched_at, stretch.notes)

    def _ask(self, key: SeriesKey, start: pd.Timestamp | None, end: pd.Timestamp | None) -> Bars:
        return self.source.fetch(
            key.symbol, interval=key.interval, adjusted=key.adjusted, start=start, end=end
        )

    def _require_rest(self, key: SeriesKey, now: pd.Timestamp) -> None:
        with self._lock:
            until, error = self._failures.get(key, (now, None))
        if error is not None and now < until:
            raise error

    def _note_failure(self, key: SeriesKey, now: pd.Timestamp, error: SourceError) -> None:
        with self._lock:
            _, last = self._failures.get(key, (now, None))
            if last is not error:
                self._failures[key] = (now + _REST, error)

    def _stored(self, use: Callable[[BarStore], T]) -> T | None:
        return attempt(self._store, use)


class SingleFlight(Generic[T]):
    """Runs one call at a time on a subject; equal calls that come meanwhile share its outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[T]] = {}
        self._turns: dict[Hashable, threading.Lock] = {}

    def run(self, subject: Hashable, question: Hashable, call: Callable[[], T]) -> T:
        """The result of the call, or of an equal one that is under way.

        Args:
            subject: Calls on the same subject take turns.
            question: Calls with the same question are equal.
            call: Does the work.
        """
        with self._lock:
            flight = self._flights.get(question)
            is_mine = flight is None
            flight = flight or self._flights.setdefault(question, Future())
            turn = self._turns.setdefault(subject, threading.Lock())
        if not is_mine:
            return flight.result()
        try:
            with turn:
                result = call()
        except BaseException as error:
            self._land(question)
            flight.set_exception(error)
            raise
        self._land(question)
        flight.set_result(result)
        return result

    def _land(self, question: Hashable) -> None:
        with self._lock:
            del self._flights[question]


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
