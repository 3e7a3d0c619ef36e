"""EnsemblePredictor: candles in, the weighted fan of all members out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kronos.calibration.state import bucket_of
from kronos.decoding.drawing import Drawing
from kronos.ensemble.fan import combine
from kronos.ensemble.market import Market
from kronos.ensemble.weights import EnsembleWeights, features
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import cone_scale, recent_volatility
from kronos.evaluation.scores import LEVELS
from kronos.events.bars import event_days
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.inputs import Stamps
from kronos.models import ENSEMBLE

__all__ = ["EnsemblePredictor"]


class EnsemblePredictor:
    """Several forecasters asked at once, with the interface of each of them.

    All draw with the same seed. One member at most draws step by step, in the engine's own time;
    the others answer at the end.

    Attributes:
        name: "ensemble".
        revision: Digest of members and weights.
        weights: Members, and how much each counts.
        decoder: That of the member that draws step by step; None without one.
        reads_events: False; the weights know of scheduled releases, the members are told nothing.
        reads_market: True; `begin` can be told of what the bars are.
    """

    name = ENSEMBLE
    reads_events = False
    reads_market = True

    def __init__(self, weights: EnsembleWeights, predictors: Sequence[Any]) -> None:
        """Args:
        weights: Members, and how much each counts.
        predictors: (M,) the members, loaded.

        Raises:
            InvalidRequest: More than one of them draws step by step.
        """
        stepping = [each.decoder for each in predictors if each.decoder is not None]
        if len(stepping) > 1:
            raise InvalidRequest("An ensemble can have one member that draws step by step.")
        self.weights = weights
        self.revision = weights.revision
        self.decoder = stepping[0] if stepping else None
        self._predictors = list(predictors)

    @property
    def n_bytes(self) -> int:
        """Memory of all members' weights."""
        return sum(each.n_bytes for each in self._predictors)

    @property
    def placement(self) -> Any:
        """Where the member that draws step by step computes."""
        found = [getattr(each, "placement", None) for each in self._predictors]
        return next((place for place in found if place is not None), None)

    def begin(
        self,
        df: pd.DataFrame,
        *,
        y_timestamp: Stamps,
        x_timestamp: Stamps | None = None,
        sampling: SamplingParameters,
        lookback: int | None = None,
        anchor: bool = True,
        events: np.ndarray | None = None,
        market: Market | None = None,
    ) -> Drawing:
        """What is asked of every member; see `KronosPredictor.begin`.

        Args:
            df: Bars.
            y_timestamp: Times of the bars to forecast.
            x_timestamp: Times of the bars.
            sampling: T, top_p and top_k must leave everything as it is.
            lookback: Most bars that a member reads; None for what suits each.
            anchor: As for `KronosPredictor.begin`.
            events: None.
            market: What the bars are of; without it the weights are equal.

        Raises:
            InvalidCandles: A member cannot use the candles.
            InvalidRequest: A parameter is out of range.
        """
        started = time.perf_counter()
        drawings = []
        for each in self._predictors:
            wish = None
            if lookback is not None:
                wish = min(lookback, each.context_length(len(df), len(y_timestamp)))
            drawings.append(
                each.begin(
                    df,
                    x_timestamp=x_timestamp,
                    y_timestamp=y_timestamp,
                    sampling=sampling,
                    lookback=wish,
                    anchor=anchor,
                    events=events,
                )
            )

        def finish() -> Forecast:
            forecasts: list[Forecast] = [drawing.finish() for drawing in drawings]
            found = self._weights(forecasts, df, market)
            widest = max(forecasts, key=lambda each: each.n_context)
            return replace(
                forecasts[0],
                paths=combine(forecasts, found),
                model_name=self.name,
                model_revision=self.revision,
                context_hash=widest.context_hash,
                n_context=widest.n_context,
                seconds=time.perf_counter() - started,
                members=tuple(forecasts),
                weights=dict(zip(self.weights.members, map(tuple, found.T.tolist()), strict=True)),
            )

        return Drawing([series for each in drawings for series in each.series], finish)

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Most bars that a member reads of `n_bars`."""
        read = max(each.context_length(n_bars, horizon) for each in self._predictors)
        return read if lookback is None else min(read, lookback)

    def forecast(self, df: pd.DataFrame, **asked: Any) -> Forecast:
        """As `BaselinePredictor.forecast`, with `market` as for `begin`; the series are drawn here.

        Args:
            df: Bars.
            asked: y_timestamp, and optionally x_timestamp, T, top_p, top_k, sample_count, seed,
                lookback and market.
        """
        names = ("T", "top_p", "top_k", "sample_count", "seed")
        given = {name: asked.pop(name) for name in names if name in asked}
        drawing = self.begin(df, sampling=SamplingParameters(**given), **asked)
        if self.decoder is not None:
            from kronos.decoding.decoder import generate

            generate(self.decoder, drawing.series, None)
        result: Forecast = drawing.finish()
        return result

    def _weights(
        self, forecasts: Sequence[Forecast], df: pd.DataFrame, market: Market | None
    ) -> np.ndarray:
        """(H, M) weights at every step."""
        horizon, n_members = forecasts[0].horizon, len(forecasts)
        facts = None if market is None else _facts(forecasts[0], df, market)
        if facts is None or self.weights.learned is None:
            return np.full((horizon, n_members), 1.0 / n_members)
        scale = facts["scale"].to_numpy()
        quantiles = np.stack(
            [np.log(each.quantile(LEVELS) / each.last_close).T for each in forecasts], axis=1
        )
        recent = _recent(self.weights.learned.recent, facts, n_members)
        inputs = features(facts, quantiles / scale[:, None, None], np.array(LEVELS), recent)
        return self.weights.of(facts["asset_class"].to_numpy(), inputs)


def _facts(forecast: Forecast, df: pd.DataFrame, market: Market) -> pd.DataFrame | None:
    """The facts of `features` for every step; None where there is no volatility to measure by."""
    sigma = recent_volatility(df["close"].to_numpy(dtype=float))
    if sigma is None:
        return None
    steps = np.arange(1, forecast.horizon + 1)
    times = forecast.timestamps
    origin = forecast.origin
    aware = times.tz_localize(market.zone) if times.tz is None else times
    facts = pd.DataFrame(
        {
            "instrument": market.instrument,
            "calendar": market.calendar,
            "zone": market.zone,
            "interval": market.interval,
            "asset_class": market.asset_class,
            "origin": origin.tz_localize(market.zone) if origin.tz is None else origin,
            "step": steps,
            "timestamp": aware.tz_convert("UTC"),
            "scale": cone_scale(sigma, forecast.horizon),
            "bucket": bucket_of(steps),
        }
    )
    facts["event_day"] = event_days(facts)
    return facts


def _recent(
    known: Mapping[tuple[str, str, int], Sequence[float]], facts: pd.DataFrame, n_members: int
) -> np.ndarray:
    """(H, M) recent losses of the stream of every step, NaN where there are none."""
    missing = [np.nan] * n_members
    keys = facts[["asset_class", "interval", "bucket"]].itertuples(index=False, name=None)
    return np.array([known.get(key, missing) for key in keys], dtype=float)
