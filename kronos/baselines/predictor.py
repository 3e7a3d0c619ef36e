"""BaselinePredictor: candles in, a forecast out, by a method that learned nothing beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from kronos.baselines.bootstrap import block_bootstrap
from kronos.baselines.garch import filtered_historical, garch_t
from kronos.baselines.history import History, Moves, candles_of
from kronos.baselines.random_walk import ewma_cone, walk_with_drift
from kronos.baselines.table import BASELINES, find, revision
from kronos.candle_paths import make_valid
from kronos.context import (
    Context,
    Stamps,
    read_question,
    require_positive_prices,
)
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import Forecast, SamplingParameters, whole_number
from kronos.inference.drawing import Drawing
from kronos.noise import path_uniforms

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


class BaselinePredictor:
    """A baseline with the interface of `KronosPredictor`.

    Candles along a path are made of the drawn close and of a bar of the history: its gap from the
    close before and its wicks, multiplied by how much more volatile the simulated bar is, its
    volume as it was, and its amount at the simulated price. The bootstrap and the filtered
    historical simulation borrow from the bar whose move they draw; the others from one whose
    move, measured by its volatility, was much the same. Path i depends on (seed, i) alone.

    Attributes:
        name: A key of `BASELINES`.
        revision: Digest of the methods' source.
        decoder: None; nothing is drawn step by step.
        n_bytes: 0; there are no weights.
        reads_events: False; a baseline cannot be told of events.
    """

    decoder = None
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

    def forecast(
        self,
        df: pd.DataFrame,
        *,
        y_timestamp: Stamps,
        x_timestamp: Stamps | None = None,
        T: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        sample_count: int = 100,
        seed: int = 0,
        lookback: int | None = None,
        events: np.ndarray | None = None,
    ) -> Forecast:
        """Samples futures and returns every path; the first part is `begin`.

        Args:
            df: Bars with open, high, low, close and, if there are, volume and amount.
            y_timestamp: (H,) times of the bars to forecast.
            x_timestamp: Times of the bars; the index of `df` when None.
            T: 1, as a baseline has no tokens that could be made likelier.
            top_p: 1, likewise.
            top_k: 0, likewise.
            sample_count: Number of paths N.
            seed: The same seed gives the same paths.
            lookback: Bars read; None for the last 1,000.
            events: None, as a baseline reads bars alone.

        Raises:
            InvalidCandles: The candles or times cannot be used, or are too few.
            InvalidRequest: A parameter is out of range.
        """
        drawing = self.begin(
            df,
            y_timestamp=y_timestamp,
            x_timestamp=x_timestamp,
            sampling=SamplingParameters(T, top_p, top_k, sample_count, seed),
            lookback=lookback,
            events=events,
        )
        result: Forecast = drawing.finish()
        return result

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
    ) -> Drawing:
        """What is asked, checked.

        Args:
            df: As for `forecast`, like the next two.
            y_timestamp: Times of the bars to forecast.
            x_timestamp: Times of the bars.
            sampling: T, top_p and top_k must leave everything as it is.
            lookback: Bars read.
            anchor: Makes no difference: every path starts at the last close anyway.
            events: None.

        Returns:
            No series to draw, and a finish that returns the `Forecast`.

        Raises:
            InvalidCandles: As for `forecast`.
            InvalidRequest: As for `forecast`.
        """
        started = time.perf_counter()
        sampling.require_plain(self.name, "a baseline draws no tokens")
        self._refuse_events(events)
        asked = read_question(
            df,
            x_timestamp=x_timestamp,
            y_timestamp=y_timestamp,
            context_length=partial(self.context_length, lookback=lookback),
        )
        context = asked.context
        self._require_enough(context)
        checked = time.perf_counter() - started

        def finish() -> Forecast:
            # Not counted from the beginning: an engine may have done other work in between.
            resumed = time.perf_counter()
            return Forecast(
                paths=self._paths(context, len(asked.future), sampling),
                timestamps=asked.future,
                origin=asked.origin,
                last_close=float(context.values[-1, 3]),
                parameters=sampling,
                model_name=self.name,
                model_revision=self.revision,
                context_hash=context.sha256(),
                n_context=len(context.values),
                seconds=checked + time.perf_counter() - resumed,
            )

        return Drawing([], finish)

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Number of bars read of `n_bars`, with an optional wish, whatever the horizon.

        Raises:
            InvalidRequest: The wish is no whole number within the bounds.
        """
        wish = whole_number(DEFAULT_LOOKBACK if lookback is None else lookback, "lookback")
        if not self.description.n_needed <= wish <= MAX_LOOKBACK:
            raise InvalidRequest(
                f"lookback must be from {self.description.n_needed} to {MAX_LOOKBACK:,} bars for "
                f"{self.name}, found {wish}."
            )
        return min(wish, n_bars)

    def begin_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Drawing:
        """As `KronosPredictor.begin_samples`: paths (B, N, H, 6) and the last candles (B, 6)."""
        sampling.require_plain(self.name, "a baseline draws no tokens")
        for rows in () if events is None else events:
            self._refuse_events(rows)
        for context in contexts:
            self._require_enough(context)

        def finish() -> tuple[np.ndarray, np.ndarray]:
            paths = [
                self._paths(context, len(fields), sampling)
                for context, fields in zip(contexts, futures, strict=True)
            ]
            return np.stack(paths), np.stack([context.values[-1] for context in contexts])

        return Drawing([], finish)

    def _paths(self, context: Context, horizon: int, sampling: SamplingParameters) -> np.ndarray:
        history = History.of(context)
        noise = path_uniforms(sampling.seed, sampling.sample_count, horizon)
        return make_valid(candles_of(history, self._method(history, noise)), context)

    def _require_enough(self, context: Context) -> None:
        require_positive_prices(context)
        needed = self.description.n_needed
        if len(context.values) < needed:
            raise InvalidCandles(
                f"{self.description.title} needs at least {needed} bars up to the origin, found "
                f"{len(context.values)}. Choose a later origin, a longer series or another "
                "baseline."
            )

    def _refuse_events(self, events: np.ndarray | None) -> None:
        if events is not None:
            raise InvalidRequest(
                f"{self.name} reads bars alone and cannot be told of events. Leave events out, or "
                "choose a model that was fine-tuned with them."
            )
