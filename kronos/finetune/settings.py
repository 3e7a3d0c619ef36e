"""Settings of fine-tuning: how long, how fast, how much memory, and estimates of a run.

Importing this module does not import torch: pages show estimates before a run starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kronos.errors import InvalidRequest
from kronos.nn.config import N_EVENT_CHANNELS

if TYPE_CHECKING:
    from kronos.training.corpus import Corpus
    from kronos.training.held_out import EvaluationPlan
    from kronos.training.loop import LoopConfig
    from kronos.training.windows import WindowPlan

__all__ = [
    "ADAPTER_RANK",
    "FULL_LR",
    "LORA_LR",
    "FinetuneSettings",
    "default_steps",
    "n_adapter_parameters",
]

LORA_LR = 1e-4
"""Default rate of an adapter."""
FULL_LR = 1e-5
"""Default rate of a whole model, below the 4e-5 of the published models, so as not to undo them."""
ADAPTER_RANK = 8
"""Default rank of an adapter."""
_ROUNDS = 15
_FEWEST_STEPS, _MOST_STEPS = 20, 5000


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """The settings of a run. The defaults suit most data.

    Attributes:
        lr: Peak learning rate.
        context: Bars read before an origin.
        horizon: Bars forecast after it.
        windows: Windows in a step, over all processes and batches.
        accumulate: Batches in a step; more need less memory.
        steps: Optimizer steps; None forecasts every bar about 15 times.
        validate_every: Steps between validations, each with a checkpoint; None for a tenth.
        patience: Validations without a better score after which the run ends.
        validation_windows: Most windows scored by a validation.
        paths: Paths sampled for each window.
        event_weight: Factor on the probability of windows with an event.
        replay: Share of windows drawn from bars marked as replay, if there are any.
        precision: Type of matrix products; bf16 pays on GPUs.
        save_memory: Recompute activations in the backward pass.
        seed: Seed of windows, dropout and paths.
    """

    lr: float = LORA_LR
    context: int = 128
    horizon: int = 24
    windows: int = 32
    accumulate: int = 1
    steps: int | None = None
    validate_every: int | None = None
    patience: int = 4
    validation_windows: int = 64
    paths: int = 32
    event_weight: float = 3.0
    replay: float = 0.2
    precision: Literal["fp32", "bf16"] = "fp32"
    save_memory: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.windows < 1 or self.accumulate < 1 or self.windows % self.accumulate:
            raise InvalidRequest(
                f"{self.windows} windows cannot be made into {self.accumulate} equal batches."
            )
        if self.context < 16 or self.horizon < 1:
            raise InvalidRequest(
                "A context of at least 16 and a horizon of at least 1 bar are needed, found "
                f"{self.context} and {self.horizon}."
            )

    @property
    def n_bars(self) -> int:
        """Bars of a window."""
        return self.context + self.horizon

    def plan(self) -> WindowPlan:
        """How training windows are drawn."""
        from kronos.training.windows import WindowPlan

        return WindowPlan(
            contexts=(self.context,),
            future=self.horizon,
            bars_per_batch=self.windows // self.accumulate * self.n_bars,
            event_weight=self.event_weight,
            replay=self.replay,
        )

    def evaluation(self) -> EvaluationPlan:
        """How validation windows are drawn, each within its part of the corpus."""
        from kronos.training.held_out import EvaluationPlan

        return EvaluationPlan(
            lookback=self.context,
            horizon=self.horizon,
            windows_per_series=1,
            windows_per_interval=self.validation_windows,
            sample_count=self.paths,
            batch=8,
            seed=self.seed,
            cone_bars=self.context,
            max_windows=self.validation_windows,
        )

    def loop(self, train: Corpus, *, watched: str) -> LoopConfig:
        """Steps and rates for a corpus.

        Args:
            train: The training bars.
            watched: Validation figure that chooses the best step.
        """
        from kronos.training.loop import LoopConfig

        steps = self.steps
        if steps is None:
            n_bars = len(train.times)
            steps = default_steps(n_bars, horizon=self.horizon, windows=self.windows)
        every = self.validate_every or max(1, steps // 10)
        return LoopConfig(
            steps=steps,
            lr=self.lr,
            precision=self.precision,
            log_every=max(1, every // 5),
            save_every=every,
            seed=self.seed,
            accumulate=self.accumulate,
            watched=watched,
            patience=self.patience,
        )


def default_steps(n_bars: int, *, horizon: int, windows: int) -> int:
    """Steps in which every bar is forecast about 15 times.

    Args:
        n_bars: Training bars.
        horizon: Bars forecast in a window.
        windows: Windows in a step.
    """
    steps = math.ceil(_ROUNDS * n_bars / (horizon * windows))
    return min(max(steps, _FEWEST_STEPS), _MOST_STEPS)


def n_adapter_parameters(config: dict[str, Any], *, events: bool, rank: int = ADAPTER_RANK) -> int:
    """Parameters of an adapter.

    Args:
        config: Contents of the base model's `config.json`.
        events: Whether the event embedding is learned.
        rank: Rank of the adapter.
    """
    width, n_layers = int(config["d_model"]), int(config["n_layers"])
    # Query and value projection of every block, two small matrices each.
    n_added = 2 * n_layers * 2 * rank * width
    return n_added + ((N_EVENT_CHANNELS + 1) * width if events else 0)
