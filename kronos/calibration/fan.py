"""A forecast corrected by its model's record, and what is to be said of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from kronos.calendars import asset_class
from kronos.calendars.intervals import is_intraday
from kronos.calibration.moving import move_paths
from kronos.calibration.state import CalibrationState, StreamState
from kronos.calibration.streams import ANY, Stream
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import cone_scale, origin_volatility
from kronos.forecast import Forecast

__all__ = ["Standing", "calibrate", "max_age", "standing"]

_INTRADAY_AGE, _DAILY_AGE = pd.Timedelta(days=365), pd.Timedelta(days=730)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the record says of one forecast.

    Attributes:
        kind: "calibrated", "stale" (there is a record, of other weights or too old) or
            "uncalibrated".
        words: The same in a sentence.
        can_apply: Whether there are offsets, stale or not.
        n_outcomes: Outcomes that the offsets were learned from.
        is_hindsight: Whether some of these resolved only after the forecast's origin.
    """

    kind: Literal["uncalibrated", "calibrated", "stale"]
    words: str
    can_apply: bool = False
    n_outcomes: int = 0
    is_hindsight: bool = False


def max_age(interval: str) -> pd.Timedelta:
    """Age above which a record is stale: a year of intraday bars, two of wider ones."""
    return _INTRADAY_AGE if is_intraday(interval) else _DAILY_AGE


def standing(state: CalibrationState, forecast: Forecast, candles: Candles) -> Standing:
    """What the record says of a forecast of these candles."""
    found = _find(state, forecast, candles)
    if isinstance(found, Standing):
        return found
    streams = dict(found)
    n_outcomes = sum(entry.n_outcomes for entry in streams.values())
    latest = min(entry.latest for entry in streams.values())
    words = (
        f"Calibrated on {n_outcomes:,} outcomes{_breadth(streams)}, the last of {latest:%d %b %Y}."
    )
    origin = forecast.origin
    age = (origin.tz_localize(candles.zone) if origin.tz is None else origin) - latest
    if age > max_age(candles.interval):
        words = (
            f"Stale: the calibration's last outcome, of {latest:%d %b %Y}, is {age.days:,} days "
            f"older than the origin; {max_age(candles.interval).days} are the limit at "
            f"{candles.interval}. Run kronos calibrate on a newer record."
        )
        return Standing("stale", words, can_apply=True, n_outcomes=n_outcomes)
    is_hindsight = age < pd.Timedelta(0)
    if is_hindsight:
        words += (
            " Some of these came after the origin: a calibrated fan could not have been drawn then."
        )
    return Standing("calibrated", words, True, n_outcomes, is_hindsight)


def calibrate(forecast: Forecast, candles: Candles, state: CalibrationState) -> Forecast:
    """The forecast with its paths moved by the offsets of its streams, each keeping its rank.

    In the long run the share of outcomes below each quantile is then the quantile's level, over
    all forecasts of a stream. Nothing is promised of a single forecast, of days with events, or of
    whole paths.

    Args:
        forecast: A raw one.
        candles: What it was made of; bars after the origin do no harm.
        state: What has been learned.

    Raises:
        InvalidRequest: It is calibrated already, or there is no record that applies.
    """
    if forecast.calibration_hash is not None:
        raise InvalidRequest("This forecast is calibrated already; give the raw one.")
    found = _find(state, forecast, candles)
    if isinstance(found, Standing):
        raise InvalidRequest(found.words)
    sigma = origin_volatility(candles, forecast.origin) or 0.0
    offsets = np.stack([entry.offsets for _, entry in found])
    shifts = offsets * cone_scale(sigma, forecast.horizon)[:, None]
    paths = move_paths(forecast.paths, forecast.last_close, state.levels, shifts)
    return replace(forecast, paths=paths, calibration_hash=state.digest)


def _find(
    state: CalibrationState, forecast: Forecast, candles: Candles
) -> list[tuple[Stream, StreamState]] | Standing:
    """The stream of every step, or why there is none."""
    sampling = forecast.parameters
    if sampling.narrows or sampling.T != 1.0:
        return Standing(
            "uncalibrated",
            "Not calibrated: the record is of fans with T = 1, top-p = 1 and every token.",
        )
    if origin_volatility(candles, forecast.origin) is None:
        return Standing(
            "uncalibrated",
            "Not calibrated: too few bars before the origin, or no move in them, to measure "
            "volatility by.",
        )
    name, revision = forecast.model_name, forecast.model_revision
    kind = asset_class(candles.calendar, candles.symbol)
    found = state.of_steps(name, revision, kind, candles.interval, forecast.horizon)
    if found is not None:
        return found
    if any(stream.model == name for stream in state.streams) and not state.knows(name, revision):
        return Standing(
            "stale",
            f"Stale: the calibration of {name} is of other weights than revision {revision[:8]}. "
            "Run kronos calibrate once forecasts of these have been scored.",
        )
    return Standing(
        "uncalibrated",
        f"Not calibrated: too few outcomes of {name} are on record. Keep forecasts, score them, "
        "and run kronos calibrate.",
    )


def _breadth(streams: dict[Stream, StreamState]) -> str:
    """What else than series of this kind the outcomes are of."""
    if any(stream.interval == ANY for stream in streams):
        return " of all bar widths and asset classes, as there are too few of these"
    if any(stream.asset_class == ANY for stream in streams):
        return " of all asset classes, as there are too few of this one"
    return ""
