"""Events on the bars of a corpus: which bars carry one, and the channels of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Event, Leaders, event_channels, regions_of
from kronos.events.event import sorted_events
from kronos.training.corpus import Corpus, SeriesInfo

__all__ = ["CorpusEvents"]

# No event further away from a window than this changes one of its channels.
_BEFORE, _AFTER = pd.Timedelta(days=40).value, pd.Timedelta(days=400).value
_FLAGS = [i for i, name in enumerate(CHANNELS) if name.startswith("is_")]


class CorpusEvents:
    """The events of a corpus that was loaded on calendars."""

    def __init__(
        self, corpus: Corpus, events: Sequence[Event], leaders: Leaders | None = None
    ) -> None:
        """Args:
        corpus: The bars.
        events: Any events; which were known when follows from each.
        leaders: Leading markets; default none.

        Raises:
            InvalidRequest: The corpus was loaded without calendars.
        """
        if not all(series.calendar for series in corpus.series):
            raise InvalidRequest("Events can only be placed on bars loaded on their calendars.")
        self._times, self._leaders = corpus.times, leaders
        self._events = np.array(sorted_events(events), dtype=object)
        self._moments = np.array([event.time.value for event in self._events], np.int64)
        # Scores are measured against the surprises before, however long ago.
        self._has_surprise = np.array([event.surprise is not None for event in self._events], bool)
        carries = np.zeros(len(corpus.times), dtype=bool)
        for series in corpus.series:
            rows = np.arange(series.start, series.stop)
            carries[rows] = (self.channels(series, rows, len(rows))[:, _FLAGS] != 0).any(axis=1)
        self._before = np.concatenate([[0], np.cumsum(carries)])

    def channels(self, series: SeriesInfo, rows: np.ndarray, n_context: int) -> np.ndarray:
        """Channels of a window as they were known at its origin.

        Args:
            series: The series of the window.
            rows: (L,) its bars, positions in the corpus.
            n_context: How many of them lie before the origin.

        Returns:
            (L, 20) float32.
        """
        times = self._times[rows]
        near = (self._moments >= times[0] - _BEFORE) | self._has_surprise
        near &= self._moments <= times[-1] + _AFTER
        return event_channels(
            pd.DatetimeIndex(times, tz="UTC"),
            interval=series.interval,
            calendar=series.calendar,
            zone=series.zone,
            n_context=n_context,
            events=self._events[near].tolist(),
            leaders=self._leaders,
            symbol=series.symbol,
            regions=regions_of(series.calendar, series.symbol),
        )

    def any_between(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Whether any bar from `start` on and before `stop` carries an event; both (n,)."""
        return np.asarray(self._before[stop] > self._before[start])
