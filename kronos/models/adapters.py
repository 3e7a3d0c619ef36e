"""Adapters: small files that change a base model, installed by name in the user's data folder.

An adapter is one safetensors file. Its tensors bear the names of the base model:
`transformer.0.self_attn.q_proj.lora_A.weight` and `lora_B.weight`, and, where events were learned,
the whole block `event_emb`. The header holds, under the key `kronos_adapter`, a JSON object with
the fields of `AdapterFacts`. Tensors are written, read and merged in `merging.py`, which needs
torch; this module does not.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointCorrupt, CheckpointInvalid, InvalidRequest
from kronos.models.checkpoints import EDITIONS
from kronos.models.hub.repository import WEIGHTS_NAME
from kronos.nn.config import EVENT_ALIGNMENTS, EventAlignment
from kronos.nn.header import Header, read_header
from kronos.system import atomic_write, parse_json, printable, sha256_of, shown, user_data

__all__ = [
    "ENDING",
    "KEY",
    "AdapterFacts",
    "adapter_path",
    "adapters_folder",
    "check_base",
    "check_name",
    "check_tensors",
    "delete_adapter",
    "digest_of",
    "facts_of",
    "install_adapter",
    "installed",
    "read_facts",
    "rolling_folder",
    "weights_sha256",
]

KEY = "kronos_adapter"
_A, _B = ".lora_A.weight", ".lora_B.weight"
_FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ENDING = ".safetensors"
_LONGEST = {"base": 1024}
_LONGEST_TEXT = 200
_MOST = {"rank": 1024, "steps": 10**9, "n_parameters": 10**11}
_MOST_SCORES = 100


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """The base of an adapter, and how it was made.

    Attributes:
        base: Name or folder of the base model, as for `kronos.models.load`.
        base_sha256: SHA-256 of the base model's file of weights.
        tokenizer_sha256: SHA-256 of its tokenizer's.
        rank: Rank of the added products.
        alpha: They are multiplied by alpha / rank.
        cut_off: Time before which the bars lie that it learned from, ISO 8601, UTC.
        seen_until: Time before which the bars lie that chose among its steps; scores are honest
            from here on.
        code: Revision of the code that made it.
        created: When, ISO 8601, UTC.
        steps: Optimizer steps behind these weights.
        n_parameters: Parameters trained.
        has_events: Whether an event embedding was learned.
        asset_class: The asset class it was trained on, where one was chosen.
        scores: Figures on the bars behind the cut-off, by name.
        tensors_sha256: SHA-256 over the bytes of all tensors, in the order of their names.
        event_alignment: That of the event rows it was trained with; see `ModelConfig`.
    """

    base: str
    base_sha256: str
    tokenizer_sha256: str
    rank: int
    alpha: float
    cut_off: str
    seen_until: str
    code: str
    created: str
    steps: int
    n_parameters: int
    has_events: bool
    asset_class: str
    scores: dict[str, float]
    tensors_sha256: str
    event_alignment: EventAlignment = EVENT_ALIGNMENTS[0]

    @property
    def scale(self) -> float:
        """What the product of the two small matrices is multiplied by."""
        return self.alpha / self.rank

    def header(self) -> dict[str, str]:
        """The metadata of the file."""
        facts = asdict(self)
        # Earlier versions know no such field; to them an adapter without it is what it always was.
        if self.event_alignment == EVENT_ALIGNMENTS[0]:
            del facts["event_alignment"]
        return {KEY: json.dumps({"format": _FORMAT, **facts}, sort_keys=True)}


def read_facts(path: Path) -> AdapterFacts:
    """Read the header of an adapter's file.

    Raises:
        CheckpointInvalid: It is no such file; the message says how that shows.
    """
    try:
        header = read_header(path)
        facts = facts_of(header.metadata)
        _check_shapes(facts, header)
    except FileNotFoundError as exc:
        raise CheckpointInvalid(
            f"The adapter {path} is not there. Delete its link, or put the file back."
        ) from exc
    except (OSError, ValueError) as exc:
        raise CheckpointInvalid(
            f"{path} is no adapter of this program ({printable(exc)}). Adapters are made by "
            "`kronos finetune lora`."
        ) from exc
    return facts


def facts_of(metadata: Mapping[str, str]) -> AdapterFacts:
    """The facts in the header of a safetensors file.

    Raises:
        ValueError: There are none, or they are not as this program writes them.
    """
    if KEY not in metadata:
        raise ValueError(f"it has no {KEY} in its header")
    return _checked(parse_json(metadata[KEY]))


def check_tensors(path: Path, facts: AdapterFacts, tensors: dict[str, bytes]) -> None:
    """Compare tensors with the digest in the header.

    Raises:
        CheckpointCorrupt: They differ.
    """
    if digest_of(tensors) != facts.tensors_sha256:
        raise CheckpointCorrupt(
            f"{path} is damaged: its weights do not have the digest they were saved with. Delete "
            "the adapter and train or copy it again."
        )


def digest_of(tensors: dict[str, bytes]) -> str:
    """SHA-256 over names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}:{len(tensors[name])}:".encode())
        digest.update(tensors[name])
    return digest.hexdigest()


def check_base(path: Path, facts: AdapterFacts, model: Path, tokenizer: Path) -> None:
    """Compare a base on this machine with the one that an adapter was trained on.

    Raises:
        CheckpointInvalid: They differ.
    """
    for what, folder, expected in (
        ("model", model, facts.base_sha256),
        ("tokenizer", tokenizer, facts.tokenizer_sha256),
    ):
        found = weights_sha256(folder)
        if found != expected:
            raise CheckpointInvalid(
                f"The adapter {path.stem} was trained on another {what} than {facts.base} now "
                f"holds: SHA-256 {expected[:12]}..., found {found[:12]}... in {folder}. Put the "
                "old weights back, or train the adapter again on these."
            )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a checkpoint folder's weights, which ties an adapter to its base."""
    return sha256_of(folder / WEIGHTS_NAME)


def adapters_folder() -> Path:
    """Folder of the installed adapters; it need not exist."""
    return user_data("adapters")


def rolling_folder(name: str) -> Path:
    """Folder of the runs and decisions behind an adapter that is retrained regularly."""
    return user_data("rolling", check_name(name))


def check_name(name: str) -> str:
    """Return a name that an adapter can have.

    Raises:
        InvalidRequest: It has characters that a file name cannot have on every system.
    """
    if not is_name(name):
        raise InvalidRequest(
            f"{name!r:.80} cannot be the name of an adapter: give 1 to 63 lower-case letters, "
            "digits, dots, hyphens or underscores, beginning with a letter or digit."
        )
    return name


def adapter_path(name: str) -> Path | None:
    """The file of an installed adapter, or None where there is none of that name, in any case."""
    short = name.strip().casefold()
    if not _NAME.fullmatch(short):
        return None
    path = adapters_folder() / f"{short}{ENDING}"
    try:
        return path if path.is_file() else None
    except OSError:  # a folder that may not be read
        return None


def installed() -> dict[str, Path]:
    """Files of the installed adapters by name, in order; files and names may be damaged ones."""
    try:
        found = sorted(adapters_folder().glob(f"*{ENDING}"))
    except (OSError, RuntimeError):  # a folder that may not be read, or a circle of links
        return {}
    return {path.name.removesuffix(ENDING): path for path in found}


def is_name(name: str) -> bool:
    """Whether an adapter can have a name."""
    return bool(_NAME.fullmatch(name)) and not name.endswith((".", ENDING))


def install_adapter(file: Path, name: str) -> Path:
    """Install a copy of an adapter under a name, in the place of an earlier one.

    Raises:
        InvalidRequest: The name cannot be one, or the folder cannot be written.
        CheckpointInvalid: The file is no adapter.
    """
    read_facts(file)
    target = adapters_folder() / f"{check_name(name)}{ENDING}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target, flush=True) as partial:
            shutil.copyfile(file, partial)
    except OSError as error:
        raise InvalidRequest(
            f"{name} cannot be installed as {target}: {error.strerror}. The adapter is in {file}, "
            "and every command takes that file in place of a name."
        ) from error
    return target


def delete_adapter(name: str) -> int:
    """Delete an installed adapter, damaged or not; returns the bytes freed, 0 where there was none.

    Raises:
        CheckpointInvalid: It cannot be deleted.
    """
    # A damaged entry may differ from a sound one in case or blanks alone.
    path = installed().get(name) or adapter_path(name)
    if path is None:
        return 0
    try:
        freed = path.lstat().st_size
        path.unlink()
    except OSError as exc:
        raise CheckpointInvalid(
            f"{path} cannot be deleted ({exc.strerror}). Remove it by hand."
        ) from exc
    return freed


def _checked(facts: Any) -> AdapterFacts:
    if not isinstance(facts, dict):
        raise ValueError("its facts are no JSON object")
    found = facts.pop("format", None)
    if found != _FORMAT:
        raise ValueError(f"format {shown(found)}, where this program reads {_FORMAT}")
    facts = {"event_alignment": EVENT_ALIGNMENTS[0], **facts}
    if facts.get("base") == "bundled":  # the edition that it was trained on
        digest = facts.get("base_sha256")
        facts["base"] = next((name for name, of in EDITIONS.items() if of == digest), "bundled")
    kinds = {field.name: str(field.type) for field in fields(AdapterFacts)}
    if set(facts) != set(kinds):
        odd = printable(sorted(set(facts) ^ set(kinds)), 200)
        raise ValueError(f"other fields than expected: {odd}")
    for name, value in facts.items():
        if not _IS_FINE[kinds[name]](name, value):
            raise ValueError(f"{name} is {shown(value)}")
    if facts["rank"] < 1:
        raise ValueError(f"rank is {facts['rank']}")
    for name in ("cut_off", "seen_until"):
        date.fromisoformat(facts[name][:10])
    return AdapterFacts(**facts)


def _check_shapes(facts: AdapterFacts, header: Header) -> None:
    """Compare the shapes of the small matrices with the rank."""
    for name, tensor in header.tensors.items():
        axis = {_A: 0, _B: 1}.get(name[-len(_A) :])
        if axis is not None and (len(tensor.shape) != 2 or tensor.shape[axis] != facts.rank):
            raise ValueError(f"{name!r:.60} has the shape {tensor.shape}, its rank is {facts.rank}")
        if not tensor.is_float:
            raise ValueError(f"{name!r:.60} has the type {tensor.dtype}")


def _is_text(name: str, value: Any) -> bool:
    longest = _LONGEST.get(name, _LONGEST_TEXT)
    return isinstance(value, str) and len(value) <= longest and value.isprintable()


def _is_number(name: str, value: Any) -> bool:
    return type(value) in (int, float) and -1e15 < value < 1e15


def _are_scores(name: str, value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_SCORES
        and all(_is_text("", key) for key in value)
        and all(type(each) in (int, float) for each in value.values())
    )


_IS_FINE: dict[str, Callable[[str, Any], bool]] = {
    "str": _is_text,
    "int": lambda name, value: type(value) is int and 0 <= value <= _MOST[name],
    "float": _is_number,
    "bool": lambda name, value: isinstance(value, bool),
    "dict[str, float]": _are_scores,
    "EventAlignment": lambda name, value: value in EVENT_ALIGNMENTS,
}
