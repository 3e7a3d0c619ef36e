"""Forecasts of the same windows with the same seeds, by a base and by its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kronos.context import CLOSE, Context
from kronos.forecast import SamplingParameters
from kronos.forecasters.kronos import KronosPredictor
from kronos.forecasters.paths import PRICE_FLOOR, anchor_factor
from kronos.training.corpus import Corpus, CorpusEvents, SeriesInfo

__all__ = ["Fan", "Origin", "Sampling", "fans"]

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """A place to forecast from: bars before `at` are read, those from it on forecast."""

    series: SeriesInfo
    at: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a place is forecast.

    Attributes:
        context: Bars read.
        horizon: Bars forecast.
        paths: Paths sampled, at temperature 1 and with nothing cut off.
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
    """What was sampled at an origin.

    Attributes:
        paths: (N, H) log-returns of the close from the last close, anchored there.
        flagged: (H,) whether a bar carries an event.
    """

    paths: np.ndarray
    flagged: np.ndarray


def fans(
    predictor: KronosPredictor,
    corpus: Corpus,
    events: CorpusEvents,
    origins: Sequence[Origin],
    sampling: Sampling,
    *,
    is_told: bool,
) -> list[Fan]:
    """Samples every origin.

    Args:
        predictor: The model.
        corpus: The bars.
        events: Their events; they say which bars are flagged.
        origins: Where to forecast from.
        sampling: How.
        is_told: Whether the model is told of the events.
    """
    parameters = SamplingParameters(sample_count=sampling.paths, seed=sampling.seed)
    found = []
    for first in range(0, len(origins), _BATCH):
        chunk = origins[first : first + _BATCH]
        rows = [np.arange(o.at - sampling.context, o.at + sampling.horizon) for o in chunk]
        told = {}
        if is_told:
            told["events"] = [
                events.channels(o.series, row, sampling.context)
                for o, row in zip(chunk, rows, strict=True)
            ]
        contexts = [_context(corpus, o, sampling.context) for o in chunk]
        futures = [corpus.stamps[sampling.future(o)].astype(np.int64) for o in chunk]
        paths, last = predictor.sample(contexts, futures, parameters, **told)
        for o, row, drawn, decoded in zip(chunk, rows, paths, last, strict=True):
            future = row[sampling.context :]
            flagged = events.any_between(future, future + 1)
            close = float(corpus.values[o.at - 1, CLOSE])
            factor = anchor_factor(close, decoded[CLOSE])
            held = np.maximum(drawn[..., CLOSE] * factor, PRICE_FLOOR * close)
            found.append(Fan(np.log(held / close), flagged))
    return found


def _context(corpus: Corpus, origin: Origin, n_bars: int) -> Context:
    rows = slice(origin.at - n_bars, origin.at)
    return Context(corpus.values[rows].astype(np.float64), corpus.stamps[rows].astype(np.int64))
