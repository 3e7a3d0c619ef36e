"""The training loop: optimizer, schedule, log, validation, checkpoint and resume.

It runs on the CPU, on one GPU, or in several processes started by torchrun. State is safetensors
and JSON, replaced atomically: a killed run resumes from its last checkpoint and gives the same
result as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kronos.errors import InvalidRequest, OutOfMemory, TrainingDiverged
from kronos.nn.layers import Attend, Rotation, TransformerBlock
from kronos.system import is_out_of_memory, peak_bytes
from kronos.training.processes import Process
from kronos.training.state import (
    Log,
    Losses,
    RunningMean,
    load_best,
    load_state,
    rounded,
    save_best,
    save_state,
)
from kronos.training.windows import Batch, WindowSampler

STOP_NAME = "STOP"
"""A file of this name in the folder of a run, or in the one above, makes it save and end."""


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
        save_every: Steps between checkpoints, and between validations.
        seed: Seed of windows and dropout.
        accumulate: Batches whose gradients make one step, over all processes together; 1 gives
            every process one.
        watched: Validation figure that chooses the best weights, the lower the better; "" for the
            last weights.
        patience: Validations without a better figure after which the run ends; 0 for no limit.
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
    accumulate: int = 1
    watched: str = ""
    patience: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.lr <= 0:
            raise InvalidRequest(f"steps and lr must be positive, found {self.steps}, {self.lr}.")
        for name, low in (("log_every", 1), ("save_every", 1), ("accumulate", 1), ("patience", 0)):
            if getattr(self, name) < low:
                raise InvalidRequest(f"{name} must be at least {low}, found {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
        reason: "finished" after all steps, "early" if validation no longer improved, or "stopped"
            on request: then the same call continues from here.
        step: Steps done.
        best_step: Step of the best weights; the last one if no figure is watched.
        best: Their validation figure; None if no figure is watched.
        seconds: Time of the run so far, earlier calls included.
        peak_bytes: Peak memory of this call: the GPU's, else this process's.
        n_steps: Steps requested.
        patience: Validations without a better figure after which a run ends; 0 for no limit.
    """

    reason: Literal["finished", "early", "stopped"]
    step: int
    best_step: int
    best: float | None
    seconds: float
    peak_bytes: int
    n_steps: int
    patience: int


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
    watch: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train the parameters of `module` that require gradients, in place.

    A step uses `config.accumulate` batches, distributed over the processes. The number of
    processes changes only the order in which gradients are added. With `config.watched`, the
    result has the weights of the best validation, those of the start included.

    Args:
        module: The module; left in evaluation mode.
        losses: Computes named losses of a batch; called with the (wrapped) module.
        sampler: Draws the batches.
        config: Steps, rates and precision.
        out: Folder of log.jsonl and the resumable state.
        process: From `process_group`.
        validate: Called at every checkpoint on the main process; its figures are logged.
        facts: What the result depends on beside the settings (data, objective), JSON-ready; a run
            resumes only under equal settings and facts.
        watch: Called on the main process with every line of the log.
        stop: Called before every step; True saves and ends. So does a file named STOP in `out`
            or the folder above.

    Raises:
        InvalidRequest: The state in `out` is of other settings, or `accumulate` is no multiple of
            the processes.
        OutOfMemory: One batch is too large.
        TrainingDiverged: The gradient is not finite; the last state stays.
    """
    run = _Run(module, losses, sampler, config, Path(out), process, facts or {}, validate, watch)
    outcome = run.loop(stop or (lambda: False))
    module.eval()
    return outcome


class _Run:
    """A run in progress."""

    def __init__(
        self,
        module: nn.Module,
        losses: Callable[[nn.Module, Batch], Losses],
        sampler: WindowSampler,
        config: LoopConfig,
        out: Path,
        process: Process,
        facts: dict[str, Any],
        validate: Callable[[], dict[str, float]] | None,
        watch: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.module, self.losses, self.sampler = module, losses, sampler
        self.config, self.out, self.process = config, out, process
        self.validate = validate if process.is_main else None
        self.n_batches = _batches_per_step(config, process)
        out.mkdir(parents=True, exist_ok=True)
        module.to(process.device).train()
        self.optimizers = make_optimizers(module, config)
        self.settings = asdict(config) | {"accumulate": self.n_batches} | facts
        self.place = load_state(out, module, self.optimizers, self.settings)
        self.wrapped = process.wrap(module)
        self.log = Log(out / "log.jsonl", process.is_main, after=self.place.step or -1, watch=watch)
        self.mean, self.began = RunningMean(), time.perf_counter() - self.place.seconds

    def loop(self, stop: Callable[[], bool]) -> Outcome:
        if self.process.is_main:
            self._clear_requests()
        if self.process.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.process.device)
        if self.place.step == 0 and self.config.watched:
            self._validate(0)  # the figure that training must improve on
        reason: Literal["finished", "early", "stopped"] = "finished"
        while self.place.step < self.config.steps:
            is_stopped, is_over = self.process.any_of(
                stop() or (self.process.is_main and self._is_requested()), self._is_over()
            )
            if is_stopped or is_over:
                reason = "early" if is_over else "stopped"
                break
            self._step_or_advise()
            done = self.place.step
            is_last = done == self.config.steps
            if done % self.config.log_every == 0 or is_last:
                self._report()
            if done % self.config.save_every == 0 or is_last:
                self._checkpoint()
        return self._end(reason)

    def _step_or_advise(self) -> None:
        try:
            self._step()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"The memory is not enough for step {self.place.step + 1}. Make a step of more and "
                "smaller batches (--accumulate), shorten the context, or compute in bf16 on a GPU "
                "(--precision); `kronos finetune` also has --save-memory."
            ) from error

    def _step(self) -> None:
        config, step, process = self.config, self.place.step, self.process
        rate = learning_rate(step, config)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
        mine = range(process.rank, self.n_batches, process.world)
        for part in mine:
            # Dropout is seeded by (seed, step, part), so that it depends neither on resuming nor
            # on the number of processes.
            torch.manual_seed(hash((config.seed, step, part)) % 2**63)
            is_last = part == mine[-1]
            exchange = nullcontext() if is_last else process.without_exchange(self.wrapped)
            with exchange:
                batch = self.sampler.batch(step, part).to(process.device)
                with _autocast(process.device, config.precision):
                    values = self.losses(self.wrapped, batch)
                (values["loss"] / len(mine)).backward()
            self.mean.add(values)
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), config.grad_clip)
        if not torch.isfinite(norm):
            raise TrainingDiverged(
                f"The gradient at step {step + 1} is {float(norm)}. The last state in {self.out} "
                "stays; start a new run with a lower --lr."
            )
        for optimizer in self.optimizers:
            optimizer.step()
        self.place.step += 1

    def _report(self) -> None:
        means = self.process.mean_of(self.mean.take())
        rate = learning_rate(self.place.step - 1, self.config)
        self.log.write(
            step=self.place.step, split="train", lr=rate, seconds=self._seconds(), **rounded(means)
        )

    def _checkpoint(self) -> None:
        if not self.process.is_main:
            return
        self._validate(self.place.step)
        self._save()

    def _validate(self, step: int) -> None:
        if self.validate is None:
            return
        self.module.eval()
        figures = self.validate()
        self.module.train()
        self.log.write(step=step, split="validation", seconds=self._seconds(), **rounded(figures))
        watched, place = self.config.watched, self.place
        if watched and (place.best is None or figures[watched] < place.best):
            place.best, place.best_step, place.n_worse = figures[watched], step, 0
            save_best(self.out, step, self.module)
        else:
            place.n_worse += 1

    def _is_over(self) -> bool:
        config = self.config
        return bool(config.watched and config.patience and self.place.n_worse >= config.patience)

    def _save(self) -> None:
        self.place.seconds = self._seconds()
        save_state(self.out, self.place, self.module, self.optimizers, self.settings)

    def _end(self, reason: Literal["finished", "early", "stopped"]) -> Outcome:
        place, best_step = self.place, self.place.step
        if self.process.is_main and reason == "stopped":
            self._save()
            self._clear_requests()
        elif self.process.is_main and place.best is not None:
            load_best(self.out, place.best_step, self.module)
            best_step = place.best_step
        outcome = Outcome(
            reason,
            place.step,
            best_step,
            place.best,
            self._seconds(),
            self._peak_bytes(),
            self.config.steps,
            self.config.patience if self.config.watched else 0,
        )
        self.log.write(split="end", **asdict(outcome))
        self.process.wait()
        return outcome

    def _is_requested(self) -> bool:
        return any(path.is_file() for path in self._requests())

    def _clear_requests(self) -> None:
        for path in self._requests():
            path.unlink(missing_ok=True)

    def _requests(self) -> tuple[Path, Path]:
        return self.out / STOP_NAME, self.out.parent / STOP_NAME

    def _seconds(self) -> float:
        return round(time.perf_counter() - self.began, 1)

    def _peak_bytes(self) -> int:
        if self.process.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.process.device)
        return peak_bytes()


def _batches_per_step(config: LoopConfig, process: Process) -> int:
    """Batches whose gradients make one step, over all processes."""
    n = config.accumulate if config.accumulate > 1 else process.world
    if n % process.world:
        raise InvalidRequest(
            f"{n} batches per step cannot be divided among {process.world} processes. Give a "
            f"multiple of {process.world} as --accumulate."
        )
    return n


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


def recompute_blocks(module: nn.Module) -> None:
    """Recompute the activations of transformer blocks in the backward pass, to save memory.

    This takes about a third longer, and memory for one block instead of all. Gradients are the
    same, dropout included.
    """
    for block in module.modules():
        if isinstance(block, TransformerBlock):
            block.forward = _recomputed(block.forward)  # type: ignore[method-assign]


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def recomputed(x: Tensor, rotation: Rotation, attend: Attend | None = None) -> Tensor:
        y: Tensor = checkpoint(forward, x, rotation, attend, use_reentrant=False)
        return y

    return recomputed
