"""ChronosPredictor: candles in, a forecast out, by Chronos-2."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.baselines.bootstrap import block_bootstrap
from kronos.baselines.history import History, candles_of
from kronos.candle_paths import make_valid
from kronos.chronos.ranks import borrow_ranks
from kronos.chronos.series import Scale, covariates
from kronos.context import Context, Stamps, read_question, require_positive_prices
from kronos.errors import CheckpointInvalid, InvalidCandles, InvalidRequest
from kronos.event_rows import event_rows, rows_sha256
from kronos.forecast import Forecast, SamplingParameters, whole_number
from kronos.inference.drawing import Drawing
from kronos.inference.models import Placement
from kronos.noise import path_uniforms

__all__ = ["ChronosPredictor"]

DEFAULT_LOOKBACK = 1024
"""Bars read unless asked otherwise: older prices say little more, and reading them takes time."""
MIN_BARS = 32


class ChronosPredictor:
    """A checkpoint of Chronos-2 with the interface of `KronosPredictor`.

    It reads open, high, low, close and volume together, as logarithms, and gives the quantiles of
    each at every step; crossing ones are sorted. Paths take these quantiles and the ranks of
    reference paths (see `kronos.chronos.ranks`): of a block bootstrap of the context, drawn with
    the seed, unless others are given. What hangs on single steps, such as P(up), is the model's;
    what hangs on whole paths, such as P(touch), is the reference's as well. Unlike Kronos' paths,
    path i depends on the number of paths.

    Attributes:
        name: Name shown with forecasts.
        revision: Hub commit or weights digest.
        levels: (Q,) levels of the quantiles.
        max_context: Most bars read at once.
        max_horizon: Most bars forecast.
        decoder: None; nothing is drawn step by step.
        reads_events: True; event channels are read as covariates, though it never learned any.
    """

    decoder = None
    reads_events = True

    def __init__(
        self, pipeline: Any, *, name: str, revision: str, max_context: int | None = None
    ) -> None:
        """Args:
        pipeline: A `chronos.Chronos2Pipeline`.
        name: Name shown with forecasts.
        revision: Hub commit or weights digest.
        max_context: Most bars to read at once; None for what the checkpoint was trained for.
        """
        self.pipeline = pipeline
        self.name = name
        self.revision = revision
        self.levels = np.array(pipeline.quantiles, dtype=float)
        self.max_context = min(max_context or 1 << 30, int(pipeline.model_context_length))
        self.max_horizon = int(pipeline.model_prediction_length)

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str, name: str, revision: str, max_context: int | None = None
    ) -> ChronosPredictor:
        """See `kronos.chronos.load_chronos`."""
        from chronos import Chronos2Pipeline
        from safetensors import SafetensorError
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the weights are on this disk, and commands print results
        try:
            pipeline = Chronos2Pipeline.from_pretrained(
                str(folder), device_map=device, use_safetensors=True, local_files_only=True
            )
        except (
            *(SafetensorError, OSError, ValueError, KeyError),
            *(AttributeError, RuntimeError, AssertionError),
        ) as exc:
            raise CheckpointInvalid(
                f"{folder} cannot be loaded as a checkpoint of Chronos-2: {exc}. It must hold "
                "config.json and model.safetensors, as the hub has them."
            ) from exc
        return cls(pipeline, name=name, revision=revision, max_context=max_context)

    @property
    def n_bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self.pipeline.model.parameters())

    @property
    def placement(self) -> Placement:
        """Where and how the model computes."""
        import torch

        weight = next(self.pipeline.model.parameters())
        hardware = torch.cuda.get_device_name(weight.device) if weight.is_cuda else ""
        dtype = str(weight.dtype).removeprefix("torch.")
        return Placement(str(weight.device), hardware, dtype, torch.get_num_threads())

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
        reference: np.ndarray | None = None,
    ) -> Forecast:
        """Forecasts, with paths; the first part is `begin`.

        Args:
            df: Bars with open, high, low, close and, if there are, volume and amount.
            y_timestamp: (H,) times of the bars to forecast.
            x_timestamp: Times of the bars; the index of `df` when None.
            T: 1, as nothing is drawn that could be made likelier.
            top_p: 1, likewise.
            top_k: 0, likewise.
            sample_count: Number of paths N.
            seed: Of the reference.
            lookback: Bars read; None for the last 1,024.
            events: (len(df) + H, 20) event channels, as for `KronosPredictor.forecast`.
            reference: (N, H, 6) paths that lend their ranks, such as Kronos' own; None for a
                block bootstrap of the context.

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
            reference=reference,
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
        reference: np.ndarray | None = None,
    ) -> Drawing:
        """What is asked, checked.

        Args:
            df: As for `forecast`, like all the others but one.
            y_timestamp: Times of the bars to forecast.
            x_timestamp: Times of the bars.
            sampling: T, top_p and top_k must leave everything as it is.
            lookback: Bars read.
            anchor: Makes no difference: returns are measured from the last close anyway.
            events: Event channels.
            reference: Paths that lend their ranks.

        Returns:
            No series to draw, and a finish that returns the `Forecast`.

        Raises:
            InvalidCandles: As for `forecast`.
            InvalidRequest: As for `forecast`.
        """
        started = time.perf_counter()
        asked = read_question(
            df,
            x_timestamp=x_timestamp,
            y_timestamp=y_timestamp,
            context_length=partial(self.context_length, lookback=lookback),
        )
        context, horizon = asked.context, len(asked.future)
        told = self._told(events, len(df), context, horizon)
        self._check(context, horizon, sampling, reference)
        checked = time.perf_counter() - started

        def finish() -> Forecast:
            resumed = time.perf_counter()
            (quantiles,) = self.quantiles([context], horizon, [told])
            paths = self._paths(context, quantiles, sampling, reference)
            return Forecast(
                paths=paths,
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
        horizon = len(futures[0])
        given = [None] * len(contexts) if events is None else events
        told = [
            self._told(rows, len(context.values), context, horizon)
            for context, rows in zip(contexts, given, strict=True)
        ]
        for context in contexts:
            require_positive_prices(context)
            self._check(context, horizon, sampling, None)

        def finish() -> tuple[np.ndarray, np.ndarray]:
            found = self.quantiles(contexts, horizon, told)
            paths = [
                self._paths(context, quantiles, sampling, None)
                for context, quantiles in zip(contexts, found, strict=True)
            ]
            return np.stack(paths), np.stack([context.values[-1] for context in contexts])

        return Drawing([], finish)

    def quantiles(
        self,
        contexts: Sequence[Context],
        horizon: int,
        events: Sequence[np.ndarray | None],
    ) -> list[np.ndarray]:
        """What the model says of series of one context each.

        Args:
            contexts: B contexts.
            horizon: Bars to forecast, H.
            events: B arrays (T + H, 20) of event channels, or None in their place.

        Returns:
            B arrays (H, V, Q) of quantiles at `levels`, in order, of the series of `Scale.series`.
        """
        found = []
        for context, rows in zip(contexts, events, strict=True):
            target = Scale.of(context).series(context.values).T.astype(np.float32)
            known = {} if rows is None else covariates(rows, len(context.values))
            (answer,) = self.pipeline.predict([{"target": target, **known}], horizon)
            # (V, Q, H), and nothing keeps the levels from crossing.
            found.append(np.sort(answer.double().cpu().numpy(), axis=1).transpose(2, 0, 1))
        return found

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Number of bars read of `n_bars`, with an optional wish, whatever the horizon.

        Raises:
            InvalidRequest: The wish is no whole number within the bounds.
        """
        wish = min(DEFAULT_LOOKBACK, self.max_context) if lookback is None else lookback
        wish = whole_number(wish, "lookback")
        if not MIN_BARS <= wish <= self.max_context:
            raise InvalidRequest(
                f"lookback must be from {MIN_BARS} to {self.max_context:,} bars for {self.name}, "
                f"found {wish}."
            )
        return min(wish, n_bars)

    def _paths(
        self,
        context: Context,
        quantiles: np.ndarray,
        sampling: SamplingParameters,
        reference: np.ndarray | None,
    ) -> np.ndarray:
        scale = Scale.of(context)
        if reference is None:
            history = History.of(context)
            noise = path_uniforms(sampling.seed, sampling.sample_count, len(quantiles))
            reference = make_valid(candles_of(history, block_bootstrap(history, noise)), context)
        paths = borrow_ranks(scale.series(reference), self.levels, quantiles)
        return make_valid(scale.candles(paths), context)

    def _told(
        self, events: np.ndarray | None, n_bars: int, context: Context, horizon: int
    ) -> np.ndarray | None:
        if events is None:
            return None
        return event_rows(events, n_bars=n_bars, n_read=len(context.values), horizon=horizon)

    def _check(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        reference: np.ndarray | None,
    ) -> None:
        if len(context.values) < MIN_BARS:
            raise InvalidCandles(
                f"{self.name} needs at least {MIN_BARS} bars up to the origin, found "
                f"{len(context.values)}. Choose a later origin or a longer series."
            )
        if horizon > self.max_horizon:
            raise InvalidRequest(
                f"{self.name} forecasts at most {self.max_horizon:,} bars, found {horizon:,}."
            )
        sampling.require_plain(
            self.name, "it gives quantiles and draws no tokens that could be made likelier"
        )
        wanted = (sampling.sample_count, horizon, 6)
        if reference is not None and reference.shape != wanted:
            raise InvalidRequest(
                f"The reference must be paths {wanted}, as many as are asked for; found "
                f"{reference.shape}."
            )
