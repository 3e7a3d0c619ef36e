"""Adapters' tensors: written, read and merged into a base model.

A merged model is a plain `Kronos`: the decoders need to know nothing of adapters.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kronos.errors import CheckpointInvalid
from kronos.models.adapters import AdapterFacts, check_tensors, digest_of
from kronos.nn.config import EVENT_ALIGNMENTS, EventAlignment
from kronos.nn.model import Kronos
from kronos.system import atomic_write

__all__ = ["EVENT_BLOCK", "load_adapter", "merge", "save_adapter"]

EVENT_BLOCK = "event_emb."
"""What the names of the event embedding's parameters begin with."""
_A, _B = ".lora_A.weight", ".lora_B.weight"


def save_adapter(path: Path, facts: AdapterFacts, tensors: dict[str, Tensor]) -> AdapterFacts:
    """Write an adapter as one file, atomically; returns its facts with the digest."""
    held = {name: t.detach().float().cpu().contiguous() for name, t in tensors.items()}
    facts = replace(facts, tensors_sha256=digest_of(_bytes(held)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, is_only_writer=True) as partial:
        save_file(held, partial, metadata=facts.header())
    return facts


def load_adapter(path: Path, facts: AdapterFacts) -> dict[str, Tensor]:
    """Read the tensors of an adapter.

    Raises:
        CheckpointInvalid: The file cannot be read.
        CheckpointCorrupt: The weights do not have the digest of the header.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as exc:
        raise CheckpointInvalid(f"The adapter {path} cannot be read ({exc}).") from exc
    check_tensors(path, facts, _bytes(tensors))
    return tensors


@torch.no_grad()
def merge(
    model: Kronos,
    tensors: dict[str, Tensor],
    scale: float,
    *,
    event_alignment: EventAlignment = EVENT_ALIGNMENTS[0],
) -> Kronos:
    """Merge an adapter into its base, in place: every product is added to its matrix.

    Args:
        model: The base.
        tensors: Tensors of the adapter.
        scale: Factor of the low-rank products.
        event_alignment: That of the adapter's event rows, where it learned to read them.

    Raises:
        CheckpointInvalid: A tensor does not fit the model.
    """
    has_events = any(name.startswith(EVENT_BLOCK) for name in tensors)
    if has_events and model.event_emb is None:
        model.add_event_embedding(event_alignment)
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name.endswith(_B):
            module = name.removesuffix(_B)
            weight, a = parameters.get(f"{module}.weight"), tensors.get(module + _A)
            if weight is None or a is None or not _fits(weight, a, tensor):
                raise _misfit(name)
            weight.add_((tensor @ a).to(weight), alpha=scale)
        elif name.endswith(_A):
            if name.removesuffix(_A) + _B not in tensors:
                raise _misfit(name)
        else:
            whole = parameters.get(name) if name.startswith(EVENT_BLOCK) else None
            if whole is None or whole.shape != tensor.shape:
                raise _misfit(name)
            whole.copy_(tensor)
    return model


def _fits(weight: Tensor, a: Tensor, b: Tensor) -> bool:
    if a.ndim != 2 or b.ndim != 2:
        return False
    return b.shape[1] == a.shape[0] and (b.shape[0], a.shape[1]) == tuple(weight.shape)


def _misfit(name: str) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"The adapter's {name} does not fit the model it was loaded with. Load it with the base "
        "it was trained on."
    )


def _bytes(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
