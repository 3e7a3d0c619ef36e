"""Checkpoint folders in upstream's format: config.json and model.safetensors, nothing else.

Every learnable parameter must be there with its shape. Buffers that follow from the
configuration (rotary frequencies, bit weights) are written for upstream's sake, and may be
missing or present when reading. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kronos.errors import CheckpointInvalid
from kronos.nn.config import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    ModelConfig,
    TokenizerConfig,
    misfit,
    read_config,
    read_weights_header,
    require_same_sizes,
)
from kronos.nn.header import Header
from kronos.nn.layers import Attention, inverse_frequencies
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer
from kronos.system import atomic_write

M = TypeVar("M", bound=Kronos | KronosTokenizer)


def load_model(folder: str | Path) -> Kronos:
    """Loads the autoregressive model from a checkpoint folder, in evaluation mode, float32.

    Raises:
        CheckpointInvalid: A file is missing or unreadable, or parameters do not fit.
    """
    return load_checkpoint(Kronos, folder)


def load_tokenizer(folder: str | Path) -> KronosTokenizer:
    """Loads the tokenizer from a checkpoint folder, in evaluation mode, float32.

    Raises:
        CheckpointInvalid: A file is missing or unreadable, or parameters do not fit.
    """
    return load_checkpoint(KronosTokenizer, folder)


def save_checkpoint(
    module: Kronos | KronosTokenizer, folder: str | Path, dtype: torch.dtype = torch.float32
) -> None:
    """Writes config.json and model.safetensors so that upstream's code can load them.

    A model with an event embedding, which upstream does not know, is written with it.

    Args:
        module: What to save.
        folder: Created when missing.
        dtype: Storage type of the parameters; float16 halves the file, and every reader
            widens it again.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().to(device="cpu", dtype=dtype).contiguous()
        for name, tensor in module.state_dict().items()
    }
    text = json.dumps(module.config.to_dict(), indent=2, sort_keys=True) + "\n"
    with (
        atomic_write(folder / CONFIG_NAME, is_only_writer=True) as config,
        atomic_write(folder / WEIGHTS_NAME, is_only_writer=True) as weights,
    ):
        save_file(tensors | derived_buffers(module), weights)
        config.write_text(text, encoding="utf-8")


def derived_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Buffers that upstream stores and that follow from the configuration, by name."""
    buffers = {
        f"{name}.rotary.inv_freq": inverse_frequencies(child.head_width)
        for name, child in module.named_modules()
        if isinstance(child, Attention)
    }
    if isinstance(module, KronosTokenizer):
        for name, n_bits in (("basis", module.n_bits), ("group_basis", module.config.group_size)):
            buffers[f"tokenizer.bsq.{name}"] = 1 << torch.arange(n_bits - 1, -1, -1)
    return buffers


def load_checkpoint(kind: type[M], folder: str | Path) -> M:
    """Loads a checkpoint folder as `kind`, a Kronos or KronosTokenizer class.

    Raises:
        CheckpointInvalid: A file is missing or unreadable, or parameters do not fit.
    """
    folder = Path(folder)
    fields = ModelConfig if issubclass(kind, Kronos) else TokenizerConfig
    config = fields.from_dict(read_config(folder))
    _require_weights(folder)
    header = read_weights_header(folder)
    require_same_sizes(config, header, folder)
    # Without memory first: what the file does not hold is not allocated.
    with torch.device("meta"), _WithoutRandomWeights():
        outline: M = kind(**config.to_dict())
    # Outside: what is computed on that device imports torch's compiler, which takes a second.
    _check_names(outline, header, folder)
    with _WithoutRandomWeights():
        module: M = kind(**config.to_dict())
    tensors = _read_tensors(folder)
    # Values are copied into the module's own float32 memory: half precision widens on the way,
    # and nothing goes on reading the file, which may be replaced.
    module.load_state_dict({name: tensors[name] for name in module.state_dict()}, strict=True)
    module.eval()
    return module


class _WithoutRandomWeights(TorchFunctionMode):
    """Leaves out the random draws of modules built inside it: every weight is about to be read.

    Drawing takes longer than reading, and would move the caller's random state on.
    """

    # Some initialisers offer themselves to the mode, the others only their draw does.
    _DRAWS = frozenset(
        {nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_}
        | {Tensor.normal_, Tensor.uniform_}
    )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return None if func in self._DRAWS else func(*args, **(kwargs or {}))


def _require_weights(folder: Path) -> None:
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        pickled = sorted(p.name for p in folder.glob("*") if p.suffix in {".bin", ".pt", ".pth"})
        found = f" Found {', '.join(pickled)}, which is pickle and is not read." if pickled else ""
        raise CheckpointInvalid(f"{path} is missing.{found} Convert the weights to safetensors.")


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_NAME
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as exc:
        raise CheckpointInvalid(
            f"{path} cannot be read ({exc}). Copy or download the file again."
        ) from exc


def _check_names(module: Kronos | KronosTokenizer, header: Header, folder: Path) -> None:
    wanted, found = module.state_dict(), header.tensors
    derived = derived_buffers(module)
    faults = [f"missing {name}" for name in wanted if name not in found]
    faults += [f"unknown {name}" for name in found if name not in wanted and name not in derived]
    faults += [
        f"{name} is {found[name].shape}, expected {tuple(like.shape)}"
        for name, like in (wanted | derived).items()
        if name in found and found[name].shape != tuple(like.shape)
    ]
    faults += [
        f"{name} has the type {found[name].dtype}, which is no type of parameters"
        for name in wanted
        if name in found and not found[name].is_float
    ]
    if faults:
        raise misfit(folder, faults)
