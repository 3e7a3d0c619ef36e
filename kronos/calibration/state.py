"""What was learned of every stream of forecasts, offsets and drift, as a file.

A stream holds the outcomes that are learned from together; one with few outcomes falls back on a
wider one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kronos.errors import InvalidRequest
from kronos.system import (
    asset_path,
    atomic_write,
    may_be_there,
    printable,
    read_json,
    shown,
    user_data,
)

__all__ = [
    "ANY",
    "BUCKETS",
    "DECIMALS",
    "ETA",
    "CalibrationState",
    "DriftState",
    "Stream",
    "StreamState",
    "bucket_of",
    "bucket_size",
    "bucket_title",
    "bundled_file",
    "load_state",
    "user_file",
]

ANY = "any"
"""Stands for every asset class, or every interval."""
BUCKETS = (1, 3, 6, 12, 24, 48, 96, 240)
"""Last step of every bucket of horizons; later steps belong to the last one."""
ETA = 0.02
"""Step of a correction, in units of sigma * sqrt(h)."""
DECIMALS = 6
"""Decimals of the offsets in a file."""
_FORMAT = 2
_WITHOUT_DRIFT = 1
"""Format of the files from before drift was learned: their fans keep theirs."""
_LARGEST_FILE = 16 << 20


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


@dataclass(frozen=True, slots=True)
class DriftState:
    """How much of its fans' drift a stream keeps; see `kronos.calibration.drift`.

    Attributes:
        slope: Share of the mean log-return that is kept, from 0 to 1.
        products: Sum of fan mean times outcome behind it, over sigma^2 * h.
        squares: Sum of squared fan means.
        outcomes: Sum of squared outcomes.
        groups: Number of terms of each sum.
    """

    slope: float = 0.0
    products: float = 0.0
    squares: float = 0.0
    outcomes: float = 0.0
    groups: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class StreamState:
    """What was learned of one stream.

    Attributes:
        offsets: (L,) offsets in units of sigma * sqrt(h).
        n_outcomes: Number of outcomes learned from.
        latest: When the last of them resolved, UTC.
        drift: How much drift its fans keep; None in a file from before drift was learned, whose
            offsets are those of fans that keep all of it.
    """

    offsets: np.ndarray
    n_outcomes: int
    latest: pd.Timestamp
    drift: DriftState | None = None

    @property
    def drift_share(self) -> float:
        """Share of the mean log-return that a calibrated fan keeps."""
        return 1.0 if self.drift is None else self.drift.slope


@dataclass(frozen=True, eq=False)
class CalibrationState:
    """What was learned of all streams.

    Attributes:
        levels: (L,) levels, ascending.
        streams: Every stream behind its burn-in, narrow and wide.
        eta: Step of the corrections.
        learned_from: Origin of the outcomes, in words.
    """

    levels: np.ndarray
    streams: Mapping[Stream, StreamState]
    eta: float = ETA
    learned_from: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything a calibrated fan depends on."""
        facts = {key: value for key, value in self._facts().items() if key != "learned_from"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def knows(self, model: str, revision: str) -> bool:
        """Whether a stream is of these weights."""
        return any((stream.model, stream.revision) == (model, revision) for stream in self.streams)

    def of_steps(
        self, model: str, revision: str, asset_class: str, interval: str, horizon: int
    ) -> list[tuple[Stream, StreamState]] | None:
        """The narrowest stream with a record, for each of the H steps.

        Steps beyond the record take its farthest bucket.

        Returns:
            None where no stream covers the first bucket.
        """
        found: list[tuple[Stream, StreamState]] = []
        of_bucket: dict[int, tuple[Stream, StreamState] | None] = {}
        for bucket in map(int, bucket_of(np.arange(1, horizon + 1))):
            if bucket not in of_bucket:
                wanted = Stream(model, revision, asset_class, interval, bucket).widening()
                known = [
                    (stream, self.streams[stream]) for stream in wanted if stream in self.streams
                ]
                of_bucket[bucket] = known[0] if known else None
            known_here = of_bucket[bucket] or (found[-1] if found else None)
            if known_here is None:
                return None
            found.append(known_here)
        return found

    def save(self, path: Path) -> None:
        """Writes the state; a reader finds the complete old file or the complete new one.

        Raises:
            InvalidRequest: The file cannot be written.
        """
        text = json.dumps(self._facts() | {"sha256": self.digest}, indent=1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InvalidRequest(
                f"{path} cannot be written: {error.strerror}. Choose another file."
            ) from error

    @classmethod
    def load(cls, path: Path) -> CalibrationState:
        """Reads what `save` wrote.

        Raises:
            InvalidRequest: The file cannot be read, or was changed.
        """
        try:
            facts = read_json(path, limit=_LARGEST_FILE)
            if facts["format"] not in (_WITHOUT_DRIFT, _FORMAT):
                found = shown(facts["format"])
                raise ValueError(
                    f"its format is {found}, this program reads {_WITHOUT_DRIFT} and {_FORMAT}"
                )
            state = cls(
                np.array(facts["levels"], dtype=float),
                {_stream(row): _stream_state(row) for row in facts["streams"]},
                float(facts["eta"]),
                str(facts["learned_from"]),
            )
            if state.digest != facts["sha256"]:
                raise ValueError("its digest is not that of its contents")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise InvalidRequest(
                f"{path} is no calibration that can be read: {printable(error)}. Make it anew with "
                "`kronos calibrate`."
            ) from error
        return state

    def _facts(self) -> dict[str, Any]:
        knows_drift = any(state.drift is not None for state in self.streams.values())
        return {
            "format": _FORMAT if knows_drift else _WITHOUT_DRIFT,
            "levels": self.levels.tolist(),
            "eta": self.eta,
            "learned_from": self.learned_from,
            "streams": [
                stream._asdict()
                | {
                    "offsets": [float(value) for value in state.offsets.round(DECIMALS)],
                    "n_outcomes": state.n_outcomes,
                    "latest": state.latest.isoformat(),
                }
                | ({} if state.drift is None else {"drift": asdict(state.drift)})
                for stream, state in sorted(self.streams.items())
            ],
        }


def user_file() -> Path:
    """File of this user's calibration."""
    return user_data("calibration.json")


def bundled_file() -> Path:
    """The calibration that ships with the bundled model."""
    return asset_path("bundled", "calibration.json")


def load_state() -> CalibrationState:
    """This user's calibration, or the bundled one where the user has none.

    Raises:
        InvalidRequest: A file exists and cannot be used.
    """
    for path in (user_file(), bundled_file()):
        if may_be_there(path):
            return CalibrationState.load(path)
    return CalibrationState(np.empty(0), {})


def _stream(row: Mapping[str, Any]) -> Stream:
    stream = Stream(*(row[name] for name in Stream._fields))
    if stream.bucket not in BUCKETS:
        raise ValueError(f"it has a bucket of steps that ends at {stream.bucket}")
    return stream


def _stream_state(row: Mapping[str, Any]) -> StreamState:
    return StreamState(
        np.array(row["offsets"], dtype=float),
        int(row["n_outcomes"]),
        pd.Timestamp(row["latest"]),
        _drift_state(row["drift"]) if "drift" in row else None,
    )


def _drift_state(row: Mapping[str, Any]) -> DriftState:
    state = DriftState(*(float(row[each.name]) for each in fields(DriftState)))
    if not (0.0 <= state.slope <= 1.0 and 0.0 <= state.squares < np.inf):
        raise ValueError(f"it keeps {state.slope:g} of a drift")
    return state
