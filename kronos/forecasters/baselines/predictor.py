"""BaselineForecaster: candles in, a forecast out, by a method without pretraining."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kronos.context import Context
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import SamplingParameters, path_uniforms
from kronos.forecasters.base import DirectForecaster
from kronos.forecasters.baselines.bootstrap import block_bootstrap
from kronos.forecasters.baselines.garch import filtered_historical, garch_t
from kronos.forecasters.baselines.history import History, Moves, candles_of
from kronos.forecasters.baselines.random_walk import ewma_cone, walk_with_drift
from kronos.forecasters.baselines.registry import BASELINES, baseline_facts, find, revision
from kronos.forecasters.paths import make_valid
from kronos.request import ModelFacts

Method = Callable[[History, np.ndarray], Moves]
"""From the history and noise (N, H, 2) in [0, 1) to the moves of every path."""

METHODS: dict[str, Method] = {
    "random-walk": walk_with_drift,
    "bootstrap": block_bootstrap,
    "ewma": ewma_cone,
    "garch": garch_t,
    "fhs": filtered_historical,
}


class BaselineForecaster(DirectForecaster):
    """A baseline as a forecaster.

    Candles along a path combine the drawn close with a bar of the history: its gap from the close
    before and its wicks, scaled by the ratio of volatilities, its volume unchanged, and its amount
    at the simulated price. The bootstrap and the filtered historical simulation use the bar whose
    move they draw; the others use one with a similar move in units of its volatility. Path i
    depends on (seed, i) alone.

    Attributes:
        name: A key of `BASELINES`.
        revision: Revision of the methods.
    """

    no_tokens = "a baseline draws no tokens"

    def __init__(self, name: str) -> None:
        """Args:
        name: A key of `BASELINES`, in any case.

        Raises:
            InvalidRequest: There is no such baseline.
        """
        found = find(name)
        if found is None:
            raise InvalidRequest(
                f"There is no baseline {name!r}. Choose one of {', '.join(BASELINES)}."
            )
        self.description = found
        self.name = found.name
        self.revision = revision()
        self._method = METHODS[found.name]

    @property
    def facts(self) -> ModelFacts:
        """See `Forecaster.facts`; found without loading anything."""
        return baseline_facts(self.description)

    def _check(self, context: Context, horizon: int) -> None:
        needed = self.description.n_needed
        if len(context.values) < needed:
            raise InvalidCandles(
                f"{self.description.title} needs at least {needed} bars up to the origin, found "
                f"{len(context.values)}. Choose a later origin, a longer series or another "
                "baseline."
            )

    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        rows: np.ndarray | None,
    ) -> np.ndarray:
        history = History.of(context)
        noise = path_uniforms(sampling.seed, sampling.sample_count, horizon)
        return make_valid(candles_of(history, self._method(history, noise)), context)
