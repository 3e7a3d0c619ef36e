"""The processes of a training run, started by torchrun and joined by accelerate.

One process alone needs no library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from kronos.extras import require

__all__ = ["Process", "process_group"]

PATIENCE = timedelta(hours=2)
"""Longest time a process waits for the others while the main one validates."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: Its number, 0 for the main one.
        world: Number of processes.
        device: Its device.
        accelerator: An `accelerate.Accelerator`; None for a single process.
    """

    rank: int
    world: int
    device: torch.device
    accelerator: Any = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module for computing losses: its gradients are averaged over processes."""
        if self.accelerator is None:
            return module
        wrapped: nn.Module = self.accelerator.prepare_model(module, device_placement=False)
        return wrapped

    def without_exchange(self, wrapped: nn.Module) -> AbstractContextManager[Any]:
        """A context in which gradients add up in this process alone."""
        if self.accelerator is None:
            return nullcontext()
        context: AbstractContextManager[Any] = self.accelerator.no_sync(wrapped)
        return context

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is set in any process; all processes must call it."""
        if self.accelerator is None:
            return flags
        raised = torch.tensor(flags, dtype=torch.float32, device=self.device)
        return tuple((self.accelerator.reduce(raised, "sum") > 0).tolist())

    def mean_of(self, values: dict[str, float]) -> dict[str, float]:
        """Means over the processes; all must call it, with the same names."""
        if self.accelerator is None or not values:
            return values
        mine = torch.tensor([*values.values()], dtype=torch.float32, device=self.device)
        return dict(zip(values, self.accelerator.reduce(mine, "mean").tolist(), strict=True))

    def wait(self) -> None:
        """Wait for all processes."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


@contextmanager
def process_group(device: str | None = None) -> Iterator[Process]:
    """Join the processes that torchrun started, or run as a single one.

    Args:
        device: "cpu" or "cuda"; None for a GPU if there is one.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Process(0, 1, torch.device(device))
        return
    require("accelerate", "finetune", "Training on several devices")
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    accelerator = Accelerator(
        cpu=not device.startswith("cuda"),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    try:
        yield Process(
            accelerator.process_index, accelerator.num_processes, accelerator.device, accelerator
        )
    finally:
        accelerator.end_training()
