"""What predictors have in common that draw no tokens: baselines, and Chronos-2."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from kronos.decoding.drawing import Drawing
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.event_rows import rows_sha256
from kronos.forecasters.inputs import Context, Stamps, read_question, require_positive_prices

__all__ = ["DirectPredictor", "DrawPaths", "Placement"]

DrawPaths = Callable[[Context, int, SamplingParameters, np.ndarray | None], np.ndarray]
"""Gets context, horizon, sampling and event channels; returns valid paths (N, H, 6)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model computes.

    Attributes:
        device: Name PyTorch knows it by: "cpu", "cuda", "mps".
        hardware: The maker's name of a GPU; empty for a processor.
        dtype: Number format of the weights, such as "float32".
        n_threads: Threads of a product on a processor.
    """

    device: str
    hardware: str
    dtype: str
    n_threads: int


class DirectPredictor(ABC):
    """The interface of `KronosPredictor`, for what answers in one go.

    Attributes:
        name: Name shown with forecasts.
        revision: Tells versions apart.
        no_tokens: Why temperature, top-p and top-k have nothing to act on, as half a sentence.
        decoder: None; nothing is drawn step by step.
    """

    decoder = None
    no_tokens = ""
    name: str
    revision: str

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
            T: 1, as there are no tokens that could be made likelier.
            top_p: 1, likewise.
            top_k: 0, likewise.
            sample_count: Number of paths N.
            seed: The same seed gives the same paths.
            lookback: Bars read; None for what suits the predictor.
            events: (len(df) + H, 20) event channels, where it reads them; None tells of none.

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
        draw: DrawPaths | None = None,
    ) -> Drawing:
        """What is asked, checked.

        Args:
            df: As for `forecast`, like the next two.
            y_timestamp: Times of the bars to forecast.
            x_timestamp: Times of the bars.
            sampling: T, top_p and top_k must leave everything as it is.
            lookback: Bars read.
            anchor: Makes no difference: every path starts at the last close anyway.
            events: Event channels.
            draw: Makes the paths; None for the predictor's own way.

        Returns:
            No series to draw, and a finish that returns the `Forecast`.

        Raises:
            InvalidCandles: As for `forecast`.
            InvalidRequest: As for `forecast`.
        """
        started = time.perf_counter()
        sampling.require_plain(self.name, self.no_tokens)
        asked = read_question(
            df,
            x_timestamp=x_timestamp,
            y_timestamp=y_timestamp,
            context_length=partial(self.context_length, lookback=lookback),
        )
        context, horizon = asked.context, len(asked.future)
        told = self._told(events, len(df), context, horizon)
        self._check(context, horizon)
        checked = time.perf_counter() - started

        def finish() -> Forecast:
            # Not counted from the beginning: an engine may have done other work in between.
            resumed = time.perf_counter()
            return Forecast(
                paths=(draw or self._paths)(context, horizon, sampling, told),
                timestamps=asked.future,
                origin=asked.origin,
                last_close=float(context.values[-1, 3]),
                parameters=sampling,
                model_name=self.name,
                model_revision=self.revision,
                context_hash=context.sha256(),
                n_context=len(context.values),
                seconds=checked + time.perf_counter() - resumed,
                events_hash=None if told is None else rows_sha256(told),
            )

        return Drawing([], finish)

    def begin_samples(
        self,
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Drawing:
        """As `KronosPredictor.begin_samples`: paths (B, N, H, 6) and the last candles (B, 6)."""
        sampling.require_plain(self.name, self.no_tokens)
        given = [None] * len(contexts) if events is None else events
        asked = []
        for context, fields, rows in zip(contexts, futures, given, strict=True):
            told = self._told(rows, len(context.values), context, len(fields))
            require_positive_prices(context)
            self._check(context, len(fields))
            asked.append((context, len(fields), sampling, told))

        def finish() -> tuple[np.ndarray, np.ndarray]:
            paths = [self._paths(*each) for each in asked]
            return np.stack(paths), np.stack([context.values[-1] for context in contexts])

        return Drawing([], finish)

    @abstractmethod
    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Number of bars read of `n_bars`, with an optional wish, whatever the horizon.

        Raises:
            InvalidRequest: The wish is no whole number within the bounds.
        """

    @abstractmethod
    def _check(self, context: Context, horizon: int) -> None:
        """Refuses contexts that are too short and horizons that are too long."""

    @abstractmethod
    def _told(
        self, events: np.ndarray | None, n_bars: int, context: Context, horizon: int
    ) -> np.ndarray | None:
        """Event channels (T + H, 20) of context and horizon; None where there are none."""

    @abstractmethod
    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        told: np.ndarray | None,
    ) -> np.ndarray:
        """See `DrawPaths`."""
