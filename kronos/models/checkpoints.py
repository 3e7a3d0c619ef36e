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
from kronos.nn.config import (
    ModelConfig,
    TokenizerConfig,
    misfit,
    read_config,
    read_weights_header,
    require_same_sizes,
)
from kronos.system import asset_path, printable, read_json, sha256_of, shown

__all__ = [
    "CARD_NAME",
    "EDITIONS",
    "Card",
    "bundled_folder",
    "check_chronos",
    "check_pair",
    "describe_bundle",
    "edition_folder",
    "pair_of",
    "weights_digest",
]

CARD_NAME = "bundled.json"
_PARTS = ("model", "tokenizer")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_LONGEST_CONTEXT = 65_536
"""Most bars that a card may say a model reads; published models read up to 8,192."""
_MOST_CHRONOS = {
    "d_model": 8192, "d_kv": 1024, "d_ff": 32768, "num_layers": 128, "num_heads": 256,
    "vocab_size": 65536,
}  # fmt: skip
_MOST_CHRONOS_CONFIG = {
    "context_length": _LONGEST_CONTEXT, "input_patch_size": 1024, "input_patch_stride": 1024,
    "output_patch_size": 1024, "max_output_patches": 4096,
}  # fmt: skip
_MOST_LEVELS = 1000
"""Largest sizes of a Chronos-2. The published ones have 12 layers of width 768 and 21 levels."""


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
            facts = read_json(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise CheckpointInvalid(
                f"{path} cannot be read as JSON: {printable(exc)}. Restore or delete it."
            ) from exc
        if not isinstance(facts, dict):
            raise CheckpointInvalid(
                f"{path} must hold a JSON object, found {type(facts).__name__}. Restore or delete "
                "it."
            )
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


EDITIONS = {
    "bundled-0d13194d": "84a8f24f05b40d821f77734751d9800b405631186668c4ecc3f080f1bbe8f920",
}
"""Earlier editions of the bundled checkpoint, by name: SHA-256 of the weights of the model."""


def edition_folder(name: str) -> Path:
    """The folder of an earlier edition, in a checkout and in an installed wheel."""
    return asset_path("bundled", "editions", name)


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
    try:
        return _pair_of(folder, tokenizer)
    except (OSError, ValueError) as exc:  # too long for a path, or a folder that may not be read
        raise CheckpointInvalid(
            f"{printable(folder)} cannot be read as a checkpoint folder: {printable(exc)}. Give "
            "the path of a folder that this user may read."
        ) from exc


def _pair_of(folder: Path, tokenizer: Path | None) -> tuple[Path, Path]:
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

    Raises:
        CheckpointInvalid: A file cannot be read.
    """
    known = known or {}
    files = [folder / WEIGHTS_NAME for folder in folders]
    try:
        digests = [known.get(path) or _digest_while_unchanged(path) for path in files]
    except OSError as exc:
        raise CheckpointInvalid(
            f"The weights in {folders[0]} cannot be read: {printable(exc)}. Make the folder "
            "readable, or choose another model."
        ) from exc
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def check_pair(model: Path, tokenizer: Path) -> int:
    """Compare the configurations of a model and its tokenizer with their weights' headers.

    Returns:
        Learnable parameters of the model.

    Raises:
        CheckpointInvalid: A file cannot be read, or they do not fit.
    """
    header = None
    for folder, kind in ((tokenizer, TokenizerConfig), (model, ModelConfig)):
        config: ModelConfig | TokenizerConfig = kind.from_dict(read_config(folder))
        header = read_weights_header(folder)
        require_same_sizes(config, header, folder)
    assert header is not None
    return sum(
        math.prod(tensor.shape)
        for name, tensor in header.tensors.items()
        # Integer tensors and rotary frequencies are stored, but follow from the configuration.
        if tensor.is_float and not name.endswith("rotary.inv_freq")
    )


def check_chronos(folder: Path) -> int:
    """Compare the configuration of a Chronos-2 with the header of its weights.

    Returns:
        Most bars it reads at once.

    Raises:
        CheckpointInvalid: A file cannot be read, a size is out of range, or they do not fit.
    """
    config, header = read_config(folder), read_weights_header(folder)
    own = config.get("chronos_config")
    if not isinstance(own, dict):
        raise CheckpointInvalid(f"{folder} has no chronos_config. Give a folder as the hub has it.")
    for facts, most in ((config, _MOST_CHRONOS), (own, _MOST_CHRONOS_CONFIG)):
        for name, bound in most.items():
            value = facts.get(name, 1)
            if type(value) is not int or not 1 <= value <= bound:
                raise CheckpointInvalid(
                    f"{folder / CONFIG_NAME}: {name} must be a whole number from 1 to {bound:,}, "
                    f"found {shown(value)}. Give a folder as the hub has it."
                )
    levels = own.get("quantiles")
    if (
        not isinstance(levels, list)
        or not 1 <= len(levels) <= _MOST_LEVELS
        or not all(type(level) is float and 0 < level < 1 for level in levels)
    ):
        raise CheckpointInvalid(
            f"{folder / CONFIG_NAME}: quantiles must be 1 to {_MOST_LEVELS} numbers between 0 and "
            f"1, found {shown(levels)}. Give a folder as the hub has it."
        )
    width, inner = config.get("d_model"), config.get("d_ff")
    attention = (config.get("d_kv", 0) * config.get("num_heads", 0), width)
    wanted = {"shared.weight": (config.get("vocab_size"), width)}
    for block in range(config.get("num_layers", 0)):
        stem = f"encoder.block.{block}.layer"
        wanted |= {f"{stem}.{i}.self_attention.q.weight": attention for i in (0, 1)}
        gated = "wi_0" if config.get("is_gated_act") else "wi"
        wanted[f"{stem}.2.mlp.{gated}.weight"] = (inner, width)
    out = (len(levels) * own.get("output_patch_size", 0), inner)
    wanted["output_patch_embedding.output_layer.weight"] = out
    blocks = {name.split(".")[2] for name in header.tensors if name.startswith("encoder.block.")}
    faults = [] if len(blocks) == config.get("num_layers") else [f"{len(blocks)} blocks"]
    for name, shape in wanted.items():
        found = header.tensors.get(name)
        if found is None or found.shape != shape:
            faults.append(f"{name} is {found and found.shape}, expected {shape}")
    if faults:
        raise misfit(folder, faults)
    return int(own["context_length"])


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
    try:
        return (folder / WEIGHTS_NAME).is_file() and "chronos_config" in read_config(folder)
    except (CheckpointInvalid, OSError):
        return False


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
    if type(value) is not int or not 2 <= value <= _LONGEST_CONTEXT:
        raise CheckpointInvalid(
            f"{path}: {key} must be a whole number from 2 to {_LONGEST_CONTEXT:,}, found "
            f"{shown(value)}."
        )
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
