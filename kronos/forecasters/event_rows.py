"""What a model is told of events, checked: a row of channels for every bar read or forecast."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from kronos.errors import InvalidRequest
from kronos.nn.config import N_EVENT_CHANNELS

__all__ = ["event_rows", "rows_sha256"]


def event_rows(events: Any, *, n_bars: int, n_read: int, horizon: int) -> np.ndarray:
    """Rows of the bars that are read, then of those to forecast.

    Args:
        events: (n_bars + H, 20) event channels, as from `kronos.events.event_channels`: of the
            bars given, then of those to forecast.
        n_bars: Bars given.
        n_read: How many of them are read: the last ones.
        horizon: Bars to forecast, H.

    Returns:
        (n_read + H, 20) float32.

    Raises:
        InvalidRequest: They have another shape, or are not all finite numbers.
    """
    try:
        given = np.asarray(events, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"events must be an array of numbers: {error}.") from error
    wanted = (n_bars + horizon, N_EVENT_CHANNELS)
    if given.shape != wanted:
        raise InvalidRequest(
            f"events must be {wanted}, the {N_EVENT_CHANNELS} channels of each of the {n_bars} "
            f"bars given and then of the {horizon} to forecast; found {given.shape}."
        )
    # The model reads float32, in which larger numbers are infinite.
    bad = np.argwhere(~(np.abs(given) <= np.finfo(np.float32).max))
    if len(bad):
        row, channel = bad[0]
        raise InvalidRequest(
            f"events must be finite numbers: row {row} of channel {channel} is "
            f"{given[row, channel]}. A channel that has nothing to say is 0."
        )
    return given[n_bars - n_read :].astype(np.float32)


def rows_sha256(rows: np.ndarray) -> str:
    """Digest of the exact bytes the model is told."""
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f4").tobytes()).hexdigest()
