"""One training loop for everything: optimizer, schedule, log, checkpoint and resume.

Runs on the CPU, on one GPU, or on several processes started by torchrun. State is kept as
safetensors and JSON, replaced atomically: a killed run resumes from its last checkpoint, and
gives the result the run would have given without the interruption.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kronos.errors import InvalidRequest, TrainingDiverged
from kronos.training.state import Log, Losses, RunningMean, load_state, save_state
from kronos.training.windows import Batch, WindowSampler


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast to train.

    Attributes:
        steps: Optimizer steps.
        lr: Peak learning rate.
        warmup: Share of the steps spent rising to the peak.
        final_lr: Last learning rate as a share of the peak.
        weight_decay: Decoupled weight decay.
        grad_clip: Largest gradient norm.
        precision: Type of matrix products; bf16 pays on GPUs and on processors with bf16.
        optimizer: "adamw", or "muon" for the blocks' matrices with adamw for the rest.
        log_every: Steps between log lines.
        save_every: Steps between checkpoints.
        seed: Seed of windows and dropout.
    """

    steps: int
    lr: float
    warmup: float = 0.03
    final_lr: float = 0.02
    weight_decay: float = 0.1
    grad_clip: float = 3.0
    precision: Literal["fp32", "bf16"] = "fp32"
    optimizer: Literal["adamw", "muon"] = "adamw"
    log_every: int = 50
    save_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.lr <= 0:
            raise InvalidRequest(f"steps and lr must be positive, found {self.steps}, {self.lr}.")


@dataclass(frozen=True, slots=True)
class Process:
    """This process's place among those started by torchrun."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0


@contextmanager
def process_group(device: str | None = None) -> Iterator[Process]:
    """Joins the processes torchrun started, or runs alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and world > 1:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Process(int(os.environ.get("RANK", "0")), world, torch.device(device))
    finally:
        if world > 1:
            dist.destroy_process_group()


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then half a cosine down to final_lr * lr."""
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.lr * (step + 1) / rise
    progress = (step - rise) / max(1, config.steps - rise)
    floor = config.final_lr
    return config.lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(
    module: nn.Module,
    losses: Callable[[nn.Module, Batch], Losses],
    sampler: WindowSampler,
    config: LoopConfig,
    out: str | Path,
    process: Process,
    *,
    validate: Callable[[], dict[str, float]] | None = None,
    facts: dict[str, Any] | None = None,
) -> nn.Module:
    """Trains `module` in place and returns it in evaluation mode.

    Args:
        module: What learns.
        losses: Computes named losses of a batch; called with the (wrapped) module.
        sampler: Where batches come from; its rank must be this process's.
        config: Steps, rates and precision.
        out: Folder of log.jsonl and the resumable state.
        process: From `process_group`.
        validate: Called at every checkpoint on the main process; its figures are logged.
        facts: What else the result depends on (data, objective); a run resumes only under equal
            settings and facts. JSON-ready.

    Raises:
        InvalidRequest: A state in `out` was written under other settings.
        TrainingDiverged: The gradient is no finite number; the last state is kept.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    module.to(process.device).train()
    optimizers = make_optimizers(module, config)
    settings = asdict(config) | (facts or {})
    start = load_state(out, module, optimizers, settings)
    wrapped = DistributedDataParallel(module) if process.world > 1 else module
    log = Log(out / "log.jsonl", process.is_main)
    began, mean = time.perf_counter(), RunningMean()
    for step in range(start, config.steps):
        # Dropout is drawn anew from (seed, step, rank): resuming repeats nothing.
        torch.manual_seed(hash((config.seed, step, process.rank)) % 2**63)
        rate = learning_rate(step, config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
        with _autocast(process.device, config.precision):
            values = losses(wrapped, sampler.batch(step).to(process.device))
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        values["loss"].backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), config.grad_clip)
        if not torch.isfinite(norm):
            raise TrainingDiverged(
                f"The gradient at step {step + 1} is {float(norm)}. The last state in {out} is "
                "kept; start a new run with a lower --lr."
            )
        for optimizer in optimizers:
            optimizer.step()
        mean.add(values)
        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            seconds = time.perf_counter() - began
            log.write(step=done, lr=rate, seconds=round(seconds, 1), **mean.take())
        if (done % config.save_every == 0 or done == config.steps) and process.is_main:
            save_state(out, done, module, optimizers, settings)
            if validate:
                module.eval()
                log.write(step=done, **{f"val_{k}": v for k, v in validate().items()})
                module.train()
    return module.eval()


def _autocast(device: torch.device, precision: str) -> Any:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def make_optimizers(module: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon over the blocks' matrices and AdamW over the rest."""
    trainable = {n: p for n, p in module.named_parameters() if p.requires_grad}
    matrices: list[Tensor] = []
    if config.optimizer == "muon":
        inner = ("transformer.", "encoder.", "decoder.")
        names = [n for n, p in trainable.items() if n.startswith(inner) and p.ndim == 2]
        matrices = [trainable.pop(n) for n in names]
    groups = [
        {"params": [p for p in trainable.values() if p.ndim >= 2], "scale": 1.0},
        {
            "params": [p for p in trainable.values() if p.ndim < 2],
            "scale": 1.0,
            "weight_decay": 0.0,
        },
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.lr,
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
        )
    ]
    if matrices:
        # Muon's updates are orthogonal; this adjustment gives them the size of AdamW's.
        optimizers.append(
            torch.optim.Muon(
                [{"params": matrices, "scale": 1.0}],
                lr=config.lr,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers
