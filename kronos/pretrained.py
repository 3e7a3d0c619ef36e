"""`Kronos` and `KronosTokenizer` with upstream's way of loading and saving.

Scripts written for upstream keep working: `Kronos.from_pretrained("NeoQuasar/Kronos-small")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from kronos.nn import checkpoint, model, tokenizer


def _folder_of(name_or_path: str | Path) -> Path:
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    from kronos.zoo import checkpoint_folder

    return checkpoint_folder(str(name_or_path))


class Kronos(model.Kronos):
    """The autoregressive model."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Loads from a checkpoint folder, or from the hub by repository name.

        Raises:
            CheckpointError: See `kronos.errors`.
        """
        return checkpoint.load_checkpoint(cls, _folder_of(name_or_path))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes config.json and model.safetensors."""
        checkpoint.save_checkpoint(self, folder)


class KronosTokenizer(tokenizer.KronosTokenizer):
    """The candle tokenizer."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Loads from a checkpoint folder, or from the hub by repository name.

        Raises:
            CheckpointError: See `kronos.errors`.
        """
        return checkpoint.load_checkpoint(cls, _folder_of(name_or_path))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes config.json and model.safetensors."""
        checkpoint.save_checkpoint(self, folder)
