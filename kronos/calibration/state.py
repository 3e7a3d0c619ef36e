"""What has been learned, as a file: the offsets of every stream, and where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.calibration.replay import Trackers
from kronos.calibration.streams import BUCKETS, Stream, bucket_of
from kronos.calibration.tracker import ETA
from kronos.errors import InvalidRequest
from kronos.system import asset_path, atomic_write, user_data

__all__ = ["CalibrationState", "StreamState", "bundled_file", "load_state", "user_file"]

_FORMAT = 1
_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class StreamState:
    """One stream as it stands.

    Attributes:
        offsets: (L,) offsets in units of sigma * sqrt(h).
        n_outcomes: Outcomes it was learned from.
        latest: When the last of them resolved, UTC.
    """

    offsets: np.ndarray
    n_outcomes: int
    latest: pd.Timestamp


@dataclass(frozen=True, eq=False)
class CalibrationState:
    """Offsets of every stream with a record.

    Attributes:
        levels: (L,) levels, ascending.
        streams: Every stream that is past its burn-in, narrow and wide.
        eta: Step of the corrections.
        learned_from: What the outcomes were, in words.
    """

    levels: np.ndarray
    streams: Mapping[Stream, StreamState]
    eta: float = ETA
    learned_from: str = ""

    @classmethod
    def of(
        cls, trackers: Trackers, levels: np.ndarray, *, eta: float = ETA, learned_from: str = ""
    ) -> CalibrationState:
        """The state after a replay."""
        streams = {
            # As the file has them, so that a fan is the same before and after.
            stream: StreamState(
                tracker.offsets.round(_DECIMALS),
                tracker.n_outcomes,
                pd.Timestamp(tracker.latest, tz="UTC"),
            )
            for stream, tracker in sorted(trackers.items())
            if tracker.is_warm
        }
        return cls(np.asarray(levels, dtype=float), streams, eta, learned_from)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything a calibrated fan depends on."""
        facts = {key: value for key, value in self._facts().items() if key != "learned_from"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def knows(self, model: str, revision: str) -> bool:
        """Whether there is a record of these weights."""
        return any((stream.model, stream.revision) == (model, revision) for stream in self.streams)

    def of_steps(
        self, model: str, revision: str, asset_class: str, interval: str, horizon: int
    ) -> list[tuple[Stream, StreamState]] | None:
        """The stream for every step (H,), each the narrowest with a record.

        Steps beyond those on record take the farthest bucket that has one.

        Returns:
            None where nothing is known of the first bucket.
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

    def starts(self) -> dict[Stream, tuple[np.ndarray, int, int]]:
        """Every stream as `QuantileTracker` takes it, to go on from."""
        return {
            stream: (state.offsets, state.latest.value, state.n_outcomes)
            for stream, state in self.streams.items()
        }

    def save(self, path: Path) -> None:
        """Writes the state; a reader finds the old file or the new one, whole.

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
            InvalidRequest: It cannot be read, or is not what was written.
        """
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT:
                raise ValueError(f"its format is {facts['format']}, this program reads {_FORMAT}")
            state = cls(
                np.array(facts["levels"], dtype=float),
                {_stream(row): _stream_state(row) for row in facts["streams"]},
                float(facts["eta"]),
                str(facts["learned_from"]),
            )
            if state.digest != facts["sha256"]:
                raise ValueError("its digest is not that of its contents")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{path} is no calibration that can be read: {error}. Make it anew with "
                "`kronos calibrate`."
            ) from error
        return state

    def _facts(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "levels": self.levels.tolist(),
            "eta": self.eta,
            "learned_from": self.learned_from,
            "streams": [
                stream._asdict()
                | {
                    "offsets": [float(value) for value in state.offsets.round(_DECIMALS)],
                    "n_outcomes": state.n_outcomes,
                    "latest": state.latest.isoformat(),
                }
                for stream, state in sorted(self.streams.items())
            ],
        }


def user_file() -> Path:
    """Where this user's calibration is."""
    return user_data("calibration.json")


def bundled_file() -> Path:
    """The calibration that ships with the bundled model."""
    return asset_path("bundled", "calibration.json")


def load_state() -> CalibrationState:
    """This user's calibration where there is one, else the bundled one.

    Raises:
        InvalidRequest: A file is there and cannot be used.
    """
    for path in (user_file(), bundled_file()):
        if path.is_file():
            return CalibrationState.load(path)
    return CalibrationState(np.empty(0), {})


def _stream(row: Mapping[str, Any]) -> Stream:
    stream = Stream(*(row[name] for name in Stream._fields))
    if stream.bucket not in BUCKETS:
        raise ValueError(f"it has a bucket of steps that ends at {stream.bucket}")
    return stream


def _stream_state(row: Mapping[str, Any]) -> StreamState:
    return StreamState(
        np.array(row["offsets"], dtype=float), int(row["n_outcomes"]), pd.Timestamp(row["latest"])
    )
