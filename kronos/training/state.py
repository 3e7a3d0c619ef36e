"""What a training run leaves behind: its log, and the state it resumes from.

State is safetensors with JSON beside it, replaced atomically, and never a pickle.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kronos.errors import InvalidRequest

Losses = dict[str, Tensor]
"""Named scalars; "loss" is the one minimised."""


class RunningMean:
    """Means of named losses since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._n = 0

    def add(self, values: Losses) -> None:
        self._n += 1
        # Kept on the device: reading a value would wait for the GPU at every step.
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()

    def take(self) -> dict[str, float]:
        means = {name: round(float(total) / self._n, 5) for name, total in self._sums.items()}
        self._sums, self._n = {}, 0
        return means


class Log:
    """Appends JSON lines; silent on all processes but the main one."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self._path, self._enabled = path, enabled
        if enabled and path.is_file():
            # A kill may have left half a line.
            whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
            if torn:
                path.write_text(whole + "\n" if whole else "", encoding="utf-8")

    def write(self, **values: Any) -> None:
        if self._enabled:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def save_state(
    out: Path,
    step: int,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: dict[str, Any],
) -> None:
    """Writes everything a resumed run needs as one safetensors file, replaced atomically."""
    tensors = {f"module/{name}": tensor for name, tensor in module.state_dict().items()}
    for o, optimizer in enumerate(optimizers):
        for i, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{o}/{i}/{name}"] = torch.as_tensor(value)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    partial = out / "state.safetensors.partial"
    metadata = {"step": str(step), "settings": json.dumps(settings)}
    save_file(tensors, partial, metadata=metadata)
    os.replace(partial, out / "state.safetensors")


def load_state(
    out: Path,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: dict[str, Any],
) -> int:
    """Restores the last state in `out`; returns the step to go on from (0 when there is none).

    Raises:
        InvalidRequest: The state was written under other settings or on other data.
    """
    path = out / "state.safetensors"
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    saved = json.loads(metadata["settings"])
    wanted = json.loads(json.dumps(settings))
    changed = {k for k in saved.keys() | wanted.keys() if saved.get(k) != wanted.get(k)}
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
