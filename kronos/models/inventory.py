"""The list of models, and which are on this machine; download, delete and verify them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kronos.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointInvalid,
    CheckpointUnavailable,
    InvalidRequest,
)
from kronos.forecasters.baselines import BASELINES
from kronos.models import hub
from kronos.models.adapters import (
    ENDING,
    adapter_path,
    check_name,
    delete_adapter,
    install_adapter,
    installed,
    is_name,
    read_facts,
)
from kronos.models.checkpoints import (
    EDITIONS,
    Card,
    bundled_folder,
    check_pair,
    edition_folder,
    pair_of,
    size_of,
    weights_digest,
)
from kronos.models.hub import Progress
from kronos.models.loading import has_chronos_package, locate, require_chronos_package
from kronos.models.registry import (
    BUNDLED,
    CHRONOS,
    ENSEMBLE,
    PUBLISHED,
    PublishedModel,
    published,
    unknown,
)
from kronos.system import printable

__all__ = [
    "Checked",
    "Entry",
    "available",
    "checked",
    "delete",
    "download",
    "install",
    "require_free",
    "verify",
]

State = Literal["bundled", "cached", "downloadable", "broken"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the list of models.

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
        base: Name or folder of the model an adapter belongs to; "" for models of their own.
        cut_off: Of an adapter, the day before which the bars lie that it learned from.
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
    base: str = ""
    cut_off: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine; files are compared by size alone."""
        return self.state in ("bundled", "cached")

    @property
    def is_usable(self) -> bool:
        """Whether it can forecast on this machine without a download or an installation."""
        return self.is_here and (self.name not in CHRONOS or has_chronos_package())


@dataclass(frozen=True, slots=True)
class Checked:
    """Outcome of a check of a model's files.

    Attributes:
        when: When it ended.
        problem: What was wrong and what to do; empty where every file has the right bytes.
    """

    when: datetime
    problem: str = ""


_checks: dict[str, Checked] = {}  # by name, of this process


def available() -> list[Entry]:
    """Every model by name: the bundled one, the published ones, the adapters of this user.

    Reads the disk only, and hashes neither files of the hub nor bases of adapters. A damaged file
    of the right size is therefore found by `load` and `verify`, not here.
    """
    models = [_bundled_entry(), *map(_hub_entry, (PUBLISHED | CHRONOS).values())]
    known = {entry.name: entry for entry in models}
    adapters = [
        adapter_entry(name, path, known)
        if is_name(name)
        else _broken(name, f"{name} cannot be the name of an adapter. Rename or delete the file.")
        for name, path in _adapters().items()
    ]
    return [*models, *adapters]


def checked(name: str) -> Checked | None:
    """The last check of a model's files by this process; None where there was none."""
    return _checks.get(name)


def install(file: Path, name: str) -> None:
    """Install an adapter under a name, in the place of an earlier one.

    Raises:
        InvalidRequest: The name is that of a model or baseline, or cannot be one.
        CheckpointInvalid: The file is no adapter.
    """
    require_free(name)
    install_adapter(file, name)
    _checks.pop(name, None)


def require_free(name: str) -> None:
    """Refuse a name that an adapter cannot have.

    Raises:
        InvalidRequest: It is the name of a model or baseline, or cannot be that of an adapter.
    """
    if _is_reserved(check_name(name)):
        raise InvalidRequest(f"{name} is the name of a model already; choose another.")


def _adapters() -> dict[str, Path]:
    """Files of the adapters by the names of their entries.

    A file whose name is that of another model, or cannot be that of an adapter, is listed under its
    whole name, ending included, which no model has.
    """
    return {
        name if is_name(name) and not _is_reserved(name) else printable(path.name): path
        for name, path in installed().items()
    }


def _adapter(name: str) -> Path | None:
    return None if _is_reserved(name.strip()) else adapter_path(name)


def _is_reserved(name: str) -> bool:
    try:
        return name.casefold() in {BUNDLED, ENSEMBLE, *BASELINES} or published(name) is not None
    except CheckpointUnavailable:  # a name of a model that is not public
        return True


def download(name: str, progress: Progress | None = None) -> None:
    """Download and verify a model with its tokenizer, unless it is on this machine.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointError: As for `kronos.models.load`.
    """
    if (adapter := _adapter(name)) is not None:
        locate(adapter, progress=progress)
        return
    model = _model(name)
    if model is None:
        bundled_folder()
        return
    if model.is_chronos:
        require_chronos_package()
    hub.fetch(model.repositories, progress=progress)
    _note_check(model.name)


def delete(name: str) -> int:
    """Delete a downloaded model; its tokenizer too, unless another model here needs it.

    Returns:
        Bytes freed.

    Raises:
        InvalidRequest: There is no such model, or it is the bundled one.
    """
    if (adapter := _adapters().get(name) or _adapter(name)) is not None:
        _checks.pop(name, None)
        return delete_adapter(adapter.name.removesuffix(ENDING))
    model = _model(name)
    if model is None:
        raise InvalidRequest(
            "The bundled model is part of the installation and is not deleted; only downloaded "
            f"models are: {', '.join(PUBLISHED | CHRONOS)}."
        )
    is_shared = any(
        other.tokenizer == model.tokenizer and hub.cached_folder(other.model)
        for other in PUBLISHED.values()
        if other is not model
    )
    freed = hub.remove(*(model.repositories[:1] if is_shared else model.repositories))
    _checks.pop(model.name, None)
    return freed


def verify(name: str) -> None:
    """Hash every file of a model on this machine; `checked` returns the outcome later.

    Raises:
        InvalidRequest: There is no such model.
        CheckpointUnavailable: It is not on this machine.
        CheckpointCorrupt: A file does not match its digest. A downloaded file is removed, so that
            the next load downloads it again.
        CheckpointInvalid: An adapter does not belong to the base that is here.
    """
    adapter = _adapter(name)
    model = None if adapter else _model(name)
    known = adapter.stem if adapter else BUNDLED if model is None else model.name
    try:
        if adapter:
            _check_adapter(adapter)
        else:
            _hash_files(model)
    except (CheckpointCorrupt, CheckpointInvalid) as error:
        _note_check(known, str(error))
        raise
    _note_check(known)


def _note_check(name: str, problem: str = "") -> None:
    _checks[name] = Checked(datetime.now(UTC), problem)


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


def _check_adapter(path: Path) -> None:
    from kronos.models.merging import load_adapter

    facts = read_facts(path)
    load_adapter(path, facts)
    locate(path)


def _model(name: str) -> PublishedModel | None:
    """The published model of a name, or None for the bundled one."""
    if name.strip().casefold() == BUNDLED:
        return None
    model = published(name)
    if model is None:
        raise unknown(name)
    return model


def _hub_entry(model: PublishedModel) -> Entry:
    state: State = "downloadable"
    try:
        problem = "; ".join(filter(None, map(hub.problem, model.repositories)))
        if all(map(hub.cached_folder, model.repositories)):
            state = "cached"
    except (OSError, ValueError) as error:
        problem = f"Its files in {hub.cache_folder()} cannot be read: {printable(error)}"
    if problem:
        state = "broken"
        problem += f". Run `kronos models delete {model.name}` and download it again."
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
        n_parameters = check_pair(folder / "model", folder / "tokenizer")
        revision = weights_digest(folder / "model", folder / "tokenizer")
        n_bytes = size_of(folder / "model") + size_of(folder / "tokenizer")
    except (CheckpointError, OSError, ValueError) as error:
        return _broken(BUNDLED, error, title="Bundled", licence="MIT")
    return Entry(
        name=BUNDLED,
        title="Bundled",
        state="bundled",
        n_bytes=n_bytes,
        n_parameters=n_parameters,
        max_context=card.max_context,
        lookback=card.lookback,
        licence="MIT",
        revision=revision,
    )


def adapter_entry(name: str, path: Path, known: dict[str, Entry]) -> Entry:
    """An adapter in the list of models.

    Args:
        name: Its name.
        path: Its file, which may be damaged or missing.
        known: The models that it may belong to.
    """
    try:
        facts = read_facts(path)
        base = _base_entry(facts.base, known)
        n_bytes = path.stat().st_size
    except (CheckpointError, OSError, ValueError) as error:
        return _broken(name, error)
    return replace(
        base,
        name=name,
        title=name,
        state="cached" if base.state == "bundled" else base.state,
        n_bytes=n_bytes + (base.n_bytes if base.state == "downloadable" else 0),
        revision=facts.tensors_sha256[:16],
        base=facts.base,
        cut_off=facts.cut_off[:10],
    )


def _broken(name: str, problem: object, *, title: str = "", licence: str = "not known") -> Entry:
    return Entry(
        name=name,
        title=title or printable(name, 80),
        state="broken",
        n_bytes=0,
        n_parameters=0,
        max_context=0,
        lookback=None,
        licence=licence,
        revision="",
        problem=printable(problem, 600),
    )


def _base_entry(base: str, known: dict[str, Entry]) -> Entry:
    """The base of an adapter, without hashing its files."""
    model = None if base == BUNDLED else published(base)
    if base == BUNDLED or model is not None:
        return known[BUNDLED if model is None else model.name]
    folder = edition_folder(base) if base in EDITIONS else Path(base)
    entry = Entry(base, base, "cached", 0, 0, 512, None, "not known", revision="")
    try:
        card = Card.read(folder) or Card()
        n_parameters = check_pair(*pair_of(folder, None))
    except (CheckpointError, OSError, ValueError) as error:
        problem = f"Its base, {base}, cannot be used: {error}"
        return replace(entry, state="broken", problem=printable(problem, 600))
    return replace(
        entry, n_parameters=n_parameters, max_context=card.max_context, lookback=card.lookback
    )
