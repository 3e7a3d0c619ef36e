"""Names of models: what a name or path means, and the published models behind short names.

Revisions, context lengths and parameter counts are those of the published checkpoints
(NeoQuasar on the Hugging Face hub, arXiv 2508.02739). The digests are the SHA-256 the hub
reports for these revisions; several independent public projects that pin the same revisions
record the same values. The same holds for Chronos-2, except for some sizes and one digest, for
which the hub's report counts. A download with other bytes is refused, from any mirror.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kronos.errors import CheckpointUnavailable, InvalidRequest
from kronos.forecasters.baselines import BASELINES, find
from kronos.models.adapters import adapter_path
from kronos.models.checkpoints import EDITIONS, edition_folder, is_chronos_folder
from kronos.models.hub.repository import WEIGHTS_NAME, Repository, repository
from kronos.system import printable, shown

__all__ = [
    "BUNDLED",
    "CHRONOS",
    "ENSEMBLE",
    "PUBLISHED",
    "Kind",
    "PublishedModel",
    "Reference",
    "draws_tokens",
    "is_folder",
    "kind_of",
    "published",
    "resolve",
    "unknown",
]

BUNDLED = "bundled"
"""Name of the checkpoint that ships with the project."""
ENSEMBLE = "ensemble"
"""Name of the weighted ensemble of several forecasters, which has no files of its own."""

Kind = Literal["bundled", "published", "chronos", "adapter", "folder", "baseline", "ensemble"]
"""What a name or path means; "published" is a Kronos of the hub, "chronos" a Chronos-2."""

_OWNERS = ("neoquasar/", "amazon/", "autogluon/")
_FAMILY = "kronos-"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model on the hub, with the tokenizer it was trained with where it has one.

    Attributes:
        name: Short name, as in `load("small")`.
        model: Repository of the model.
        tokenizer: Repository of its tokenizer; None for Chronos-2, which reads numbers.
        n_parameters: Learnable parameters of the model.
        max_context: Most bars it reads at once.
        licence: Licence of the weights.
    """

    name: str
    model: Repository
    tokenizer: Repository | None
    n_parameters: int
    max_context: int
    licence: str = "MIT"

    @property
    def title(self) -> str:
        """Name to show, such as "Kronos-small"."""
        name = self.model.repo_id.rsplit("/", 1)[-1]
        return name[:1].upper() + name[1:]

    @property
    def is_chronos(self) -> bool:
        """Whether it is Chronos-2 and no Kronos."""
        return self.tokenizer is None

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """All that has to be on this machine."""
        return (self.model,) if self.tokenizer is None else (self.model, self.tokenizer)


_TOKENIZER_BASE = repository(
    "NeoQuasar/Kronos-Tokenizer-base",
    "0e0117387f39004a9016484a186a908917e22426",
    config=(301, "2366e7ccfec76cbc19cf3c4c1b9c5d901be336ca1e83f2d2292c9bff381b77a2"),
    weights=(15_842_368, "59d85f6af76a2c3b8240ea06cb21db4213b4eeca053f246b23e29cf832fc6bee"),
)
_TOKENIZER_2K = repository(
    "NeoQuasar/Kronos-Tokenizer-2k",
    "26966d0035065a0cae0ebad7af8ece35bc1fb51c",
    config=(301, "0b30a443affb03e05a876a083857de9164f899feb7b4d261da02c485c9a3e3b6"),
    weights=(15_842_376, "b97ec46b3b72160509e289183eaf7bdf5f0dac5bb9b49522f6d46638a99a8717"),
)

PUBLISHED: dict[str, PublishedModel] = {
    "mini": PublishedModel(
        name="mini",
        model=repository(
            "NeoQuasar/Kronos-mini",
            "f4e68697d9d5aed55cef5c96aabc3376bcad9f81",
            config=(225, "70daca2cb11e3a979dd6b8ac12ee08e2aace877acf28f5b8dfb4fe5609736201"),
            weights=(
                16_440_776,
                "a7d5f37e2e9fbd9891f7d7d4f72574512dd1f704fee14223e0a8cd0fbf54197c",
            ),
        ),
        tokenizer=_TOKENIZER_2K,
        n_parameters=4_108_032,
        max_context=2048,
    ),
    "small": PublishedModel(
        name="small",
        model=repository(
            "NeoQuasar/Kronos-small",
            "901c26c1332695a2a8f243eb2f37243a37bea320",
            config=(228, "5e0f6a605d5f81b5c9b559fe5cf716a1acb041c744e6f41bd05b097b7a685396"),
            weights=(
                98_980_656,
                "b082dfcbd8e8c142a725c8bbb99781802f38fec81210e13479effb32b3c3e020",
            ),
        ),
        tokenizer=_TOKENIZER_BASE,
        n_parameters=24_741_376,
        max_context=512,
    ),
    "base": PublishedModel(
        name="base",
        model=repository(
            "NeoQuasar/Kronos-base",
            "2b554741eca47781b64468546e77fef3e85130e6",
            config=(228, "77ebc3038b647709b92be002f801d72e1a385f4c8c2c5aa1cc6cf21fcfe44eb2"),
            weights=(
                409_264_008,
                "abff193acab6db1a0368e9773e75799d11403b6d054ee6d5f0a11aeabc5f4b83",
            ),
        ),
        tokenizer=_TOKENIZER_BASE,
        n_parameters=102_310_592,
        max_context=512,
    ),
}
"""The Kronos models on the hub, by short name, smallest first."""

CHRONOS: dict[str, PublishedModel] = {
    "chronos-2-small": PublishedModel(
        name="chronos-2-small",
        model=repository(
            "autogluon/chronos-2-small",
            "ddec01313e50b6bc58ebaa92ede81bc24a3d9f9a",
            weights=(None, "492290ae82bb89f9769e3479ce90b3179de1f33e600c34daa0352531538b23cd"),
        ),
        tokenizer=None,
        n_parameters=28_000_000,
        max_context=8192,
        licence="Apache-2.0",
    ),
    "chronos-2": PublishedModel(
        name="chronos-2",
        model=repository(
            "amazon/chronos-2",
            "29ec3766d36d6f73f0696f85560a422f50e8498c",
            config=(None, "ef1143bfdc9c0376d9a056eefca46cb4b1ec3d0ffacd541ff56feb40fb708031"),
            weights=(
                477_930_472,
                "ddcda3c7508bf2528087723e98a20707cc04b7f370ae275a9fd88078ddba4f42",
            ),
        ),
        tokenizer=None,
        n_parameters=120_000_000,
        max_context=8192,
        licence="Apache-2.0",
    ),
}
"""Chronos-2 on the hub (arXiv 2510.15821), smallest first; parameters as published, rounded."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a name or path means.

    Attributes:
        kind: The kind of forecaster.
        name: Its name in lists; the path as given for an adapter's file and for a folder.
        model: The model on the hub, for "published" and a "chronos" by name.
        path: The adapter's file, or the folder, for the kinds that have one.
    """

    kind: Kind
    name: str
    model: PublishedModel | None = None
    path: Path | None = None


def resolve(name_or_path: str | os.PathLike[str]) -> Reference:
    """What a name or path means; loads nothing and makes no request.

    Names win over files of the same name: write "./garch" for a folder called garch.

    Args:
        name_or_path: A name in any case, the path of a checkpoint folder, or an adapter's file.
            A path need not exist.

    Raises:
        InvalidRequest: There is no such name.
        CheckpointUnavailable: Kronos-large, whose weights are not public.
    """
    if isinstance(name_or_path, str):
        name = name_or_path.strip().casefold()
        if name == BUNDLED:
            return Reference("bundled", BUNDLED)
        if name in EDITIONS:
            return Reference("folder", name, path=edition_folder(name))
        if name == ENSEMBLE:
            return Reference("ensemble", ENSEMBLE)
        if (baseline := find(name)) is not None:
            return Reference("baseline", baseline.name)
        if (model := published(name)) is not None:
            return Reference("chronos" if model.is_chronos else "published", model.name, model)
        if (adapter := adapter_path(name)) is not None:
            return Reference("adapter", adapter.stem, path=adapter)
        if not looks_like_path(name_or_path):
            raise unknown(name_or_path)
    try:
        path = Path(name_or_path).expanduser()
        is_adapter = path.is_file() and path.suffix == ".safetensors"
        if is_adapter and path.name != WEIGHTS_NAME:
            return Reference("adapter", str(name_or_path), path=path)
        kind: Kind = "chronos" if is_chronos_folder(path) else "folder"
    except (OSError, ValueError, RuntimeError) as error:  # too long, or the home of nobody
        raise InvalidRequest(
            f"{shown(name_or_path)} is no path of a model: {printable(error)}. Give the name of a "
            "model or a path that exists."
        ) from error
    return Reference(kind, str(name_or_path), path=path)


def kind_of(name_or_path: str | os.PathLike[str]) -> Kind | None:
    """The kind of forecaster that a name or path means; None for an unknown name."""
    try:
        return resolve(name_or_path).kind
    except InvalidRequest:
        return None


def draws_tokens(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether temperature, top-p and top-k have an effect on a model's forecasts."""
    return kind_of(name_or_path) not in ("chronos", "baseline", "ensemble")


def looks_like_path(text: str) -> bool:
    """Whether a text that is no known name can only be a path."""
    separators = {"/", os.sep}
    if text.startswith((".", "~")) or any(s in text for s in separators):
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a name
        return False


def is_folder(path: Path) -> bool:
    """Whether a path from a file is that of a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def published(name: str) -> PublishedModel | None:
    """The published model of a name: "mini", "Kronos-mini" or "NeoQuasar/Kronos-mini".

    Upper and lower case are the same.

    Returns:
        The model, Chronos-2 among them, or None for a name of another kind.

    Raises:
        CheckpointUnavailable: Kronos-large, whose weights are not public.
    """
    short = name.strip().casefold()
    for owner in _OWNERS:
        short = short.removeprefix(owner)
    short = short.removeprefix(_FAMILY)
    if short == "large":
        raise CheckpointUnavailable(
            "The weights of Kronos-large have not been published, so nobody can load them. The "
            f"largest public model is Kronos-base; choose one of {', '.join(names())}."
        )
    return PUBLISHED.get(short) or CHRONOS.get(short)


def names() -> list[str]:
    """Every name that can be loaded, the bundled checkpoint first."""
    return [BUNDLED, *PUBLISHED, *CHRONOS]


def unknown(name: str) -> InvalidRequest:
    """The error for a name that is none of these."""
    return InvalidRequest(
        f"There is no model {name!r:.80}. Choose one of {', '.join(names())}, or give the path of "
        "a folder that holds model/ and tokenizer/. Where baselines are offered, they are "
        f"{', '.join(BASELINES)}."
    )
