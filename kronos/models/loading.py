"""Loading: a model by name or folder, verified, on its device, ready to forecast."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kronos.errors import CheckpointInvalid, CheckpointUnavailable, InvalidRequest
from kronos.models import hub
from kronos.models.adapters import AdapterFacts, check_base, read_facts
from kronos.models.checkpoints import (
    EDITIONS,
    Card,
    bundled_folder,
    check_chronos,
    pair_of,
    weights_digest,
)
from kronos.models.hub import Progress, Repository
from kronos.models.registry import (
    BUNDLED,
    PUBLISHED,
    Reference,
    is_folder,
    kind_of,
    published,
    resolve,
    unknown,
)
from kronos.system import collector_paused

if TYPE_CHECKING:
    import torch

    from kronos.forecasters.base import Forecaster
    from kronos.forecasters.chronos import ChronosForecaster
    from kronos.forecasters.kronos import KronosPredictor

__all__ = [
    "Located",
    "checkpoint_folder",
    "checkpoint_pair",
    "has_chronos_package",
    "load",
    "load_kronos",
    "locate",
    "require_chronos_package",
]


@dataclass(frozen=True, slots=True)
class Located:
    """A checkpoint on this disk, verified.

    Attributes:
        name: Name to show.
        reference: What `load` finds it by from any folder: its name, or an absolute path.
        revision: The hub's commit, or a digest of the weights.
        model: Folder of the model.
        tokenizer: Folder of the tokenizer.
        max_context: Most bars it reads at once.
        lookback: Recommended number of context bars, or None for as many as fit.
        adapter: The adapter's file and facts, where it is one; the folders are its base's.
    """

    name: str
    reference: str
    revision: str
    model: Path
    tokenizer: Path
    max_context: int
    lookback: int | None = None
    adapter: tuple[Path, AdapterFacts] | None = None


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_context: int | None = None,
    dtype: torch.dtype | Literal["fastest"] | None = None,
    progress: Progress | None = None,
) -> Forecaster:
    """Load a model with its tokenizer.

        load("bundled")                      ships with the project, needs no network
        load("small")                        mini, small or base from the hub, pinned
        load("runs/mine")                    a folder that holds model/ and tokenizer/
        load("runs/mine/model", tokenizer="NeoQuasar/Kronos-Tokenizer-base")
        load("small-crypto")                 an adapter of this user, merged into its base
        load("runs/mine/adapter.safetensors")     an adapter's file
        load("chronos-2")            Chronos-2 from the hub, or a folder that holds one

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
            check says that this machine is much faster with it (see kronos.decoding.weights).
        progress: Called as progress(done_bytes, total_bytes) while downloading, in the calling
            thread; raising stops the download.

    Returns:
        A `KronosPredictor`, or a `ChronosForecaster` for Chronos-2. Its `name` is the model's, and
        its `revision` the hub's commit, or, for a folder, a digest over all files of weights.

    Raises:
        InvalidRequest: There is no such model, or no such device.
        CheckpointUnavailable: Not on this machine, and the hub cannot be reached or refuses.
        CheckpointCorrupt: Bytes do not match their digest.
        CheckpointInvalid: A file is missing or does not fit.
    """
    found = resolve(name_or_path)
    if found.kind == "chronos":
        if tokenizer is not None:
            raise InvalidRequest(f"Chronos-2 has no tokenizer; leave out tokenizer={tokenizer!r}.")
        return _load_chronos(found, device=device, max_context=max_context, progress=progress)
    return load_kronos(
        name_or_path,
        device=device,
        tokenizer=tokenizer,
        max_context=max_context,
        dtype=dtype,
        progress=progress,
    )


def load_kronos(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_context: int | None = None,
    dtype: torch.dtype | Literal["fastest"] | None = None,
    progress: Progress | None = None,
) -> KronosPredictor:
    """Load a Kronos or an adapter, as `load` does; Chronos-2 is refused."""
    located = locate(name_or_path, tokenizer=tokenizer, progress=progress)
    # torch takes seconds to import: last, so that every mistake above is reported at once.
    with collector_paused():
        from kronos.decoding.weights import fastest_dtype
        from kronos.forecasters.kronos import KronosPredictor, best_device, usable_device
        from kronos.nn.checkpoint import load_model, load_tokenizer

    where = best_device() if device is None else usable_device(device)
    model = load_model(located.model)
    if located.adapter is not None:
        from kronos.models.merging import load_adapter, merge

        path, facts = located.adapter
        merge(
            model,
            load_adapter(path, facts),
            facts.scale,
            event_alignment=facts.event_alignment,
        )
    if dtype == "fastest":
        dtype = fastest_dtype(model, where)
    return KronosPredictor(
        model,
        load_tokenizer(located.tokenizer),
        device=where,
        dtype=dtype,
        max_context=max_context or located.max_context,
        name=located.name,
        revision=located.revision,
        lookback=located.lookback,
    )


def has_chronos_package() -> bool:
    """Whether chronos-forecasting is installed; imports nothing."""
    return find_spec("chronos") is not None


def require_chronos_package() -> None:
    """Refuse to load Chronos-2, before anything is downloaded.

    Raises:
        CheckpointUnavailable: chronos-forecasting is not installed.
    """
    if not has_chronos_package():
        raise CheckpointUnavailable(
            "Chronos-2 computes with the package chronos-forecasting, which is not installed. "
            "Install it beside this program (pip install 'kronos-fan[chronos]', or "
            "pip install chronos-forecasting), then start it again."
        )


def _load_chronos(
    found: Reference,
    *,
    device: str | torch.device | None,
    max_context: int | None,
    progress: Progress | None,
) -> ChronosForecaster:
    require_chronos_package()
    if (model := found.model) is not None:
        (folder,) = hub.fetch(model.repositories, progress=progress)
        name, revision = model.title, model.model.revision
    else:
        folder = Path(found.name).expanduser()
        check_chronos(folder)
        name, revision = folder.resolve().name, weights_digest(folder)
    with collector_paused():
        from kronos.forecasters.chronos import ChronosForecaster
        from kronos.forecasters.kronos import best_device, usable_device

        where = best_device() if device is None else usable_device(device)
        return ChronosForecaster.from_folder(
            folder, device=str(where), name=name, revision=revision, max_context=max_context
        )


def checkpoint_pair(
    name_or_path: str | os.PathLike[str], *, progress: Progress | None = None
) -> tuple[Path, Path]:
    """Model folder and tokenizer folder of a model, downloaded and verified; raises as `load`."""
    source = locate(name_or_path, progress=progress)
    if source.adapter is not None:
        facts = source.adapter[1]
        raise InvalidRequest(
            f"{name_or_path} is an adapter and no checkpoint of its own. Name its base, "
            f"{facts.base}, instead."
        )
    return source.model, source.tokenizer


def checkpoint_folder(
    name: str, *, revision: str | None = None, progress: Progress | None = None
) -> Path:
    """Folder of one model or tokenizer of the hub, downloaded and verified.

    Args:
        name: A model's name as for `load`, a tokenizer's ("Kronos-Tokenizer-base"), or any other
            repository by owner and name.
        revision: A branch, tag or commit; None is the pinned commit of a published checkpoint, and
            the branch "main" of another repository.
        progress: As for `load`.

    Raises:
        InvalidRequest: There is no such model or tokenizer.
        CheckpointError: See `load`.
    """
    if name.strip().casefold() == BUNDLED and revision is None:
        return bundled_folder() / "model"
    known = _published_tokenizer(name)
    if known is None and (model := published(name)) is not None and not model.is_chronos:
        known = model.model
    if known is None:
        if "/" not in name or kind_of(name) == "chronos":
            raise unknown(name)
        known = hub.find(name.strip(), revision or "main", progress=progress)
    elif revision not in (None, known.revision):
        known = hub.find(known.repo_id, str(revision), progress=progress)
    return hub.fetch([known], progress=progress)[0]


def locate(
    name_or_path: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Located:
    """Find a model by name or path, download missing files, and verify them.

    Arguments and errors are those of `load`, but nothing is loaded, and Chronos-2 is refused.
    """
    found = resolve(name_or_path)
    if found.kind == "chronos":
        raise InvalidRequest(
            f"{name_or_path} is Chronos-2 and no Kronos: it has no tokenizer, takes no adapter and "
            "is not trained here. It can be asked for forecasts."
        )
    if tokenizer is not None and found.kind in ("bundled", "published"):
        raise InvalidRequest(
            f"{name_or_path} comes with its own tokenizer; leave out tokenizer={tokenizer!r}."
        )
    if found.kind == "bundled":
        return _bundled()
    if (model := found.model) is not None:  # a Kronos, so two folders
        folders = hub.fetch(model.repositories, progress=progress)
        return Located(
            name=model.title,
            reference=model.name,
            revision=model.model.revision,
            model=folders[0],
            tokenizer=folders[1],
            max_context=model.max_context,
        )
    if found.path is None:  # baselines and the ensemble have no checkpoint
        raise unknown(str(name_or_path))
    if found.kind == "adapter":
        return _adapted(found.path, tokenizer, progress)
    located = _local(found.path, tokenizer, progress)
    # An earlier edition goes by its name, wherever the program is installed.
    return replace(located, reference=found.name) if found.name in EDITIONS else located


def _adapted(
    path: Path, tokenizer: str | os.PathLike[str] | None, progress: Progress | None
) -> Located:
    facts = read_facts(path)
    if tokenizer is not None:
        raise InvalidRequest(
            f"The adapter {path.stem} comes with the tokenizer of its base; leave out "
            f"tokenizer={tokenizer!r}."
        )
    if Path(facts.base).is_absolute() and not is_folder(Path(facts.base)):
        raise CheckpointUnavailable(
            f"The adapter {path.stem} needs its base, which was in {facts.base} and is gone. Put "
            f"the folder back, or delete the adapter: kronos models delete {path.stem}."
        )
    try:
        if resolve(facts.base).kind == "adapter":  # perhaps itself, or in a circle
            raise CheckpointInvalid(
                f"The base of the adapter {path.stem} is an adapter itself. Delete it: kronos "
                f"models delete {path.stem}."
            )
        base = locate(facts.base, progress=progress)
    except CheckpointUnavailable as exc:
        raise CheckpointUnavailable(
            f"The adapter {path.stem} needs its base, {facts.base}, which is not on this machine: "
            f"{exc}"
        ) from exc
    except InvalidRequest as exc:
        raise CheckpointInvalid(
            f"The adapter {path.stem} was trained on {facts.base}, which this version does not "
            "know. Update the program, or delete the adapter."
        ) from exc
    check_base(path, facts, base.model, base.tokenizer)
    revision = facts.tensors_sha256[:16]
    return replace(
        base, name=path.stem, reference=path.stem, revision=revision, adapter=(path, facts)
    )


def _bundled() -> Located:
    folder = bundled_folder()
    card = Card.read(folder) or Card()
    checked = card.check(folder)
    model, tokenizer = pair_of(folder, None)
    revision = weights_digest(model, tokenizer, known=checked)
    return Located(BUNDLED, BUNDLED, revision, model, tokenizer, card.max_context, card.lookback)


def _local(
    folder: Path, tokenizer: str | os.PathLike[str] | None, progress: Progress | None
) -> Located:
    given = None if tokenizer is None else _tokenizer_folder(tokenizer, progress)
    model, tokenizer_folder = pair_of(folder, given)
    card = Card.read(folder) or Card()
    checked = card.check(folder)
    return Located(
        name=folder.resolve().name,
        reference=str(folder.resolve()),
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
        if model.tokenizer is None:
            continue
        repo_id = model.tokenizer.repo_id.casefold()
        if short in {repo_id, repo_id.rsplit("/", 1)[-1]}:
            return model.tokenizer
    return None
