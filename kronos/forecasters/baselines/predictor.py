"""BaselinePredictor: candles in, a forecast out, by a method that learned nothing beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import SamplingParameters, path_uniforms, whole_number
from kronos.forecasters.base import DirectPredictor
from kronos.forecasters.baselines.bootstrap import block_bootstrap
from kronos.forecasters.baselines.garch import filtered_historical, garch_t
from kronos.forecasters.baselines.history import History, Moves, candles_of
from kronos.forecasters.baselines.random_walk import ewma_cone, walk_with_drift
from kronos.forecasters.baselines.table import BASELINES, find, revision
from kronos.forecasters.inputs import Context
from kronos.forecasters.paths import make_valid

DEFAULT_LOOKBACK = 1000
MAX_LOOKBACK = 10_000

Method = Callable[[History, np.ndarray], Moves]
"""Gets the history and noise (N, H, 2) in [0, 1); returns the moves of every path."""

METHODS: dict[str, Method] = {
    "random-walk": walk_with_drift,
    "bootstrap": block_bootstrap,
    "ewma": ewma_cone,
    "garch": garch_t,
    "fhs": filtered_historical,
}


class BaselinePredictor(DirectPredictor):
    """A baseline with the interface of `KronosPredictor`.

    Candles along a path are made of the drawn close and of a bar of the history: its gap from the
    close before and its wicks, multiplied by how much more volatile the simulated bar is, its
    volume as it was, and its amount at the simulated price. The bootstrap and the filtered
    historical simulation borrow from the bar whose move they draw; the others from one whose
    move, measured by its volatility, was much the same. Path i depends on (seed, i) alone.

    Attributes:
        name: A key of `BASELINES`.
        revision: Digest of the methods' source.
        n_bytes: 0; there are no weights.
        reads_events: False; a baseline cannot be told of events.
    """

    no_tokens = "a baseline draws no tokens"
    n_bytes = 0
    reads_events = False

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

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """See `DirectPredictor.context_length`; None for the last 1,000."""
        wish = whole_number(DEFAULT_LOOKBACK if lookback is None else lookback, "lookback")
        if not self.description.n_needed <= wish <= MAX_LOOKBACK:
            raise InvalidRequest(
                f"lookback must be from {self.description.n_needed} to {MAX_LOOKBACK:,} bars for "
                f"{self.name}, found {wish}."
            )
        return min(wish, n_bars)

    def _check(self, context: Context, horizon: int) -> None:
        needed = self.description.n_needed
        if len(context.values) < needed:
            raise InvalidCandles(
                f"{self.description.title} needs at least {needed} bars up to the origin, found "
                f"{len(context.values)}. Choose a later origin, a longer series or another "
                "baseline."
            )

    def _told(
        self, events: np.ndarray | None, n_bars: int, context: Context, horizon: int
    ) -> np.ndarray | None:
        if events is not None:
            raise InvalidRequest(
                f"{self.name} reads bars alone and cannot be told of events. Leave events out, or "
                "choose a model that was fine-tuned with them."
            )
        return None

    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        told: np.ndarray | None,
    ) -> np.ndarray:
        history = History.of(context)
        noise = path_uniforms(sampling.seed, sampling.sample_count, horizon)
        return make_valid(candles_of(history, self._method(history, noise)), context)
