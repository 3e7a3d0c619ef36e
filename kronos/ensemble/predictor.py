"""EnsembleForecaster: candles in, the weighted fan of all members out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from kronos.calibration.state import bucket_of
from kronos.context import CLOSE, Context
from kronos.ensemble.weights import EnsembleWeights, features
from kronos.errors import InvalidRequest
from kronos.evaluation.cone import VOLATILITY_BARS, cone_scale, recent_volatility
from kronos.evaluation.scores import LEVELS
from kronos.events.bars import event_days
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.base import Forecaster, Pending, Placement, Samples
from kronos.forecasters.paths import valid_prices
from kronos.models import ENSEMBLE
from kronos.request import ForecastRequest, Market, ModelFacts

__all__ = ["EnsembleForecaster", "combine", "ensemble_facts"]


class EnsembleForecaster(Forecaster):
    """Several forecasters as one: the average of their fans, level by level.

    All draw with the same seed. One member at most draws step by step, in the engine's own time;
    the others compute at the end. Each member gets the request that it would get alone.

    Attributes:
        name: "ensemble".
        revision: Digest of members and weights.
        weights: Members, and how much each counts.
        decoder: That of the member that draws step by step; None without one.
    """

    name = ENSEMBLE

    def __init__(self, weights: EnsembleWeights, members: Sequence[Forecaster]) -> None:
        """Args:
        weights: Members, and how much each counts.
        members: (M,) the members, loaded.

        Raises:
            InvalidRequest: More than one of them draws step by step.
        """
        stepping = [each.decoder for each in members if each.decoder is not None]
        if len(stepping) > 1:
            raise InvalidRequest("An ensemble can have one member that draws step by step.")
        self.weights = weights
        self.revision = weights.revision
        self.decoder = stepping[0] if stepping else None
        self._members = list(members)

    @property
    def facts(self) -> ModelFacts:
        """See `Forecaster.facts`."""
        return ensemble_facts(self.weights, [each.facts for each in self._members])

    @property
    def n_bytes(self) -> int:
        """Memory of all members' weights."""
        return sum(each.n_bytes for each in self._members)

    @property
    def placement(self) -> Placement | None:
        """Where the member that draws step by step computes."""
        found = (each.placement for each in self._members)
        return next((place for place in found if place is not None), None)

    def prepare(self, request: ForecastRequest) -> Pending[Forecast]:
        """See `Forecaster.prepare`; without a market the weights are equal."""
        started = time.perf_counter()
        whole = self.facts
        pending = [each.prepare(request.for_member(each.facts, whole)) for each in self._members]

        def result() -> Forecast:
            forecasts = [each.result() for each in pending]
            found = self._weights(forecasts, request)
            widest = max(forecasts, key=lambda each: each.n_context)
            return replace(
                forecasts[0],
                paths=combine(forecasts, found),
                model_name=self.name,
                model_revision=self.revision,
                context_hash=widest.context_hash,
                n_context=widest.n_context,
                seconds=time.perf_counter() - started,
                events_hash=request.events_sha256,
                leaders=request.leaders_in(),
                members=tuple(forecasts),
                weights=dict(zip(self.weights.members, map(tuple, found.T.tolist()), strict=True)),
                request_hash=request.digest,
            )

        return Pending([series for each in pending for series in each.sequences], result)

    def prepare_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Pending[Samples]:
        """Refuse: the weights depend on a market, which bare contexts have none of.

        Raises:
            InvalidRequest: Always.
        """
        raise InvalidRequest(
            "An ensemble is not evaluated on bare contexts. Evaluate its members, or walk it "
            "forward: kronos walk-forward --model ensemble."
        )

    def _weights(self, forecasts: Sequence[Forecast], request: ForecastRequest) -> np.ndarray:
        """(H, M) weights at every step."""
        horizon, n_members = forecasts[0].horizon, len(forecasts)
        facts = None
        if request.market is not None:
            facts = _facts(forecasts[0], request.bars[:, CLOSE], request.market)
        if facts is None or self.weights.learned is None:
            return np.full((horizon, n_members), 1.0 / n_members)
        scale = facts["scale"].to_numpy()
        quantiles = np.stack(
            [np.log(each.quantile(LEVELS) / each.last_close).T for each in forecasts], axis=1
        )
        recent = _recent(self.weights.learned.recent, facts, n_members)
        inputs = features(facts, quantiles / scale[:, None, None], np.array(LEVELS), recent)
        return self.weights.of(facts["asset_class"].to_numpy(), inputs)


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


def ensemble_facts(weights: EnsembleWeights, members: Sequence[ModelFacts]) -> ModelFacts:
    """What a request needs to know of an ensemble.

    Args:
        weights: Members, and how much each counts.
        members: (M,) facts of the members, in the order of the weights.
    """
    return ModelFacts(
        model=ENSEMBLE,
        name=ENSEMBLE,
        revision=weights.revision,
        least=2,
        most=max(each.most for each in members),
        reads_events=any(each.reads_events for each in members),
        history=VOLATILITY_BARS,
        members=tuple(members),
    )


def _facts(forecast: Forecast, closes: np.ndarray, market: Market) -> pd.DataFrame | None:
    """The facts of `features` for every step; None where there is no volatility to measure by."""
    sigma = recent_volatility(closes)
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


def _with_closes(donor: Forecast, ordered: np.ndarray) -> np.ndarray:
    """(N, H, 6) candles of a donor moved so that their closes, in order, are these (N, H)."""
    close = donor.column("close")
    ranks = np.argsort(np.argsort(close, axis=0, kind="stable"), axis=0)
    wanted = np.take_along_axis(ordered, ranks, axis=0)
    moved = donor.paths.copy()
    moved[..., :4] *= (wanted / close)[..., None]
    return valid_prices(moved, donor.last_close)
