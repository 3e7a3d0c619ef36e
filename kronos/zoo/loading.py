"""load(): a model by name or folder, verified, on its device, ready to forecast."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kronos import hub
from kronos.collector import collector_paused
from kronos.errors import InvalidRequest
from kronos.hub import Progress, Repository
from kronos.zoo.folders import Card, bundled_folder, pair_of, weights_digest
from kronos.zoo.table import BUNDLED, PUBLISHED, published, unknown

if TYPE_CHECKING:
    import torch

    from kronos.predictor import KronosPredictor

__all__ = ["checkpoint_folder", "checkpoint_pair", "load"]


@dataclass(frozen=True, slots=True)
class _Source:
    """A checkpoint on this disk, verified."""

    name: str
    revision: str
    model: Path
    tokenizer: Path
    max_context: int
    lookback: int | None = None


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_context: int | None = None,
    dtype: torch.dtype | Literal["fastest"] | None = None,
    progress: Progress | None = None,
) -> KronosPredictor:
    """Loads a model with its tokenizer.

        load("bundled")                      ships with the project, needs no network
        load("small")                        mini, small or base from the hub, pinned
        load("runs/mine")                    a folder that holds model/ and tokenizer/
        load("runs/mine/model", tokenizer="NeoQuasar/Kronos-Tokenizer-base")

    Weights from the hub are downloaded once, verified against a pinned SHA-256 before they are
    read, and loaded from the cache ever after without a request. Pickled weights are never read.

    Args:
        name_or_path: A name ("small", "Kronos-small" and "NeoQuasar/Kronos-small" are the same,
            in any case), or the path of a checkpoint folder.
        device: Where to compute, such as "cpu" or "cuda"; None takes a GPU when there is one.
        tokenizer: For a model folder without one: the tokenizer's folder or its hub name.
        max_context: Most bars to read at once; None takes what the checkpoint was trained for
            (512 for a folder that does not say).
        dtype: What the model computes in; None is float32, "fastest" is bfloat16 where a short
            check says that this machine is much faster with it (see kronos.inference.precision).
        progress: Called as progress(done_bytes, total_bytes) while downloading, in the calling
            thread; raising stops the download.

    Returns:
        A predictor whose `name` is the model's and whose `revision` is the hub's commit, or, for
        folders, a digest over both files of weights.

    Raises:
        InvalidRequest: There is no such model, or no such device.
        CheckpointUnavailable: Not on this machine, and the hub cannot be reached or refuses.
        CheckpointCorrupt: Bytes do not match their digest.
        CheckpointInvalid: A file is missing or does not fit.
    """
    source = _locate(name_or_path, tokenizer, progress)
    # torch takes seconds to import: last, so that every mistake above is told at once.
    with collector_paused():
        from kronos.inference.precision import fastest_dtype
        from kronos.nn.checkpoint import load_model, load_tokenizer
        from kronos.predictor import KronosPredictor, best_device, usable_device

    where = best_device() if device is None else usable_device(device)
    model = load_model(source.model)
    if dtype == "fastest":
        dtype = fastest_dtype(model, where)
    return KronosPredictor(
        model,
        load_tokenizer(source.tokenizer),
        device=where,
        dtype=dtype,
        max_context=max_context or source.max_context,
        name=source.name,
        revision=source.revision,
        lookback=source.lookback,
    )


def checkpoint_pair(
    name_or_path: str | os.PathLike[str], *, progress: Progress | None = None
) -> tuple[Path, Path]:
    """Model folder and tokenizer folder of a model, downloaded and verified; raises as `load`."""
    source = _locate(name_or_path, None, progress)
    return source.model, source.tokenizer


def checkpoint_folder(name: str, *, progress: Progress | None = None) -> Path:
    """Folder of one published model or tokenizer, downloaded and verified.

    Args:
        name: A model's name as for `load`, or a tokenizer's ("Kronos-Tokenizer-base").
        progress: As for `load`.

    Raises:
        InvalidRequest: There is no such model or tokenizer.
        CheckpointError: See `load`.
    """
    if name.strip().casefold() == BUNDLED:
        return bundled_folder() / "model"
    if tokenizer := _published_tokenizer(name):
        return hub.fetch([tokenizer], progress=progress)[0]
    model = published(name)
    if model is None:
        raise unknown(name)
    return hub.fetch([model.model], progress=progress)[0]


def _locate(
    name_or_path: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None,
    progress: Progress | None,
) -> _Source:
    if isinstance(name_or_path, str):
        is_bundled = name_or_path.strip().casefold() == BUNDLED
        model = None if is_bundled else published(name_or_path)
        if (is_bundled or model) and tokenizer is not None:
            raise InvalidRequest(
                f"{name_or_path} comes with its own tokenizer; leave out tokenizer={tokenizer!r}."
            )
        if is_bundled:
            return _bundled()
        if model is not None:
            folders = hub.fetch(model.repositories, progress=progress)
            return _Source(
                model.title, model.model.revision, folders[0], folders[1], model.max_context
            )
        if not _looks_like_path(name_or_path):
            raise unknown(name_or_path)
    return _local(Path(name_or_path).expanduser(), tokenizer, progress)


def _bundled() -> _Source:
    folder = bundled_folder()
    card = Card.read(folder) or Card()
    checked = card.check(folder)
    model, tokenizer = pair_of(folder, None)
    revision = weights_digest(model, tokenizer, known=checked)
    return _Source(BUNDLED, revision, model, tokenizer, card.max_context, card.lookback)


def _local(
    folder: Path, tokenizer: str | os.PathLike[str] | None, progress: Progress | None
) -> _Source:
    given = None if tokenizer is None else _tokenizer_folder(tokenizer, progress)
    model, tokenizer_folder = pair_of(folder, given)
    card = Card.read(folder) or Card()
    checked = card.check(folder)
    return _Source(
        name=folder.resolve().name,
        revision=weights_digest(model, tokenizer_folder, known=checked),
        model=model,
        tokenizer=tokenizer_folder,
        max_context=card.max_context,
        lookback=card.lookback,
    )


def _tokenizer_folder(tokenizer: str | os.PathLike[str], progress: Progress | None) -> Path:
    if isinstance(tokenizer, str) and (found := _published_tokenizer(tokenizer)):
        return hub.fetch([found], progress=progress)[0]
    folder = Path(tokenizer).expanduser()
    inner = folder / "tokenizer"
    return inner if inner.is_dir() else folder


def _published_tokenizer(name: str) -> Repository | None:
    """The tokenizer repository of a name, with or without its owner, in any case."""
    short = name.strip().casefold()
    for model in PUBLISHED.values():
        repo_id = model.tokenizer.repo_id.casefold()
        if short in {repo_id, repo_id.rsplit("/", 1)[-1]}:
            return model.tokenizer
    return None


def _looks_like_path(text: str) -> bool:
    separators = {"/", os.sep}
    return text.startswith((".", "~")) or any(s in text for s in separators) or Path(text).exists()
