"""Splits of a corpus by time: training, validation and test.

All series are split at the same moments, because markets move together. A window lies in one part
as a whole, its context included: a validation origin is at least a context after the cut-off, and
none of its bars was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest
from kronos.training.corpus import Corpus

__all__ = ["Parts", "Split", "choose_split", "split_corpus"]

_SHARE = 0.2
"""Smallest share of a series' bars after the cut-off."""
_ROOM = 1.5
"""Parts hold at least this many windows end to end, so that there is something to draw."""


@dataclass(frozen=True, slots=True)
class Split:
    """The moments at which a corpus is split.

    Attributes:
        cut_off: Bars that open before it are for training.
        test_from: Bars that open from here on are for the test; None for no test.

    Raises:
        InvalidRequest: The moments are in the wrong order or without a zone.
    """

    cut_off: pd.Timestamp
    test_from: pd.Timestamp | None = None

    def __post_init__(self) -> None:
        for moment in filter(None, (self.cut_off, self.test_from)):
            if moment.tz is None:
                raise InvalidRequest(f"The moment {moment} of a split needs a time zone.")
        if self.test_from is not None and self.test_from <= self.cut_off:
            raise InvalidRequest(
                f"Bars for the test begin at {self.test_from}, which must be after the cut-off, "
                f"{self.cut_off}."
            )


@dataclass(frozen=True, slots=True)
class Parts:
    """A corpus in parts that share no bar.

    Attributes:
        train: Training bars.
        validation: Bars that choose the best step.
        test: Bars that only score, or None.
        cut_off: Moment before which the bars of `train` lie.
        seen_until: Moment before which the bars of `train` and `validation` lie.
    """

    train: Corpus
    validation: Corpus
    test: Corpus | None
    cut_off: pd.Timestamp
    seen_until: pd.Timestamp


def choose_split(corpus: Corpus, *, n_bars: int, with_test: bool = False) -> Split:
    """A split that leaves most series enough bars after the cut-off.

    Args:
        corpus: All bars.
        n_bars: Bars of a window.
        with_test: Whether the split has a test part.

    Raises:
        InvalidRequest: Most series are too short to be split.
    """
    n_parts = 2 if with_test else 1
    share = _SHARE / n_parts
    moments = []
    for times in _times_by_file(corpus):
        n_part = max(int(_ROOM * n_bars), int(share * len(times)))
        # The training part needs a window, too.
        if n_parts * n_part + n_bars <= len(times):
            moments.append([int(times[-(i + 1) * n_part]) for i in range(n_parts)])
    if not moments:
        raise InvalidRequest(
            f"No series is long enough to be split: {int((n_parts * _ROOM + 1) * n_bars)} bars "
            f"are needed for windows of {n_bars}. Give longer files or shorter windows."
        )
    last, *earlier = (
        pd.Timestamp(int(np.median(column)), tz="UTC").floor("s")
        for column in zip(*moments, strict=True)
    )
    return Split(earlier[0], last) if earlier else Split(last)


def split_corpus(corpus: Corpus, split: Split, *, n_bars: int) -> Parts:
    """The parts of a corpus; a part leaves out series that are too short for it.

    Raises:
        InvalidRequest: No series is long enough for one of the parts.
    """
    test = None
    if split.test_from is not None:
        test = corpus.between(split.test_from, None, min_bars=n_bars)
    validation = corpus.between(split.cut_off, split.test_from, min_bars=n_bars)
    seen_until = split.test_from or pd.Timestamp(int(corpus.times.max()) + 1, tz="UTC").ceil("s")
    return Parts(
        train=corpus.between(None, split.cut_off, min_bars=n_bars),
        validation=validation,
        test=test,
        cut_off=split.cut_off,
        seen_until=seen_until,
    )


def _times_by_file(corpus: Corpus) -> list[np.ndarray]:
    files: dict[str, list[np.ndarray]] = {}
    for series in corpus.series:
        files.setdefault(series.name, []).append(corpus.times[series.start : series.stop])
    return [np.concatenate(runs) for runs in files.values()]
