"""Adapters in the zoo: is the base that is here the one they were trained on?"""

from __future__ import annotations

from pathlib import Path

from kronos.errors import CheckpointInvalid
from kronos.models.adapters import AdapterFacts
from kronos.models.hub.repository import WEIGHTS_NAME
from kronos.system import sha256_of

__all__ = ["check_base", "weights_sha256"]


def check_base(path: Path, facts: AdapterFacts, model: Path, tokenizer: Path) -> None:
    """Compares the base that was found with the one an adapter was trained on.

    Raises:
        CheckpointInvalid: They are not the same.
    """
    for what, folder, expected in (
        ("model", model, facts.base_sha256),
        ("tokenizer", tokenizer, facts.tokenizer_sha256),
    ):
        found = weights_sha256(folder)
        if found != expected:
            raise CheckpointInvalid(
                f"The adapter {path.stem} was trained on another {what} than {facts.base} now "
                f"holds: SHA-256 {expected[:12]}..., found {found[:12]}... in {folder}. Put the "
                "old weights back, or train the adapter again on these."
            )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a checkpoint folder's weights: what ties an adapter to its base."""
    return sha256_of(folder / WEIGHTS_NAME)
