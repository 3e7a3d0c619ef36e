"""An adapter that reads events, made up: what the pages do with one that was trained."""

from __future__ import annotations

from pathlib import Path

from kronos import models
from kronos.models import adapters

NAME = "made-up-events"
WITHOUT_EVENTS = "bundled-0d13194d"
"""A base that reads no events and is always there."""


def write_event_adapter(
    folder: Path,
    base: Path | str,
    *,
    strength: float = 0.3,
    alignment: str = "bar",
    name: str = NAME,
) -> Path:
    """Writes an adapter that is an event embedding of random weights, and nothing else.

    Args:
        folder: Where adapters are looked for.
        base: As for `models.locate`.
        strength: Standard deviation of the weights.
        alignment: That of the event rows it reads.
        name: Of the file; the facts of a name are cached for some seconds.
    """
    import torch

    from kronos.models.merging import save_adapter
    from kronos.nn.checkpoint import load_model

    located = models.locate(base)
    block = load_model(located.model).add_event_embedding()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        block.proj.weight.normal_(std=strength, generator=generator)
    tensors = {f"event_emb.{name}": value for name, value in block.state_dict().items()}
    facts = adapters.AdapterFacts(
        base=located.reference,
        base_sha256=models.weights_sha256(located.model),
        tokenizer_sha256=models.weights_sha256(located.tokenizer),
        rank=1, alpha=1, cut_off="2012-01-01T00:00:00+00:00",
        seen_until="2012-06-01T00:00:00+00:00", code="0", created="2025-07-01T00:00:00+00:00",
        steps=0, n_parameters=sum(value.numel() for value in tensors.values()), has_events=True,
        asset_class="", scores={}, tensors_sha256="", event_alignment=alignment,
    )  # fmt: skip
    path = folder / f"{name}.safetensors"
    save_adapter(path, facts, tensors)
    return path
