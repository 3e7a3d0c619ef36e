"""Origins with and without events ahead, and fans from them with the same seeds for every arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.context import CLOSE, Context
from kronos.forecast import SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.forecasters.paths import PRICE_FLOOR, anchor_factor
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo
from kronos.training.held_out import alignment_of

__all__ = ["Fan", "Origin", "Sampling", "draw_origins", "fans"]

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin: bars before `at` are read, those from it on forecast."""

    series: SeriesInfo
    at: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an origin is forecast.

    Attributes:
        context: Bars read.
        horizon: Bars forecast.
        paths: Paths sampled, at temperature 1 without filters.
        seed: Seed of the paths, the same for every arm.
    """

    context: int = 96
    horizon: int = 12
    paths: int = 64
    seed: int = 0

    def future(self, origin: Origin) -> slice:
        return slice(origin.at, origin.at + self.horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """The fan of an origin.

    Attributes:
        paths: (N, H) log-returns of the close from the last close, anchored there.
        flagged: (H,) whether a bar carries an event.
    """

    paths: np.ndarray
    flagged: np.ndarray


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
        test_from: Earliest open time of a scored bar.
        sampling: Bars read and forecast.
        most: Most origins of either kind, drawn from all.
        seed: Seed of the origins.
    """
    rng = np.random.default_rng([seed, 4])
    pairs: list[tuple[Origin, Origin]] = []
    for series in corpus.series:
        pairs += _pairs(corpus, events, series, test_from.value, sampling, rng)
    if len(pairs) > most:
        pairs = [pairs[i] for i in sorted(rng.choice(len(pairs), most, replace=False))]
    return [event for event, _ in pairs], [quiet for _, quiet in pairs]


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


def fans(
    predictor: KronosPredictor,
    corpus: Corpus,
    events: CorpusEvents,
    origins: Sequence[Origin],
    sampling: Sampling,
    *,
    reads_events: bool,
) -> list[Fan]:
    """Sample a fan from every origin.

    Args:
        predictor: The model.
        corpus: The bars.
        events: Their events, which flag bars.
        origins: The origins.
        sampling: How they are forecast.
        reads_events: Whether the model gets the event channels.
    """
    parameters = SamplingParameters(sample_count=sampling.paths, seed=sampling.seed)
    alignment = alignment_of(predictor) if reads_events else None
    found = []
    for first in range(0, len(origins), _BATCH):
        chunk = origins[first : first + _BATCH]
        rows = [np.arange(o.at - sampling.context, o.at + sampling.horizon) for o in chunk]
        inputs = {}
        if alignment is not None:
            inputs["events"] = [
                events.channels(o.series, row, sampling.context, alignment)
                for o, row in zip(chunk, rows, strict=True)
            ]
        contexts = [_context(corpus, o, sampling.context) for o in chunk]
        futures = [corpus.stamps[sampling.future(o)].astype(np.int64) for o in chunk]
        paths, last = predictor.sample(contexts, futures, parameters, **inputs)
        for o, row, drawn, decoded in zip(chunk, rows, paths, last, strict=True):
            future = row[sampling.context :]
            flagged = events.any_between(future, future + 1)
            close = float(corpus.values[o.at - 1, CLOSE])
            factor = anchor_factor(close, decoded[CLOSE])
            closes = np.maximum(drawn[..., CLOSE] * factor, PRICE_FLOOR * close)
            found.append(Fan(np.log(closes / close), flagged))
    return found


def _context(corpus: Corpus, origin: Origin, n_bars: int) -> Context:
    rows = slice(origin.at - n_bars, origin.at)
    return Context(corpus.values[rows].astype(np.float64), corpus.stamps[rows].astype(np.int64))
