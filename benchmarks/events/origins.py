"""Places to forecast from in the test: short of events, and as many in quiet hours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.events.arms import Origin, Sampling
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo

__all__ = ["draw_origins"]


def draw_origins(
    corpus: Corpus,
    events: CorpusEvents,
    test_from: pd.Timestamp,
    sampling: Sampling,
    *,
    most: int,
    seed: int = 0,
) -> tuple[list[Origin], list[Origin]]:
    """Origins with an event ahead, and origins without.

    For every series and every run of flagged bars in the test, one origin is drawn at which the
    first of these bars lies in the first half of the horizon. As many quiet origins are drawn in
    the same series, with no flagged bar in the horizon.

    Args:
        corpus: All bars, so that contexts may lie before the test.
        events: Their events.
        test_from: No bar scored opens before it.
        sampling: Bars read and forecast.
        most: Most origins of either kind, drawn from all.
        seed: Seed of what is drawn.
    """
    rng = np.random.default_rng([seed, 4])
    found: list[tuple[Origin, Origin]] = []
    for series in corpus.series:
        found += _pairs(corpus, events, series, test_from.value, sampling, rng)
    if len(found) > most:
        found = [found[i] for i in sorted(rng.choice(len(found), most, replace=False))]
    return [event for event, _ in found], [quiet for _, quiet in found]


def _pairs(
    corpus: Corpus,
    events: CorpusEvents,
    series: SeriesInfo,
    test_from: int,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Iterator[tuple[Origin, Origin]]:
    times = corpus.times[series.start : series.stop]
    first = series.start + max(sampling.context, int(np.searchsorted(times, test_from)))
    at = np.arange(first, series.stop - sampling.horizon + 1)
    if not len(at):
        return
    quiet = at[~events.any_between(at, at + sampling.horizon)]
    begins = at[events.any_between(at, at + 1) & ~events.any_between(at - 1, at)]
    for bar in begins:
        origin = bar - int(rng.integers(sampling.horizon // 2))
        if origin >= first and len(quiet):
            yield Origin(series, int(origin)), Origin(series, int(rng.choice(quiet)))
