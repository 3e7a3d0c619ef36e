"""How long and how fast a model is fine-tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from kronos.errors import InvalidRequest
from kronos.training.corpus import Corpus
from kronos.training.held_out import EvaluationPlan
from kronos.training.loop import LoopConfig
from kronos.training.windows import WindowPlan

__all__ = ["FULL_LR", "LORA_LR", "FinetuneSettings"]

LORA_LR = 1e-4
"""Rate of the few new parameters of an adapter."""
FULL_LR = 1e-5
"""Rate of a whole model. The published models were trained at 4e-5: more would undo that."""
_EPOCHS = 15
_FEWEST_STEPS, _MOST_STEPS = 20, 5000


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """What a run may be told. The defaults suit most data.

    Attributes:
        lr: Peak learning rate.
        context: Bars read before an origin.
        horizon: Bars forecast behind it.
        windows: Windows in a step, over all processes and batches.
        accumulate: Batches a step is made of; more need less memory.
        steps: Optimizer steps; None for 15 rounds in which every bar is forecast once.
        validate_every: Steps between validations, each with a checkpoint; None for a tenth.
        patience: Validations without a better score after which the run ends.
        validation_windows: Most windows scored by a validation.
        paths: Paths sampled for each.
        event_weight: How much likelier windows with an event are.
        replay: Share of windows drawn from bars marked as replay, where some are.
        precision: Type of matrix products; bf16 pays on GPUs.
        save_memory: Compute blocks twice instead of keeping what happens inside.
        seed: Seed of everything drawn.
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
        """How windows are drawn to learn from."""
        return WindowPlan(
            contexts=(self.context,),
            future=self.horizon,
            bars_per_batch=self.windows // self.accumulate * self.n_bars,
            event_weight=self.event_weight,
            replay=self.replay,
        )

    def evaluation(self) -> EvaluationPlan:
        """How windows are drawn to be scored: all of them within the part they belong to."""
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
            train: What is learned from.
            watched: The figure of the validation that chooses among steps.
        """
        steps = self.steps
        if steps is None:
            rounds = _EPOCHS * len(train.times) / (self.horizon * self.windows)
            steps = min(max(math.ceil(rounds), _FEWEST_STEPS), _MOST_STEPS)
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
