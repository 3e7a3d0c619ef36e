"""ChronosForecaster: candles in, a forecast out, by Chronos-2.

Candles are read as series of logarithms, and the quantiles of these become candles again.

Axes: N paths, T context bars, H horizon, Q levels, V series: open, high, low, close and, where
there is any, volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kronos.context import AMOUNT, CLOSE, PRICES, VOLUME, Context
from kronos.errors import CheckpointInvalid, InvalidCandles, InvalidRequest
from kronos.forecast import SamplingParameters, path_uniforms
from kronos.forecasters.base import DirectForecaster, Placement
from kronos.forecasters.baselines.bootstrap import block_bootstrap
from kronos.forecasters.baselines.history import History, candles_of
from kronos.forecasters.paths import borrow_ranks, make_valid
from kronos.request import ModelFacts

__all__ = ["ChronosForecaster", "chronos_facts"]

ADVISED_LOOKBACK = 1024
"""Bars read without a lookback: older prices add little, and take time to read."""
MIN_BARS = 32

FARTHEST = float(np.log(1000.0))
"""Largest log-return from the last close that a candle may reach, up or down."""


class ChronosForecaster(DirectForecaster):
    """A checkpoint of Chronos-2 as a forecaster.

    It reads open, high, low, close and volume together, as logarithms, and gives the quantiles of
    each at every step; crossing ones are sorted. Paths have these quantiles and the ranks of
    reference paths (see `borrow_ranks`), which are a block bootstrap drawn with the seed. Figures
    of single steps, such as P(up), come from the model alone; those of whole paths, such as
    P(touch), depend on the reference as well. Unlike Kronos' paths, path i depends on the number of
    paths. Event rows are covariates, though the model was not trained with them.

    Attributes:
        name: Name shown with forecasts.
        revision: Hub commit or weights digest.
        levels: (Q,) levels of the quantiles.
        max_context: Most bars read at once.
        max_horizon: Most bars forecast.
    """

    no_tokens = "it gives quantiles and draws no tokens"

    def __init__(
        self, pipeline: Any, *, name: str, revision: str, max_context: int | None = None
    ) -> None:
        """Args:
        pipeline: A `chronos.Chronos2Pipeline`.
        name: Name shown with forecasts.
        revision: Hub commit or weights digest.
        max_context: Most bars to read at once; None for the length that it was trained for.
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
    ) -> ChronosForecaster:
        """A checkpoint of Chronos-2, ready to forecast.

        Args:
            folder: Holds config.json and model.safetensors.
            device: Where to compute.
            name: Name shown with forecasts.
            revision: Hub commit or weights digest shown with forecasts.
            max_context: Most bars to read at once; None for the length that it was trained for.

        Raises:
            CheckpointInvalid: The folder holds no checkpoint of Chronos-2.
        """
        from chronos import Chronos2Pipeline
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the weights are on this disk, and commands print results
        try:
            pipeline = Chronos2Pipeline.from_pretrained(
                str(folder), device_map=device, use_safetensors=True, local_files_only=True
            )
        except MemoryError:
            raise
        except Exception as exc:
            found = ascii(str(exc))[1:400]
            raise CheckpointInvalid(
                f"{folder} cannot be loaded as a checkpoint of Chronos-2: {found}. It must hold "
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

    @property
    def facts(self) -> ModelFacts:
        """See `Forecaster.facts`."""
        return chronos_facts(self.name, self.name, self.revision, self.max_context)

    def quantiles(
        self, context: Context, horizon: int, events: np.ndarray | None = None
    ) -> np.ndarray:
        """The model's quantiles of a series.

        Args:
            context: Bars to read.
            horizon: Bars to forecast, H.
            events: (T + H, 20) event channels, or None.

        Returns:
            (H, V, Q) quantiles at `levels`, sorted, of the series of `Scale.series`.
        """
        target = Scale.of(context).series(context.values).T.astype(np.float32)
        known = {} if events is None else covariates(events, len(context.values))
        (answer,) = self.pipeline.predict([{"target": target, **known}], horizon)
        # (V, Q, H), and levels may cross.
        return np.sort(answer.double().cpu().numpy(), axis=1).transpose(2, 0, 1)

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

    def _paths(
        self,
        context: Context,
        horizon: int,
        sampling: SamplingParameters,
        rows: np.ndarray | None,
    ) -> np.ndarray:
        scale = Scale.of(context)
        history = History.of(context)
        noise = path_uniforms(sampling.seed, sampling.sample_count, horizon)
        reference = make_valid(candles_of(history, block_bootstrap(history, noise)), context)
        quantiles = self.quantiles(context, horizon, rows)
        paths = borrow_ranks(scale.series(reference), self.levels, quantiles)
        return make_valid(scale.candles(paths), context)


def chronos_facts(model: str, name: str, revision: str, max_context: int) -> ModelFacts:
    """What a request needs to know of a checkpoint of Chronos-2."""
    return ModelFacts(
        model=model,
        name=name,
        revision=revision,
        least=MIN_BARS,
        most=max_context,
        advised=min(ADVISED_LOOKBACK, max_context),
        reads_events=True,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """The units in which candles are logarithms.

    Attributes:
        last_close: Prices are logarithms of their ratio to it.
        volume: Volume v is log(1 + v / this); 0 where there is no volume.
        turnover: Amount over volume and mean price; 0 where there is no amount.
    """

    last_close: float
    volume: float
    turnover: float

    @classmethod
    def of(cls, context: Context) -> Scale:
        """The scale of a context whose prices are above 0."""
        values = context.values
        traded = values[:, VOLUME] > 0
        volume = float(np.median(values[traded, VOLUME])) if traded.any() else 0.0
        worth = values[:, VOLUME] * values[:, PRICES].mean(axis=1)
        has_both = (values[:, AMOUNT] > 0) & (worth > 0)
        ratio = values[has_both, AMOUNT] / worth[has_both]
        return cls(float(values[-1, CLOSE]), volume, float(np.median(ratio)) if len(ratio) else 0.0)

    @property
    def n_series(self) -> int:
        return 5 if self.volume else 4

    def series(self, values: np.ndarray) -> np.ndarray:
        """Candles (..., 6) as series (..., V)."""
        logs = np.log(values[..., PRICES] / self.last_close)
        if not self.volume:
            return np.asarray(logs)
        volume = np.log1p(np.maximum(values[..., VOLUME], 0.0) / self.volume)
        return np.concatenate([logs, volume[..., None]], axis=-1)

    def candles(self, series: np.ndarray) -> np.ndarray:
        """Series (..., V) as candles (..., 6), not made valid yet."""
        candles = np.zeros((*series.shape[:-1], 6))
        logs = np.clip(series[..., :4], -FARTHEST, FARTHEST)
        candles[..., PRICES] = self.last_close * np.exp(logs)
        if self.volume:
            volume = self.volume * np.expm1(np.clip(series[..., 4], 0.0, FARTHEST))
            candles[..., VOLUME] = volume
            candles[..., AMOUNT] = self.turnover * volume * candles[..., PRICES].mean(axis=-1)
        return candles


def covariates(rows: np.ndarray, n_read: int) -> dict[str, dict[str, np.ndarray]]:
    """Event channels (T + H, 20) as covariates known for context and horizon.

    Constant channels carry no information and are left out.
    """
    varying = np.flatnonzero(np.ptp(rows, axis=0) > 0)
    if not len(varying):
        return {}
    return {
        "past_covariates": {f"event {i}": rows[:n_read, i] for i in varying},
        "future_covariates": {f"event {i}": rows[n_read:, i] for i in varying},
    }
