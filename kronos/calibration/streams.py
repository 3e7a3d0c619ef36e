"""Which outcomes are tracked together: streams, and the wider ones a thin stream falls back on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["ANY", "BUCKETS", "Stream", "bucket_of", "bucket_size", "bucket_title"]

ANY = "any"
"""Stands for every asset class, or every interval."""
BUCKETS = (1, 3, 6, 12, 24, 48, 96, 240)
"""Last step of every bucket of horizons; later steps belong to the last one."""


class Stream(NamedTuple):
    """One model on one kind of series at one distance.

    Attributes:
        model: Name of the model.
        revision: Revision of its weights: another revision is another model.
        asset_class: Asset class of the instruments, or `ANY`.
        interval: Width of a bar, or `ANY`.
        bucket: Last step of the bucket of horizons.
    """

    model: str
    revision: str
    asset_class: str
    interval: str
    bucket: int

    def widening(self) -> tuple[Stream, Stream, Stream]:
        """The stream, the same of every asset class, and that of every interval as well.

        Offsets are in units of volatility times the root of the step, so that a wide stream says
        something of a narrow one that has no record yet.
        """
        wide = self._replace(asset_class=ANY)
        return self, wide, wide._replace(interval=ANY)


def bucket_of(steps: np.ndarray) -> np.ndarray:
    """Bucket of every step (from 1): its last step, of the same shape."""
    places = np.searchsorted(BUCKETS, steps, side="left")
    return np.asarray(BUCKETS)[np.minimum(places, len(BUCKETS) - 1)]


def bucket_size(bucket: int) -> int:
    """Number of steps of a bucket, given by its last one."""
    place = BUCKETS.index(bucket)
    return bucket - (BUCKETS[place - 1] if place else 0)


def bucket_title(bucket: int) -> str:
    """The steps of a bucket in words, such as 4-6."""
    first = bucket - bucket_size(bucket) + 1
    return f"{first}" if first == bucket else f"{first}-{bucket}"
