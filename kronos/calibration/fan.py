"""A forecast corrected by its model's record, and whether such a correction exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from kronos.calendars import asset_class
from kronos.calendars.intervals import is_intraday
from kronos.calibration.drift import fan_means
from kronos.calibration.state import ANY, CalibrationState, Stream, StreamState
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import cone_scale, origin_volatility
from kronos.forecast import COLUMNS, Forecast
from kronos.forecasters.paths import valid_prices

__all__ = [
    "CalibrationStatus",
    "calibrate",
    "calibration_status",
    "drift_words",
    "max_age",
    "move_paths",
    "move_values",
]

_INTRADAY_AGE, _DAILY_AGE = pd.Timedelta(days=365), pd.Timedelta(days=730)
_CLOSE = COLUMNS.index("close")


@dataclass(frozen=True, slots=True)
class CalibrationStatus:
    """What the record says of one forecast.

    Attributes:
        kind: "calibrated", "stale" (the record is of other weights, or too old) or
            "uncalibrated".
        words: The same in a sentence.
        can_apply: Whether there are offsets, stale or not.
        n_outcomes: Number of outcomes behind the offsets.
        is_hindsight: Whether some of these resolved after the forecast's origin.
    """

    kind: Literal["uncalibrated", "calibrated", "stale"]
    words: str
    can_apply: bool = False
    n_outcomes: int = 0
    is_hindsight: bool = False


def max_age(interval: str) -> pd.Timedelta:
    """Age above which a record is stale: a year of intraday bars, two of wider ones."""
    return _INTRADAY_AGE if is_intraday(interval) else _DAILY_AGE


def calibration_status(
    state: CalibrationState, forecast: Forecast, candles: Candles
) -> CalibrationStatus:
    """What the record says of a forecast of these candles."""
    found = _find(state, forecast, candles)
    if isinstance(found, CalibrationStatus):
        return found
    streams = dict(found)
    n_outcomes = sum(entry.n_outcomes for entry in streams.values())
    latest = min(entry.latest for entry in streams.values())
    words = f"Calibrated on {n_outcomes:,} outcomes{_breadth(streams)} up to {latest:%d %b %Y}."
    if all(entry.drift is not None for entry in streams.values()):
        words += f" The fan keeps {drift_words([entry.drift_share for _, entry in found])}."
    origin = forecast.origin
    age = (origin.tz_localize(candles.zone) if origin.tz is None else origin) - latest
    if age > max_age(candles.interval):
        words = (
            f"Stale: the last outcome of the calibration, of {latest:%d %b %Y}, is {age.days:,} "
            f"days older than the origin; the limit for {candles.interval} bars is "
            f"{max_age(candles.interval).days}. Run kronos calibrate on a newer record."
        )
        return CalibrationStatus("stale", words, can_apply=True, n_outcomes=n_outcomes)
    is_hindsight = age < pd.Timedelta(0)
    if is_hindsight:
        words += " This uses hindsight: some are later than the origin."
    return CalibrationStatus("calibrated", words, True, n_outcomes, is_hindsight)


def calibrate(forecast: Forecast, candles: Candles, state: CalibrationState) -> Forecast:
    """The forecast with its paths moved by what its streams have learned; each keeps its rank.

    At every step the fan is moved to the share of its mean log-return that the record supports,
    then its quantiles by their offsets. In the long run the share of outcomes below each quantile
    is then the quantile's level, over all forecasts of a stream. Nothing is promised of a single
    forecast, of days with events, or of whole paths.

    Args:
        forecast: A raw forecast.
        candles: Its candles; bars after the origin are not read.
        state: Offsets and drift of every stream.

    Raises:
        InvalidRequest: The forecast is calibrated already, or no record applies to it.
    """
    if forecast.calibration_hash is not None:
        raise InvalidRequest("This forecast is calibrated already; give the raw one.")
    found = _find(state, forecast, candles)
    if isinstance(found, CalibrationStatus):
        raise InvalidRequest(found.words)
    sigma = origin_volatility(candles, forecast.origin) or 0.0
    offsets = np.stack([entry.offsets for _, entry in found])
    shares = np.array([entry.drift_share for _, entry in found])
    knows_drift = all(entry.drift is not None for _, entry in found)
    quantiles = np.log(forecast.quantile(state.levels.tolist()) / forecast.last_close).T
    shifts = offsets * cone_scale(sigma, forecast.horizon)[:, None]
    shifts -= ((1.0 - shares) * fan_means(quantiles, state.levels))[:, None]
    paths = move_paths(forecast.paths, forecast.last_close, state.levels, shifts)
    return replace(
        forecast,
        paths=paths,
        calibration_hash=state.digest,
        drift_shares=tuple(shares.tolist()) if knows_drift else None,
    )


def drift_words(shares: Sequence[float]) -> str:
    """What a calibrated fan keeps of its model's drift, such as "0% to 4% of the model's drift".

    Args:
        shares: (H,) share at every step.
    """
    low, high = (f"{100 * share:.0f}%" for share in (min(shares), max(shares)))
    return f"{low if low == high else f'{low} to {high}'} of the model's drift"


def move_paths(
    paths: np.ndarray, last_close: float, levels: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Moves candles so that their closes have corrected quantiles.

    Open, high, low and close of a bar are moved by the same factor, which keeps its shape; then
    prices are made valid. Volume and amount stay.

    Args:
        paths: (N, H, 6) candles.
        last_close: Origin of the log-returns.
        levels: (L,) levels, ascending.
        shifts: (H, L) shift of every quantile of the log-return.

    Returns:
        (N, H, 6) candles, equal to `paths` where all shifts are 0.

    Raises:
        InvalidRequest: The shifts have another shape.
    """
    if shifts.shape != (paths.shape[1], len(levels)):
        raise InvalidRequest(
            f"Shifts are (H, L), here {(paths.shape[1], len(levels))}; found {shifts.shape}."
        )
    returns = np.log(paths[..., _CLOSE] / last_close)
    moved = paths.copy()
    for step in np.flatnonzero(shifts.any(axis=1)):
        column = returns[:, step]
        by = move_values(column, levels, shifts[step]) - column
        moved[:, step, :4] *= np.exp(by)[:, None]
    return valid_prices(moved, last_close)


def move_values(values: np.ndarray, levels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moves samples with their quantiles: linearly between two levels, in parallel beyond them.

    The map is monotone, so that no value overtakes another: quantiles that would cross are sorted.

    Args:
        values: (N,) samples.
        levels: (L,) levels, ascending.
        shifts: (L,) shift of the quantile of every level.
    """
    quantiles = np.quantile(values, levels)
    knots, place = np.unique(quantiles, return_inverse=True)
    # Equal quantiles move to one place, the middle of their targets.
    targets = np.bincount(place, np.sort(quantiles + shifts)) / np.bincount(place)
    inside = np.clip(values, knots[0], knots[-1])
    return np.asarray(np.interp(inside, knots, targets) + (values - inside))


def _find(
    state: CalibrationState, forecast: Forecast, candles: Candles
) -> list[tuple[Stream, StreamState]] | CalibrationStatus:
    """The stream of every step, or why there is none."""
    sampling = forecast.parameters
    if sampling.narrows or sampling.T != 1.0:
        return CalibrationStatus(
            "uncalibrated",
            "Not calibrated: calibration needs T = 1, top-p = 1 and top-k = 0.",
        )
    if origin_volatility(candles, forecast.origin) is None:
        return CalibrationStatus(
            "uncalibrated",
            "Not calibrated: too few bars or no moves before the origin to measure volatility.",
        )
    name, revision = forecast.model_name, forecast.model_revision
    kind = asset_class(candles.calendar, candles.symbol)
    found = state.of_steps(name, revision, kind, candles.interval, forecast.horizon)
    if found is not None:
        return found
    if any(stream.model == name for stream in state.streams) and not state.knows(name, revision):
        return CalibrationStatus(
            "stale",
            f"Stale: the calibration of {name} belongs to other weights than revision "
            f"{revision[:8]}. Score forecasts of this revision, then run kronos calibrate.",
        )
    return CalibrationStatus(
        "uncalibrated",
        f"Not calibrated: too few outcomes of {name} on record. Save and score more forecasts, "
        "then run kronos calibrate.",
    )


def _breadth(streams: dict[Stream, StreamState]) -> str:
    """How much wider than series of this kind the streams are."""
    if any(stream.interval == ANY for stream in streams):
        return " of all bar widths and asset classes"
    if any(stream.asset_class == ANY for stream in streams):
        return " of all asset classes"
    return ""
