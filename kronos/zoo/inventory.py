"""What can be loaded and what is on this machine; fetching, deleting and verifying it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kronos import hub
from kronos.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointUnavailable,
    InvalidRequest,
)
from kronos.hub import Progress
from kronos.zoo.checked import forget, note
from kronos.zoo.folders import Card, bundled_folder, count_parameters, size_of, weights_digest
from kronos.zoo.table import BUNDLED, PUBLISHED, PublishedModel, published, unknown

__all__ = ["Entry", "available", "delete", "download", "verify"]

State = Literal["bundled", "cached", "downloadable", "broken"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as a list shows it.

    Attributes:
        name: What `load` takes.
        title: Name to show.
        state: "bundled" ships with the project; "cached" is on this machine; "downloadable" is
            not; "broken" is here but cannot be used, and `problem` says why.
        n_bytes: Size of model and tokenizer, here or to be downloaded.
        n_parameters: Learnable parameters of the model.
        max_context: Most bars it reads at once.
        lookback: Recommended number of context bars, or None for as many as fit.
        licence: Licence of the weights.
        revision: Hub commit, or digest of the weights.
        problem: What is wrong with a broken one, and what to do.
    """

    name: str
    title: str
    state: State
    n_bytes: int
    n_parameters: int
    max_context: int
    lookback: int | None
    licence: str
    revision: str
    problem: str = ""


def available() -> list[Entry]:
    """Every model by name, the bundled one first. Looks at the disk only, and hashes no hub file.

    A damaged file of the right size is therefore found by `load` and `verify`, not here.
    """
    return [_bundled_entry(), *map(_hub_entry, PUBLISHED.values())]


def download(name: str, progress: Progress | None = None) -> None:
    """Fetches and verifies a model with its tokenizer, unless it is here already.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointError: As for `kronos.zoo.load`.
    """
    model = _model(name)
    if model is None:
        bundled_folder()
        return
    hub.fetch(model.repositories, progress=progress)
    note(model.name)


def delete(name: str) -> int:
    """Deletes a downloaded model; its tokenizer too, unless another model here needs it.

    Returns:
        Bytes freed.

    Raises:
        InvalidRequest: There is no such model, or it is the bundled one.
    """
    model = _model(name)
    if model is None:
        raise InvalidRequest(
            "The bundled model is part of the installation and is not deleted; only downloaded "
            f"models are: {', '.join(PUBLISHED)}."
        )
    is_shared = any(
        other.tokenizer == model.tokenizer and hub.cached_folder(other.model)
        for other in PUBLISHED.values()
        if other is not model
    )
    freed = hub.remove(model.model, *(() if is_shared else (model.tokenizer,)))
    forget(model.name)
    return freed


def verify(name: str) -> None:
    """Hashes every file of a model that is on this machine; `checked` tells the outcome again.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointUnavailable: It is not on this machine.
        CheckpointCorrupt: A file has other bytes than it should. A downloaded one has been
            removed, so that the next load downloads it anew.
    """
    model = _model(name)
    known = BUNDLED if model is None else model.name
    try:
        _hash_files(model)
    except CheckpointCorrupt as error:
        note(known, str(error))
        raise
    note(known)


def _hash_files(model: PublishedModel | None) -> None:
    if model is None:
        folder = bundled_folder()
        card = Card.read(folder) or Card()
        card.check(folder)
        return
    for repo in model.repositories:
        if hub.cached_folder(repo) is None:
            raise CheckpointUnavailable(
                f"{repo.repo_id} is not on this machine. Fetch it with "
                f"`kronos models download {model.name}`."
            )
        hub.verify(repo)


def _model(name: str) -> PublishedModel | None:
    """The published model of a name, or None for the bundled one."""
    if name.strip().casefold() == BUNDLED:
        return None
    model = published(name)
    if model is None:
        raise unknown(name)
    return model


def _hub_entry(model: PublishedModel) -> Entry:
    problem = "; ".join(filter(None, map(hub.problem, model.repositories)))
    if problem:
        state: State = "broken"
        problem += f". Run `kronos models delete {model.name}` and download it again."
    elif all(map(hub.cached_folder, model.repositories)):
        state = "cached"
    else:
        state = "downloadable"
    return Entry(
        name=model.name,
        title=model.title,
        state=state,
        n_bytes=sum(repo.size for repo in model.repositories),
        n_parameters=model.n_parameters,
        max_context=model.max_context,
        lookback=None,
        licence=model.licence,
        revision=model.model.revision,
        problem=problem,
    )


def _bundled_entry() -> Entry:
    try:
        folder = bundled_folder()
        card = Card.read(folder) or Card()
        n_parameters = count_parameters(folder / "model")
        revision = weights_digest(folder / "model", folder / "tokenizer")
    except CheckpointError as error:
        return Entry(
            BUNDLED, "Bundled", "broken", 0, 0, 0, None, "MIT", revision="", problem=str(error)
        )
    return Entry(
        name=BUNDLED,
        title="Bundled",
        state="bundled",
        n_bytes=size_of(folder),
        n_parameters=n_parameters,
        max_context=card.max_context,
        lookback=card.lookback,
        licence="MIT",
        revision=revision,
    )
