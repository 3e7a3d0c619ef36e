"""`Kronos` and `KronosTokenizer` with upstream's way of loading and saving.

Scripts written for upstream run: `Kronos.from_pretrained("NeoQuasar/Kronos-small")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from kronos.nn import checkpoint, model, tokenizer


class Pretrained:
    """Loading from and saving to checkpoint folders."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Load from a checkpoint folder, or from the hub by repository name.

        Raises:
            InvalidRequest: There is no such model.
            CheckpointError: See `kronos.errors`.
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            from kronos.models import checkpoint_folder

            folder = checkpoint_folder(str(name_or_path))
        return checkpoint.load_checkpoint(cls, folder)  # type: ignore[type-var]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors into a folder, created when missing."""
        checkpoint.save_checkpoint(self, folder)  # type: ignore[arg-type]


class Kronos(Pretrained, model.Kronos):
    """The autoregressive model."""


class KronosTokenizer(Pretrained, tokenizer.KronosTokenizer):
    """The candle tokenizer."""
