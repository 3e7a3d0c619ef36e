"""`Kronos` and `KronosTokenizer` with upstream's way of loading, saving and publishing.

Scripts written for upstream run: `Kronos.from_pretrained("NeoQuasar/Kronos-small")`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

from kronos.nn import checkpoint, model, tokenizer


class Pretrained:
    """Loading from and saving to checkpoint folders and repositories of the hub."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None) -> Self:
        """Load from a checkpoint folder, or from the hub by repository name.

        Args:
            name_or_path: A folder; a published checkpoint; or owner and name of any repository
                whose config.json and model.safetensors are of this architecture.
            revision: A branch, tag or commit of the repository; None is the commit that this
                version is tested with for a published checkpoint, and "main" for others.

        Raises:
            InvalidRequest: There is no such model.
            CheckpointError: See `kronos.errors`.
        """
        folder = Path(name_or_path)
        if revision is not None or not folder.is_dir():
            from kronos.models import checkpoint_folder

            folder = checkpoint_folder(str(name_or_path), revision=revision)
        return checkpoint.load_checkpoint(cls, folder)  # type: ignore[type-var]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors into a folder, created when missing."""
        checkpoint.save_checkpoint(self, folder)  # type: ignore[arg-type]

    def push_to_hub(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a Kronos checkpoint",
    ) -> str:
        """Upload config.json and model.safetensors as one commit.

        Args:
            repo_id: Owner and name; the repository is created where there is none.
            revision: The branch; None is "main".
            private: Whether a new repository is private; None is the owner's default.
            token: A token that may write; None is that of HF_TOKEN or of the login on this machine.
            commit_message: First line of the commit.

        Returns:
            The commit, 40 hexadecimal digits: a revision for `from_pretrained`.

        Raises:
            CheckpointUnavailable: The hub cannot be reached or refuses.
        """
        from kronos.models.hub import upload

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return upload(
                Path(folder),
                repo_id,
                revision=revision,
                private=private,
                token=token,
                commit_message=commit_message,
            )


class Kronos(Pretrained, model.Kronos):
    """The autoregressive model."""


class KronosTokenizer(Pretrained, tokenizer.KronosTokenizer):
    """The candle tokenizer."""
