"""A cache in front of any source: only bars that can be new are requested."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_sources.cache.store import BarStore, CachedRange, SeriesKey
from data_sources.cleaning import LATEST_DELAY, UNFINISHED, without_wild_bars
from data_sources.source import Bars, DataSource, Instrument, RequestedRange
from kronos.calendars.intervals import interval_width
from kronos.calendars.spans import bar_end
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

__all__ = ["CachedBars", "default_path", "fetch_faults"]

# So many cached bars are fetched again, to see whether prices were adjusted since.
_OVERLAP = 6
# So many of them show the hours of a session: a day of minutes.
_HOURS = 1_500
# With more missing bars than this, a request without a start fetches the whole series.
_MOST_MISSING = 2_000
# How long a failure is cached: requests for the series raise the same error again.
_FAILURE_LIFE = pd.Timedelta(seconds=2)
# Errors for which cached bars stand in; others mean that the request itself is wrong.
_FAILURES = (RateLimited, SourceBlocked, SourceDown, SourceNonsense)
# Relative difference of prices that are equal up to their last digits; a dividend changes more.
_SAME = 1e-5
# A bar that has ended and was not sent can be late: the time until the next request.
_SHORTEST_PAUSE, _LONGEST_PAUSE = pd.Timedelta(seconds=5), pd.Timedelta(seconds=60)
_MOST_AHEAD = 64  # future bars among which the next one to end is

_faults_lock = threading.Lock()
_faults: Counter[str] = Counter()


def fetch_faults() -> dict[str, int]:
    """Failed requests to sources since this process began, by class of error."""
    with _faults_lock:
        return dict(_faults)


def default_path() -> Path:
    """The file in the user's cache folder, which may be deleted at any time."""
    return user_cache("bars.sqlite")


class CachedBars:
    """A `DataSource` that caches the bars of another one.

    No request is made as long as no further bar can have ended since the last one. Then the bars
    since that request and a few before are fetched; if those few have changed (a split, a
    dividend), the whole series is. Requests for one series take turns, and equal ones that run at
    the same time share a result. When the source fails, cached bars are given, with the reason
    and their age in `Bars.stale`. A request with an end and no start is not cached.

    Args:
        source: The source.
        store: The file; default: in the user's cache folder.
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
        self._flights = _SingleFlight()
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
        requested = RequestedRange(self, interval, start, end)
        key = SeriesKey(self.name, symbol.strip(), interval, adjusted)
        return self._flights.run(
            key,
            (key, requested.start, requested.end),
            lambda: self._from_cache_or_source(key, requested),
        )

    def _from_cache_or_source(self, key: SeriesKey, requested: RequestedRange) -> Bars:
        if requested.start is None and requested.end is not None:
            return self._request(key, None, requested.end)
        stored = self._store.attempt(lambda store: store.find(key)) or []
        cached = _usable_range(stored, requested)
        now = self._clock()
        if cached is not None and _covers(cached, requested, now):
            bars = self._read(cached, key, requested)
            if bars is not None:
                return bars
        try:
            self._raise_recent_failure(key, now)
            return self._update(key, requested, cached)
        except _FAILURES as error:
            self._note_failure(key, now, error)
            bars = None
            if cached is not None and (requested.start is None or requested.start >= cached.first):
                bars = self._read(cached, key, requested)
            if bars is None:
                raise
            age = _age(bars.fetched_at, now)
            return replace(bars, stale=f"These bars are {age}. {error}")

    def _update(
        self, key: SeriesKey, requested: RequestedRange, cached: CachedRange | None
    ) -> Bars:
        """Fetch and store the missing bars, and return the requested ones."""
        most = _MOST_MISSING * interval_width(key.interval)
        if cached is None or (requested.start is None and self._clock() - cached.last > most):
            return self._fetch_all(key, requested)
        if requested.start is not None and requested.start < cached.first:
            extended = self._extend(key, cached, requested.start, None)
            if extended is None:
                return self._fetch_all(key, requested)
            cached = extended
        if not _covers(cached, requested, self._clock()):
            try:
                extended = self._extend(key, cached, None, requested.end)
            except IntervalUnavailable:
                extended = None  # The source no longer has the bars since the cached ones.
            if extended is None:
                return self._fetch_all(key, requested)
            cached = extended
        return self._read(cached, key, requested) or self._request(
            key, requested.start, requested.end
        )

    def _fetch_all(self, key: SeriesKey, requested: RequestedRange) -> Bars:
        fetched = self._request(key, requested.start, requested.end)
        now, candles = self._clock(), fetched.candles
        cached = CachedRange(
            first=candles.frame.index[0] if requested.start is None else requested.start,
            last=_complete_until(fetched, requested.end),
            is_default=requested.start is None,
            fetched_at=fetched.fetched_at,
            fresh_until=_fresh_until(fetched, requested.end, now),
            zone=candles.zone,
            calendar=candles.calendar,
            symbol=candles.symbol,
            credit=candles.source,
            instrument=fetched.instrument,
            notes=fetched.notes,
        )
        self._store.attempt(lambda store: store.write(key, cached, candles.frame, now=now))
        return fetched

    def _extend(
        self,
        key: SeriesKey,
        cached: CachedRange,
        start: pd.Timestamp | None,
        end: pd.Timestamp | None,
    ) -> CachedRange | None:
        """The range with older bars from `start` on, or with newer ones where that is None.

        Returns:
            None if the cached bars are not the source's any more; the series is then deleted.
        """
        at_end = start is None
        n_edge = _HOURS if at_end else _OVERLAP
        known = self._store.attempt(lambda store: store.edge(cached, n_edge, at_end=at_end))
        if known is None or known.empty:
            return None
        overlap = known.iloc[-_OVERLAP:] if at_end else known
        edge = overlap.index[0] if at_end else overlap.index[-1]
        fetched = self._request(key, start or edge, end if at_end else edge)
        # The latest bar may still be corrected; the others change only with an adjustment.
        fixed = overlap.iloc[:-1] if at_end and len(overlap) > 1 else overlap
        if not _has_same_prices(fixed, fetched.candles.frame):
            self._store.attempt(lambda store: store.drop(key))
            return None
        now = self._clock()
        extended = replace(
            cached,
            first=start or cached.first,
            instrument=fetched.instrument,
            notes=_merged_notes(cached.notes, fetched.notes, is_newer=at_end),
        )
        replaced = (extended.first, edge)
        if at_end:
            extended = replace(
                extended,
                last=max(cached.last, _complete_until(fetched, end)),
                fetched_at=fetched.fetched_at,
                fresh_until=_fresh_until(_behind(known, fetched), end, now),
            )
            replaced = (edge, extended.last)
        frame = fetched.candles.frame
        return self._store.attempt(
            lambda store: store.write(key, extended, frame, now=now, replaced=replaced)
        )

    def _read(self, cached: CachedRange, key: SeriesKey, requested: RequestedRange) -> Bars | None:
        """The cached bars of the requested range; None if there are none."""
        frame = self._store.attempt(
            lambda store: store.read(cached, requested.start, requested.end)
        )
        if frame is None or frame.empty:
            return None
        self._store.attempt(lambda store: store.mark_used(cached, self._clock()))
        frame, wild = without_wild_bars(frame)  # Earlier versions cached them.
        candles = Candles(
            frame, key.interval, cached.zone, cached.calendar, cached.symbol, cached.credit
        )
        return Bars(candles, cached.instrument, cached.fetched_at, (*cached.notes, *wild))

    def _request(
        self, key: SeriesKey, start: pd.Timestamp | None, end: pd.Timestamp | None
    ) -> Bars:
        try:
            return self.source.fetch(
                key.symbol, interval=key.interval, adjusted=key.adjusted, start=start, end=end
            )
        except SourceError as error:
            with _faults_lock:
                _faults[type(error).__name__] += 1
            raise

    def _raise_recent_failure(self, key: SeriesKey, now: pd.Timestamp) -> None:
        with self._lock:
            until, error = self._failures.get(key, (now, None))
        if error is not None and now < until:
            raise error

    def _note_failure(self, key: SeriesKey, now: pd.Timestamp, error: SourceError) -> None:
        with self._lock:
            _, last = self._failures.get(key, (now, None))
            if last is not error:
                self._failures[key] = (now + _FAILURE_LIFE, error)


class _SingleFlight:
    """Runs one call at a time on a subject; equal calls meanwhile share its result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Future[Bars]] = {}
        self._turns: dict[Hashable, threading.Lock] = {}

    def run(self, subject: Hashable, call_key: Hashable, call: Callable[[], Bars]) -> Bars:
        """The result of the call, or of an equal one that runs already.

        Args:
            subject: Calls on the same subject take turns.
            call_key: Calls with the same key are equal.
            call: Does the work.
        """
        with self._lock:
            flight = self._flights.get(call_key)
            is_mine = flight is None
            flight = flight or self._flights.setdefault(call_key, Future())
            turn = self._turns.setdefault(subject, threading.Lock())
        if not is_mine:
            return flight.result()
        try:
            with turn:
                result = call()
        except BaseException as error:
            self._land(call_key)
            flight.set_exception(error)
            raise
        self._land(call_key)
        flight.set_result(result)
        return result

    def _land(self, call_key: Hashable) -> None:
        with self._lock:
            del self._flights[call_key]


def _usable_range(stored: list[CachedRange], requested: RequestedRange) -> CachedRange | None:
    """The range that covers a request, or does so once it is extended; None if there is none.

    Args:
        stored: The ranges of the series, the latest first.
        requested: The request.
    """
    start, end = requested.start, requested.end
    if start is None:
        return next((cached for cached in stored if cached.is_default), None)
    for cached in stored:
        if cached.first <= start <= cached.last:
            return cached
    for cached in stored:
        if start < cached.first and (end is None or end >= cached.first):
            return cached
    return None


def _covers(cached: CachedRange, requested: RequestedRange, now: pd.Timestamp) -> bool:
    """Whether a range holds all bars of a request that can exist now."""
    if requested.start is not None and requested.start < cached.first:
        return False
    if requested.end is not None and requested.end <= cached.last:
        return True
    return cached.fresh_until is not None and now < cached.fresh_until


def _complete_until(fetched: Bars, end: pd.Timestamp | None) -> pd.Timestamp:
    """Open time up to which bars fetched up to `end` have no gap."""
    last = pd.Timestamp(fetched.candles.frame.index[-1])
    if end is None or end + fetched.candles.width + LATEST_DELAY > fetched.fetched_at:
        return last  # A bar behind it may have been open, or late.
    return end


def _behind(known: pd.DataFrame, fetched: Bars) -> Bars:
    """Fetched bars behind the known ones: a few bars do not show the hours of a session.

    Args:
        known: (K, 6) cached bars.
        fetched: The bars from the source.
    """
    candles = fetched.candles
    frame = pd.concat([known[known.index < candles.frame.index[0]], candles.frame])
    return replace(fetched, candles=replace(candles, frame=frame))


def _fresh_until(fetched: Bars, end: pd.Timestamp | None, now: pd.Timestamp) -> pd.Timestamp | None:
    """When a request for newer bars makes sense, by this machine's clock.

    That is when the next bar ends. A bar that has ended and was not sent may be late by
    `LATEST_DELAY`; then the time is a tenth of a bar from now, 5 to 60 seconds.

    Args:
        fetched: The bars.
        end: End of their request.
        now: Time of this machine when they were fetched.

    Returns:
        None for bars that were fetched up to some past time.
    """
    candles, source_now = fetched.candles, fetched.fetched_at
    if end is not None and end < source_now:
        return None
    moment = source_now + min(max(candles.width / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    for opened in candles.future(_MOST_AHEAD):
        bar_ends = bar_end(
            opened, interval=candles.interval, calendar=candles.calendar, zone=candles.zone
        )
        if bar_ends > source_now - LATEST_DELAY:
            moment = max(moment, bar_ends)
            break
    return now + (moment - source_now)


def _has_same_prices(known: pd.DataFrame, fetched: pd.DataFrame) -> bool:
    """Whether bars have the prices that they had before.

    Args:
        known: (K, 6) cached bars.
        fetched: (T, 6) bars from the source.

    Returns:
        False also if there are no cached bars, or one of them is not among the fetched ones.
    """
    if not len(known) or not known.index.isin(fetched.index).all():
        return False
    before = known[list(PRICES)].to_numpy()
    after = fetched.loc[known.index, list(PRICES)].to_numpy()
    return bool(np.allclose(before, after, rtol=_SAME, atol=0))


def _merged_notes(
    cached: tuple[str, ...], fetched: tuple[str, ...], *, is_newer: bool
) -> tuple[str, ...]:
    """Notes of two requests: each once, and only the later one on an open bar."""
    older, newer = (cached, fetched) if is_newer else (fetched, cached)
    return tuple(dict.fromkeys([*(note for note in older if UNFINISHED not in note), *newer]))


def _age(fetched_at: pd.Timestamp, now: pd.Timestamp) -> str:
    """How long ago bars were fetched, and when."""
    minutes = max(0, int((now - fetched_at).total_seconds() // 60))
    if minutes < 120:
        age = f"{minutes} min"
    else:
        age = f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
    return f"{age} old (of {fetched_at:%Y-%m-%d %H:%M} UTC)"
