"""The file of an adapter: one safetensors file that says what it belongs to.

Tensors bear the names of the base model: `transformer.0.self_attn.q_proj.lora_A.weight` and
`lora_B.weight`, and, where events were learned, the whole block `event_emb`. The header holds,
under the key `kronos_adapter`, a JSON object with the fields of `AdapterFacts`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointCorrupt, CheckpointInvalid

__all__ = ["KEY", "AdapterFacts", "check_tensors", "read_facts"]

KEY = "kronos_adapter"
_FORMAT = 1
_HEADER_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What an adapter belongs to and how it was made.

    Attributes:
        base: Name or folder of the base model, as `kronos.models.load` takes it.
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
        asset_class: What it was trained on, where one class was chosen.
        scores: Figures on the bars behind the cut-off, by name.
        tensors_sha256: SHA-256 over the bytes of all tensors, in the order of their names.
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

    @property
    def scale(self) -> float:
        """What the product of the two small matrices is multiplied by."""
        return self.alpha / self.rank

    def header(self) -> dict[str, str]:
        """The metadata of the file."""
        return {KEY: json.dumps({"format": _FORMAT, **asdict(self)}, sort_keys=True)}


def read_facts(path: Path) -> AdapterFacts:
    """What the header of an adapter's file says.

    Raises:
        CheckpointInvalid: It is no such file; the message says how that shows.
    """
    try:
        with path.open("rb") as opened:
            n_bytes = int.from_bytes(opened.read(8), "little")
            if n_bytes > _HEADER_LIMIT:
                raise ValueError(f"a header of {n_bytes:,} bytes")
            header = json.loads(opened.read(n_bytes))
        facts = json.loads(header["__metadata__"][KEY])
        return _checked(facts)
    except FileNotFoundError as exc:
        raise CheckpointInvalid(f"The adapter {path} is not there.") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise CheckpointInvalid(
            f"{path} is no adapter of this program ({type(exc).__name__}: {exc}). Adapters are "
            "made by `kronos finetune lora`."
        ) from exc


def check_tensors(path: Path, facts: AdapterFacts, tensors: dict[str, bytes]) -> None:
    """Compares tensors with their digest.

    Raises:
        CheckpointCorrupt: They are not those that were saved.
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


def _checked(facts: dict[str, Any]) -> AdapterFacts:
    found = facts.pop("format", None)
    if found != _FORMAT:
        raise ValueError(f"format {found!r}, where this program reads {_FORMAT}")
    kinds = {field.name: str(field.type) for field in fields(AdapterFacts)}
    if set(facts) != set(kinds):
        raise ValueError(f"other fields than expected: {sorted(set(facts) ^ set(kinds))}")
    allowed: dict[str, Any] = {
        "str": str, "int": int, "float": (int, float), "bool": bool, "dict[str, float]": dict,
    }  # fmt: skip
    for name, value in facts.items():
        if not isinstance(value, allowed[kinds[name]]):
            raise ValueError(f"{name} is {value!r:.40}")
    if facts["rank"] < 1:
        raise ValueError(f"rank is {facts['rank']}")
    return AdapterFacts(**facts)
