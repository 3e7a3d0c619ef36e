"""Adapters in the format of peft: a folder with adapter_config.json and adapter_model.safetensors.

Export needs no peft. An exported folder carries the facts of the adapter in the header of its
tensors, where peft does not look; a folder that peft wrote has none, and the caller states them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kronos.errors import CheckpointCorrupt, CheckpointInvalid, InvalidRequest
from kronos.models.adapters import (
    KEY,
    AdapterFacts,
    check_base,
    facts_of,
    read_facts,
    weights_sha256,
)
from kronos.models.inventory import install, require_free
from kronos.models.loading import Located, locate
from kronos.models.merging import EVENT_BLOCK, load_adapter, merge, save_adapter
from kronos.models.registry import resolve
from kronos.nn.checkpoint import load_model
from kronos.system import atomic_write, parse_json, printable, shown

__all__ = ["CONFIG_NAME", "TENSORS_NAME", "export_peft", "import_peft"]

CONFIG_NAME = "adapter_config.json"
TENSORS_NAME = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_EVENT_MODULE = EVENT_BLOCK.rstrip(".")
# Others change the base itself before training.
_INITIALISATIONS = (None, True, False, "gaussian", "eva", "orthogonal")


def export_peft(adapter: str | Path, folder: str | Path) -> Path:
    """Write an adapter as peft stores one.

    `peft.PeftModel.from_pretrained(model, folder)` loads it onto the base. Where the adapter
    learned events and its base has no event embedding, the base first needs an empty one:
    `model.add_event_embedding(alignment)`.

    Args:
        adapter: Name of an installed adapter, or its file.
        folder: Where the two files go; created where there is none, earlier files are replaced.

    Returns:
        The folder.

    Raises:
        InvalidRequest: There is no such adapter, or the folder cannot be written.
        CheckpointError: Its file is damaged.
    """
    found = resolve(adapter)
    if found.kind != "adapter" or found.path is None:
        raise InvalidRequest(
            f"{adapter} is no adapter, and only adapters have peft's format. `kronos models` "
            "lists the adapters of this machine."
        )
    facts = read_facts(found.path)
    tensors = load_adapter(found.path, facts)
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": facts.base,
        "r": facts.rank,
        "lora_alpha": facts.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({n.partition(".lora_")[0] for n in tensors if ".lora_" in n}),
        "modules_to_save": [_EVENT_MODULE] if facts.has_events else None,
        "inference_mode": True,
    }
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with atomic_write(target / TENSORS_NAME) as partial:
            named = {_PREFIX + name: tensor for name, tensor in tensors.items()}
            save_file(named, partial, metadata={"format": "pt", **facts.header()})
        with atomic_write(target / CONFIG_NAME) as partial:
            partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"The adapter cannot be written to {target}: {error.strerror}. Choose another folder."
        ) from error
    return target


def import_peft(
    folder: str | Path, name: str, *, base: str | None = None, cut_off: date | None = None
) -> AdapterFacts:
    """Install an adapter of peft's format under a name.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        name: Name of the installed adapter, in the place of an earlier one.
        base: The model it was trained on; None takes what the folder says.
        cut_off: Day before which the bars lie that it learned from. Read only where the folder
            does not say, which is wherever peft itself wrote it; scores are honest from there on.

    Returns:
        The facts of the adapter.

    Raises:
        InvalidRequest: The name cannot be one, or base or cut-off are not known.
        CheckpointInvalid: It is no LoRA adapter that can be merged into the base.
        CheckpointError: The base cannot be loaded.
    """
    require_free(name)
    source = Path(folder)
    config = _read_config(source)
    tensors, metadata = _read_tensors(source / TENSORS_NAME)
    if KEY in metadata:
        try:
            facts = facts_of(metadata)
        except ValueError as error:
            raise _unusable(source, printable(error)) from error
        located = None if base is None else locate(base)
        if located is not None:
            check_base(source, facts, located.model, located.tokenizer)
            facts = replace(facts, base=located.reference)
    else:
        named = base or config.get("base_model_name_or_path")
        if not isinstance(named, str) or not named:
            raise InvalidRequest(f"{source} does not name its base. Give it: base, or --base.")
        if cut_off is None:
            raise InvalidRequest(
                f"{source} does not say which bars the adapter learned from. Give the day before "
                "which they lie, from which on scores are honest: cut_off, or --cut-off DATE."
            )
        located = locate(named)
        facts = _stated(source, config, tensors, located, cut_off)
    if located is not None:
        model = load_model(located.model)
        merge(model, tensors, facts.scale, event_alignment=facts.event_alignment)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "adapter.safetensors"
        saved = save_adapter(file, facts, tensors)
        if facts.tensors_sha256 not in ("", saved.tensors_sha256):
            raise CheckpointCorrupt(
                f"{source} is damaged: its weights do not have the digest they were exported with. "
                "Export or copy the adapter again."
            )
        install(file, name)
    return saved


def _read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a plain LoRA; what changes the product in another way is refused."""
    try:
        config = parse_json((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointInvalid(
            f"{folder} holds no {CONFIG_NAME}. Give the folder that peft's save_pretrained or "
            "`kronos models export` has written."
        ) from error
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"{CONFIG_NAME}: {printable(error)}") from error
    if not isinstance(config, dict):
        raise _unusable(folder, f"{CONFIG_NAME} is no JSON object")
    if config.get("peft_type") != "LORA":
        raise _unusable(folder, f"its type is {shown(config.get('peft_type'))}")
    for key in ("use_dora", "rank_pattern", "alpha_pattern"):
        if config.get(key):
            raise _unusable(folder, f"it sets {key}")
    if config.get("init_lora_weights") not in _INITIALISATIONS:
        raise _unusable(folder, f"init_lora_weights is {shown(config['init_lora_weights'])}")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or alpha <= 0:
        raise _unusable(folder, f"r is {shown(rank)} and lora_alpha {shown(alpha)}")
    return config


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by their names in the base, in float32, and the metadata of the file."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointInvalid(
            f"{path} cannot be read ({printable(error)}). Tensors are read from safetensors "
            "alone, never from pickles; save the adapter with safe_serialization=True."
        ) from error
    strange = [name for name in tensors if not name.startswith(_PREFIX)]
    if strange or not tensors:
        found = printable(strange[0], 60) if strange else "none"
        raise _unusable(path.parent, f"tensors begin with {_PREFIX}, found {found}")
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}, metadata


def _stated(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    base: Located,
    cut_off: date,
) -> AdapterFacts:
    """The facts of an adapter that another program trained."""
    if base.adapter is not None:
        raise InvalidRequest(f"{base.name} is an adapter itself; name the model below it as base.")
    rank, alpha = config["r"], float(config["lora_alpha"])
    moment = f"{cut_off:%Y-%m-%d}T00:00:00+00:00"
    has_events = any(name.startswith(EVENT_BLOCK) for name in tensors)
    model = load_model(base.model)
    return AdapterFacts(
        base=base.reference,
        base_sha256=weights_sha256(base.model),
        tokenizer_sha256=weights_sha256(base.tokenizer),
        rank=rank,
        # Stated as for the usual scale, alpha / rank.
        alpha=alpha * math.sqrt(rank) if config.get("use_rslora") else alpha,
        cut_off=moment,
        seen_until=moment,
        code="peft",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        steps=0,
        n_parameters=sum(tensor.numel() for tensor in tensors.values()),
        has_events=has_events,
        asset_class="",
        scores={},
        tensors_sha256="",
        event_alignment="ahead" if model.event_emb is None and has_events
        else model.config.event_alignment,
    )  # fmt: skip


def _unusable(folder: Path, why: str) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"{folder} cannot be used as an adapter: {why}. A plain LoRA of peft is needed, trained "
        "on a Kronos: one rank and one alpha, no DoRA, and a base that stays as it is."
    )
