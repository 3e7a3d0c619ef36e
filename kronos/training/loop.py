"""One training loop for everything: optimizer, schedule, log, checkpoint and resume.

Runs on the CPU, on one GPU, or on several processes started by torchrun. State is kept as
safetensors and JSON, replaced atomically: a killed run resumes from its last checkpoint, and
gives the result the run would have given without the interruption.
"""

from __future__ import annotations

import json
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
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kronos.errors import InvalidRequest
from kronos.training.windows import Batch, WindowSampler

Losses = dict[str, Tensor]
"""Named scalars; "loss" is the one minimised."""


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
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    module.to(process.device).train()
    optimizers = make_optimizers(module, config)
    start = load_state(out, module, optimizers, config)
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
        nn.utils.clip_grad_norm_(module.parameters(), config.grad_clip)
        for optimizer in optimizers:
            optimizer.step()
        mean.add(values)
        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            seconds = time.perf_counter() - began
            log.write(step=done, lr=rate, seconds=round(seconds, 1), **mean.take())
        if (done % config.save_every == 0 or done == config.steps) and process.is_main:
            save_state(out, done, module, optimizers, config)
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


class RunningMean:
    """Means of named losses since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._n = 0

    def add(self, values: Losses) -> None:
        self._n += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())

    def take(self) -> dict[str, float]:
        means = {name: round(total / self._n, 5) for name, total in self._sums.items()}
        self._sums, self._n = {}, 0
        return means


class Log:
    """Appends JSON lines; silent on all processes but the main one."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self._path, self._enabled = path, enabled

    def write(self, **values: Any) -> None:
        if self._enabled:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def save_state(
    out: Path,
    step: int,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    config: LoopConfig,
) -> None:
    """Writes everything a resumed run needs as one safetensors file, replaced atomically."""
    tensors = {f"module/{name}": tensor for name, tensor in module.state_dict().items()}
    for o, optimizer in enumerate(optimizers):
        for i, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{o}/{i}/{name}"] = torch.as_tensor(value)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    partial = out / "state.safetensors.partial"
    metadata = {"step": str(step), "config": json.dumps(asdict(config))}
    save_file(tensors, partial, metadata=metadata)
    os.replace(partial, out / "state.safetensors")


def load_state(
    out: Path, module: nn.Module, optimizers: list[torch.optim.Optimizer], config: LoopConfig
) -> int:
    """Restores the last state in `out`; returns the step to go on from (0 when there is none).

    Raises:
        InvalidRequest: The state was written under other settings.
    """
    path = out / "state.safetensors"
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    saved = json.loads(metadata["config"])
    changed = {k for k, v in asdict(config).items() if saved.get(k) != v}
    if changed - {"log_every", "save_every"}:
        raise InvalidRequest(
            f"{path} was written with other settings ({', '.join(sorted(changed))}). Resume with "
            "the same settings or choose another output folder."
        )
    module.load_state_dict(
        {n.removeprefix("module/"): t for n, t in tensors.items() if n.startswith("module/")}
    )
    for o, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer/{o}/"):
                _, _, index, field = name.split("/")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(metadata["step"])
