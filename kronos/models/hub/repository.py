"""A repository of the hub: its pinned revision and the files in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CONFIG_NAME", "WEIGHTS_NAME", "RemoteFile", "Repository", "is_commit", "repository"]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository.

    Attributes:
        name: Its name at the top of the repository.
        size: Bytes, or None when not known beforehand.
        sha256: Digest its bytes must have, 64 hexadecimal digits. None leaves it to the digest
            the hub reports.
    """

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository at one revision.

    Attributes:
        repo_id: Owner and name, such as "NeoQuasar/Kronos-small".
        revision: The commit, 40 hexadecimal digits; a branch or tag only to ask for its commit.
        files: The files that are downloaded; no others are.
    """

    repo_id: str
    revision: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known beforehand."""
        return sum(file.size or 0 for file in self.files)

    @property
    def is_pinned(self) -> bool:
        """Whether this project knows the bytes of a file: the repository is one it was tested with.

        Others are those that a user names.
        """
        return any(file.sha256 for file in self.files)


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit: 40 hexadecimal digits."""
    return bool(_COMMIT.fullmatch(revision))


def repository(
    repo_id: str,
    revision: str,
    *,
    config: tuple[int | None, str] | None = None,
    weights: tuple[int | None, str] | None = None,
) -> Repository:
    """A checkpoint repository: its configuration and its weights, nothing else.

    Args:
        repo_id: Owner and name.
        revision: The pinned commit.
        config: Size in bytes and SHA-256 of config.json, where known.
        weights: Size in bytes and SHA-256 of model.safetensors, where known.

    Raises:
        ValueError: The revision is a branch or tag, which would be no pin.
    """
    if not is_commit(revision):
        raise ValueError(
            f"{repo_id} must be pinned to a commit of 40 hexadecimal digits, found {revision!r}."
        )
    files = ((CONFIG_NAME, config), (WEIGHTS_NAME, weights))
    return Repository(
        repo_id=repo_id,
        revision=revision,
        files=tuple(RemoteFile(name, *(facts or (None, None))) for name, facts in files),
    )
