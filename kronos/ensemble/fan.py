"""One fan from several: quantiles averaged level by level, the order of paths from one member."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kronos.errors import InvalidRequest
from kronos.forecast import COLUMNS, Forecast
from kronos.forecasters.paths import valid_prices

__all__ = ["combine"]

_CLOSE = COLUMNS.index("close")


def combine(forecasts: Sequence[Forecast], weights: np.ndarray) -> np.ndarray:
    """Candles whose closes have the averaged quantiles of all members at every step.

    The k-th lowest close at a step is the weighted geometric mean of the members' k-th lowest
    ones, which is the average of their quantiles in log-returns. It goes to the path that has this
    rank in the first member, whose bars keep their shapes: the sequence within a path is the first
    member's.

    Args:
        forecasts: (M,) of the members, with one origin, horizon and number of paths.
        weights: (H, M); every step has a sum of 1.

    Returns:
        (N, H, 6) candles.

    Raises:
        InvalidRequest: The forecasts have different origins, horizons or numbers of paths.
    """
    first = forecasts[0]
    for other in forecasts:
        same = (other.horizon, other.n_paths) == (first.horizon, first.n_paths)
        if not same or other.origin != first.origin:
            raise InvalidRequest(
                f"{other.model_name} and {first.model_name} are not of one origin, horizon and "
                "number of paths, so they cannot be combined."
            )
    ordered = np.stack([np.sort(np.log(each.column("close")), axis=0) for each in forecasts])
    mixed = np.exp(np.einsum("hm,mnh->nh", weights, ordered))
    return _with_closes(first, mixed)


def _with_closes(donor: Forecast, ordered: np.ndarray) -> np.ndarray:
    """(N, H, 6) candles of a donor moved so that their closes, in order, are these (N, H)."""
    close = donor.column("close")
    ranks = np.argsort(np.argsort(close, axis=0, kind="stable"), axis=0)
    wanted = np.take_along_axis(ordered, ranks, axis=0)
    moved = donor.paths.copy()
    moved[..., :4] *= (wanted / close)[..., None]
    return valid_prices(moved, donor.last_close)
