"""ChronosPredictor: candles in, a forecast out, by Chronos-2."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.decoding.drawing import Drawing
from kronos.errors import CheckpointInvalid, InvalidCandles, InvalidRequest
from kronos.forecast import SamplingParameters, path_uniforms, whole_number
from kronos.forecasters.base import DirectPredictor, Placement
from kronos.forecasters.baselines.bootstrap import block_bootstrap
from kronos.forecasters.baselines.history import History, candles_of
from kronos.forecasters.chronos.ranks import borrow_ranks
from kronos.forecasters.chronos.series import Scale, covariates
from kronos.forecasters.event_rows import event_rows
from kronos.forecasters.inputs import Context
from kronos.forecasters.paths import make_valid

__all__ = ["ChronosPredictor"]

DEFAULT_LOOKBACK = 1024
"""Bars read unless asked otherwise: older prices say little more, and reading them takes time."""
MIN_BARS = 32


class ChronosPredictor(DirectPredictor):
    """A checkpoint of Chronos-2 with the interface of `KronosPredictor`.

    It reads open, high, low, close and volume together, as logarithms, and gives the quantiles of
    each at every step; crossing ones are sorted. Paths take these quantiles and the ranks of
    reference paths (see `kronos.forecasters.chronos.ranks`): of a block bootstrap, drawn with
    the seed, unless others are given. What hangs on single steps, such as P(up), is the model's;
    what hangs on whole paths, such as P(touch), is the reference's as well. Unlike Kronos' paths,
    path i depends on the number of paths.

    Attributes:
        name: Name shown with forecasts.
        revision: Hub commit or weights digest.
        levels: (Q,) levels of the quantiles.
        max_context: Most bars read at once.
        max_horizon: Most bars forecast.
        reads_events: True; event channels are read as covariates, though it never learned any.
    """

    no_tokens = "it gives quantiles and draws no tokens"
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
        """See `kronos.forecasters.chronos.load_chronos`."""
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

    def begin_like(self, reference: np.ndarray, df: pd.DataFrame, **asked: Any) -> Drawing:
        """As `begin`, with paths (N, H, 6) that lend their ranks, such as Kronos' own.

        Args:
            reference: The paths, as many as are asked for.
            df: As for `begin`.
            asked: As for `begin`.

        Raises:
            InvalidRequest: On finishing, if the reference has another shape than the paths.
        """
        return self.begin(df, **asked, draw=partial(self._paths, reference=reference))

    def quantiles(
        self, context: Context, horizon: int, events: np.ndarray | None = None
    ) -> np.ndarray:
        """What the model says of a series.

        Args:
            context: What it reads.
            horizon: Bars to forecast, H.
            events: (T + H, 20) event channels, or None.

        Returns:
            (H, V, Q) quantiles at `levels`, in order, of the series of `Scale.series`.
        """
        target = Scale.of(context).series(context.values).T.astype(np.float32)
        known = {} if events is None else covariates(events, len(context.values))
        (answer,) = self.pipeline.predict([{"target": target, **known}], horizon)
        # (V, Q, H), and nothing keeps the levels from crossing.
        return np.sort(answer.double().cpu().numpy(), axis=1).transpose(2, 0, 1)

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """See `DirectPredictor.context_length`; None for the last 1,024."""
        wish = min(DEFAULT_LOOKBACK, self.max_context) if lookback is None else lookback
        wish = whole_number(wish, "lookback")
        if not MIN_BARS <= wish <= self.max_context:
            raise InvalidRequest(
                f"lookback must be from {MIN_BARS} to {self.max_context:,} bars for {self.name}, "
                f"found {wish}."
            )
        return min(wish, n_bars)

    def _check(self, context: Context, horizon: int) -> None:
        if len(context.values) < MIN_BARS:
            raise InvalidCandles(
                f"{self.name} needs at least {MIN_BARS} bars up to the origin, found "
                f"{len(context.values)}. Choose a later origin or a longer series."
            )
        if horizon > self.max_horizon:
            raise InvalidRequest(
                f"{self.name} forecasts at most {self.max_horizon:,} bars, found {horizon:,}."
            )

    def _told(
        self, events: np.ndarray | None, n_bars: int, context: Context, horizon: int
    ) -> np.ndarray | None:
        if events is None:
            return None
        return event_rows(events, n_bars=n_bars, n_read=len(context.values), horizon=horizon)

    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        told: np.ndarray | None,
        reference: np.ndarray | None = None,
    ) -> np.ndarray:
        wanted = (sampling.sample_count, horizon, 6)
        if reference is not None and reference.shape != wanted:
            raise InvalidRequest(
                f"The reference must be paths {wanted}, as many as are asked for; found "
                f"{reference.shape}."
            )
        scale = Scale.of(context)
        if reference is None:
            history = History.of(context)
            noise = path_uniforms(sampling.seed, sampling.sample_count, horizon)
            reference = make_valid(candles_of(history, block_bootstrap(history, noise)), context)
        quantiles = self.quantiles(context, horizon, told)
        paths = borrow_ranks(scale.series(reference), self.levels, quantiles)
        return make_valid(scale.candles(paths), context)
