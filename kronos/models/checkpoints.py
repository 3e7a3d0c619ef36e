"""Checkpoint folders on disk: layout, card, digests. The bundled checkpoint is one of them.

    FOLDER/model/{config.json, model.safetensors}
    FOLDER/tokenizer/{config.json, model.safetensors}
    FOLDER/bundled.json      the card: recommended lookback, max_context, SHA-256 of the files

The card is required of the bundled checkpoint and welcome in any other folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointCorrupt, CheckpointInvalid, CheckpointUnavailable
from kronos.models.hub.repository import CONFIG_NAME, WEIGHTS_NAME
from kronos.system import asset_path, sha256_of

__all__ = ["CARD_NAME", "Card", "bundled_folder", "describe_bundle", "pair_of", "weights_digest"]

CARD_NAME = "bundled.json"
_PARTS = ("model", "tokenizer")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_HEADER_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Card:
    """The card of a checkpoint folder.

    Attributes:
        lookback: Recommended number of context bars, or None.
        max_context: Most bars the model reads at once.
        sha256: Digest of each file, by its path below the folder.
        cut_off: Day before which its training bars lie, ISO 8601; "" where not known.
    """

    lookback: int | None = None
    max_context: int = 512
    sha256: dict[str, str] = field(default_factory=dict)
    cut_off: str = ""

    @classmethod
    def read(cls, folder: Path) -> Card | None:
        """The card of a folder, or None when it has none.

        Raises:
            CheckpointInvalid: The card is no such JSON object.
        """
        path = folder / CARD_NAME
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise CheckpointInvalid(f"{path} cannot be read as JSON: {exc}.") from exc
        if not isinstance(facts, dict):
            raise CheckpointInvalid(f"{path} must hold a JSON object, found {facts!r:.60}.")
        return cls(
            lookback=_whole(facts, "lookback", path),
            max_context=_whole(facts, "max_context", path) or 512,
            sha256=_digests(facts.get("sha256", {}), path),
            cut_off=_day(facts.get("cut_off", ""), path),
        )

    def check(self, folder: Path) -> dict[Path, str]:
        """Compare every file of the card with its digest.

        Returns:
            The SHA-256 of each file of the card.

        Raises:
            CheckpointCorrupt: A file is missing or has other bytes.
        """
        for name, expected in self.sha256.items():
            path = folder / name
            found = sha256_of(path) if path.is_file() else "missing"
            if found != expected:
                raise CheckpointCorrupt(
                    f"{path} does not match {CARD_NAME}: SHA-256 is {found}, expected {expected}. "
                    "Restore the file from the release or the repository."
                )
        return {folder / name: digest for name, digest in self.sha256.items()}


def bundled_folder() -> Path:
    """The folder of the bundled checkpoint, in a checkout and in an installed wheel.

    Raises:
        CheckpointUnavailable: It is not there.
    """
    folder = asset_path("bundled")
    missing = [
        str(Path(part, name))
        for part in _PARTS
        for name in (CONFIG_NAME, WEIGHTS_NAME)
        if not (folder / part / name).is_file()
    ]
    if not (folder / CARD_NAME).is_file():
        missing.append(CARD_NAME)
    if missing:
        raise CheckpointUnavailable(
            f"The bundled checkpoint is incomplete: {folder} lacks {', '.join(missing)}. Install "
            "the package again, or restore assets/bundled from the repository."
        )
    return folder


def pair_of(folder: Path, tokenizer: Path | None) -> tuple[Path, Path]:
    """The model's and the tokenizer's folder.

    Args:
        folder: Holds model/ and tokenizer/, or is itself the model's folder.
        tokenizer: The tokenizer's folder; required in the second case.

    Raises:
        CheckpointInvalid: No such folder, no checkpoint in it, or no tokenizer given.
    """
    if not folder.is_dir():
        kind = "a file; give the folder it lies in" if folder.exists() else "not there"
        raise CheckpointInvalid(f"{folder} should be a checkpoint folder, but it is {kind}.")
    if (folder / "model").is_dir():
        model, inner = folder / "model", folder / "tokenizer"
        tokenizer = tokenizer or (inner if inner.is_dir() else None)
    else:
        model = folder
    _require_checkpoint(model)
    if tokenizer is None:
        raise CheckpointInvalid(
            f"{folder} holds a model but no tokenizer/. Give the folder or the hub name of the "
            'tokenizer it was trained with: tokenizer="NeoQuasar/Kronos-Tokenizer-base".'
        )
    _require_checkpoint(tokenizer)
    return model, tokenizer


def weights_digest(*folders: Path, known: Mapping[Path, str] | None = None) -> str:
    """Short digest of checkpoints: 16 hexadecimal digits over all weights.

    Args:
        folders: The folders that hold the weights.
        known: SHA-256 of files that are hashed already.
    """
    known = known or {}
    files = [folder / WEIGHTS_NAME for folder in folders]
    digests = [known.get(path) or _digest_while_unchanged(path) for path in files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def _digest_while_unchanged(path: Path) -> str:
    """SHA-256 of a file, computed again when its size or modification time changes."""
    found = path.stat()
    return _digest_of(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest_of(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


def describe_bundle(folder: str | Path, *, lookback: int, max_context: int) -> Card:
    """Write the card of a folder that holds model/ and tokenizer/, digests included.

    Args:
        folder: The checkpoint folder.
        lookback: Recommended number of context bars.
        max_context: Most bars the model reads at once.

    Raises:
        CheckpointInvalid: The folder lacks a file.
    """
    folder = Path(folder)
    pair_of(folder, None)
    names = [f"{part}/{name}" for part in _PARTS for name in (CONFIG_NAME, WEIGHTS_NAME)]
    card = Card(lookback, max_context, {name: sha256_of(folder / name) for name in names})
    facts = {"lookback": lookback, "max_context": max_context, "sha256": card.sha256}
    (folder / CARD_NAME).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return card


def is_chronos_folder(folder: Path) -> bool:
    """Whether a folder holds a checkpoint whose configuration is that of Chronos-2."""
    if not (folder / WEIGHTS_NAME).is_file():
        return False
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "chronos_config" in config


def count_parameters(folder: Path) -> int:
    """Learnable parameters of a checkpoint folder, counted in the header of its weights.

    Raises:
        CheckpointInvalid: The header is not that of a safetensors file.
    """
    path = folder / WEIGHTS_NAME
    try:
        return sum(
            math.prod(tensor["shape"])
            for name, tensor in safetensors_header(path).items()
            # Integer tensors and rotary frequencies are stored, but follow from the configuration.
            if name != "__metadata__"
            and tensor["dtype"][0] in "FB"
            and not name.endswith("rotary.inv_freq")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise CheckpointInvalid(f"{path} is no safetensors file: {exc}.") from exc


def safetensors_header(path: Path) -> dict[str, Any]:
    """The JSON object at the head of a safetensors file: its metadata, and shapes by name.

    Raises:
        OSError: The file cannot be read.
        ValueError: It has no such header.
    """
    with path.open("rb") as opened:
        n_bytes = int.from_bytes(opened.read(8), "little")
        if n_bytes > _HEADER_LIMIT:
            raise ValueError(f"a header of {n_bytes:,} bytes")
        header: dict[str, Any] = json.loads(opened.read(n_bytes))
    return header


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _require_checkpoint(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointInvalid(f"{folder} should be a checkpoint folder, but it is not there.")
    missing = [name for name in (CONFIG_NAME, WEIGHTS_NAME) if not (folder / name).is_file()]
    if not missing:
        return
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _PICKLES)
    hint = (
        f" It holds {', '.join(pickled)}: pickled weights can run any code and are never read. "
        "Load them where you trust them and save them with safetensors."
        if pickled
        else f" A checkpoint folder holds {CONFIG_NAME} and {WEIGHTS_NAME}."
    )
    raise CheckpointInvalid(f"{folder} lacks {' and '.join(missing)}.{hint}")


def _whole(facts: dict[str, Any], key: str, path: Path) -> int | None:
    value = facts.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise CheckpointInvalid(f"{path}: {key} must be a whole number from 2, found {value!r}.")
    return value


def _day(value: object, path: Path) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat() if value else ""
    except ValueError:
        raise CheckpointInvalid(
            f"{path}: cut_off must be a day such as 2025-10-01, found {value!r:.40}."
        ) from None


def _digests(value: object, path: Path) -> dict[str, str]:
    allowed = {f"{part}/{name}" for part in _PARTS for name in (CONFIG_NAME, WEIGHTS_NAME)}
    is_fine = isinstance(value, dict) and all(
        name in allowed and isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        for name, digest in value.items()
    )
    if not isinstance(value, dict) or not is_fine:
        raise CheckpointInvalid(
            f"{path}: sha256 must map {', '.join(sorted(allowed))} to 64 hexadecimal digits."
        )
    return value
