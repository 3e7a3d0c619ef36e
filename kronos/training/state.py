"""The files of a training run: its log, and the state it resumes from.

State is safetensors with JSON metadata, replaced atomically, and never a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kronos.errors import InvalidRequest
from kronos.nn.header import read_header
from kronos.system import atomic_write, parse_json, printable

Losses = dict[str, Tensor]
"""Named scalars; "loss" is the one minimised."""


@dataclass(slots=True)
class Place:
    """The position of a run.

    Attributes:
        step: Steps done.
        seconds: Time so far.
        best: Lowest value of the watched figure; None before the first.
        best_step: Step it was found at.
        n_worse: Validations since.
    """

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    n_worse: int = 0


class RunningMean:
    """Means of named losses since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._n = 0

    def add(self, values: Losses) -> None:
        self._n += 1
        # The sums stay on the device: reading a value would wait for the GPU at every step.
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()

    def take(self) -> dict[str, float]:
        means = {name: float(total) / self._n for name, total in self._sums.items()}
        self._sums, self._n = {}, 0
        return means


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Figures as logged."""
    return {name: round(value, 5) for name, value in values.items()}


class Log:
    """Appends JSON lines; silent on all processes but the main one."""

    def __init__(
        self,
        path: Path,
        enabled: bool,
        *,
        after: int | None = None,
        watch: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Args:
        path: The file; its lines stay.
        enabled: Whether this process writes.
        after: Step to resume from: lines of later steps, which are written again, are dropped.
            None drops none.
        watch: Called with every line.
        """
        self._path, self._enabled, self._watch = path, enabled, watch
        if enabled and path.is_file():
            text = path.read_text(encoding="utf-8")
            # A kill may have left half a line.
            lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
            if after is not None:
                lines = [line for line in lines if _step_of(line) <= after]
            remaining = "".join(lines)
            if remaining != text:
                with atomic_write(path, is_only_writer=True) as partial:
                    partial.write_text(remaining, encoding="utf-8")

    def write(self, **values: Any) -> None:
        if self._enabled:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
            if self._watch:
                self._watch(values)


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line).get("step", 0))
    except (ValueError, AttributeError):
        return 0


def save_state(
    out: Path,
    place: Place,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: dict[str, Any],
) -> None:
    """Write everything a resumed run needs as one safetensors file, replaced atomically."""
    tensors = {f"module/{name}": tensor for name, tensor in _trained(module).items()}
    for o, optimizer in enumerate(optimizers):
        for i, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{o}/{i}/{name}"] = torch.as_tensor(value)
    metadata = {"place": json.dumps(asdict(place)), "settings": json.dumps(settings)}
    _replace(out / "state.safetensors", tensors, metadata)
    # The state no longer names earlier ones.
    for path in out.glob("best-*.safetensors"):
        if path != _best_path(out, place.best_step):
            path.unlink(missing_ok=True)


def load_state(
    out: Path,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    settings: dict[str, Any],
) -> Place:
    """Restore the last state in `out`; its position, or step 0 if there is none.

    Raises:
        InvalidRequest: The state is of other settings or other data, or cannot be read.
    """
    path = out / "state.safetensors"
    if not path.is_file():
        return Place()
    try:
        read_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved, place = parse_json(metadata["settings"]), Place(**parse_json(metadata["place"]))
        saved.keys()
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError),
        SafetensorError,
    ) as error:
        raise InvalidRequest(
            f"{path} is no state of a training that can be read: {printable(error)}. Delete it to "
            "start anew, or choose another output folder."
        ) from error
    current = json.loads(json.dumps(settings))
    changed = {k for k in saved.keys() | current.keys() if saved.get(k) != current.get(k)}
    if changed - {"log_every", "save_every"}:
        raise InvalidRequest(
            f"{path} was written with other settings ({', '.join(sorted(changed))}). Resume with "
            "the same settings or choose another output folder."
        )
    _restore(
        module,
        {n.removeprefix("module/"): t for n, t in tensors.items() if n.startswith("module/")},
    )
    for o, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer/{o}/"):
                _, _, index, field = name.split("/")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return place


def save_best(out: Path, step: int, module: nn.Module) -> None:
    """Write the weights of a step beside the state, which names the step."""
    _replace(_best_path(out, step), _trained(module), {})


def load_best(out: Path, step: int, module: nn.Module) -> None:
    """Restore the weights of a step."""
    with safe_open(_best_path(out, step), framework="pt") as file:
        _restore(module, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def _best_path(out: Path, step: int) -> Path:
    return out / f"best-{step:07}.safetensors"


def _trained(module: nn.Module) -> dict[str, Tensor]:
    """The trained parameters; the others are those of the start."""
    return {name: p.data for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def _restore(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, parameter in _trained(module).items():
        parameter.copy_(tensors[name])


def _replace(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path, is_only_writer=True, flush=True) as partial:
        save_file(saved, partial, metadata=metadata)
