"""The weights of the ensemble as they are used, and the files that keep them.

A folder holds `weights.json`, with everything but the trees, and a text file in LightGBM's own
format for each asset class. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos import models
from kronos.ensemble.learning import Learned, Trial, equal_weights, predict
from kronos.errors import InvalidRequest
from kronos.forecasters import baselines
from kronos.system import atomic_write, user_data

__all__ = ["MEMBERS", "EnsembleWeights", "equal", "load_weights", "user_folder"]

MEMBERS = ("bundled", "ewma", "garch", "fhs", "bootstrap", "random-walk")
"""Members where nothing else was learned: the bundled model first, whose paths lend their ranks."""
_FORMAT = 1
_FILE = "weights.json"


@dataclass(frozen=True, eq=False)
class EnsembleWeights:
    """Members, and how much each counts.

    Attributes:
        members: (M,) names; the first one lends the ranks of its paths.
        revisions: (M,) revisions of their weights.
        learned: What was learned; None for equal weights.
        trial: How it fared on later data; None where nothing was learned.
        reason: Why the weights are what they are, in a sentence.
    """

    members: tuple[str, ...]
    revisions: tuple[str, ...]
    learned: Learned | None
    trial: Trial | None
    reason: str

    @property
    def is_equal(self) -> bool:
        """Whether every member counts the same."""
        return self.learned is None or self.trial is None or not self.trial.is_won

    @cached_property
    def revision(self) -> str:
        """Tells versions of the ensemble apart: 16 digits of a digest of members and weights."""
        facts: dict[str, Any] = {"members": self.members, "revisions": self.revisions}
        if not self.is_equal and self.learned is not None:
            facts |= _learned_facts(self.learned) | {"boosters": self.learned.boosters}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def of(self, asset_classes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(n, M) weights of rows of features (n, F)."""
        if self.is_equal or self.learned is None:
            return equal_weights(len(inputs), len(self.members))
        return predict(self.learned, asset_classes, inputs)

    def save(self, folder: Path) -> None:
        """Writes the folder; a reader finds the old one or the new one, whole.

        Raises:
            InvalidRequest: It cannot be written.
        """
        facts = {
            "format": _FORMAT,
            "members": self.members,
            "revisions": self.revisions,
            "reason": self.reason,
            "trial": None if self.trial is None else asdict(self.trial),
            "learned": None if self.learned is None else _learned_facts(self.learned),
        }
        boosters = {} if self.learned is None else self.learned.boosters
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A version has a folder of its own, and one small file says which one counts.
            version = Path(tempfile.mkdtemp(dir=folder, prefix="version-"))
            for name, text in boosters.items():
                (version / f"{name}.txt").write_text(text, encoding="utf-8")
            (version / _FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            with atomic_write(folder / "current") as partial:
                partial.write_text(version.name, encoding="utf-8")
        except OSError as error:
            raise InvalidRequest(
                f"{folder} cannot be written: {error.strerror}. Choose another folder."
            ) from error

    @classmethod
    def load(cls, folder: Path) -> EnsembleWeights:
        """Reads what `save` wrote.

        Raises:
            InvalidRequest: It cannot be read.
        """
        try:
            name = (folder / "current").read_text(encoding="utf-8")
            if "/" in name or not name.startswith("version-"):
                raise ValueError(f"it names the version {name!r:.40}")
            version = folder / name
            facts = json.loads((version / _FILE).read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT:
                raise ValueError(f"its format is {facts['format']}, this program reads {_FORMAT}")
            return cls(
                tuple(facts["members"]),
                tuple(facts["revisions"]),
                _learned_of(facts, version),
                None if facts["trial"] is None else Trial(**facts["trial"]),
                str(facts["reason"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{folder} holds no weights that can be read: {error}. Make them anew with "
                "`kronos ensemble train`."
            ) from error


def equal(members: tuple[str, ...] = MEMBERS, reason: str = "") -> EnsembleWeights:
    """Equal weights of members as they are on this machine.

    Raises:
        InvalidRequest: There is no such member.
    """
    revisions = _revisions(members)
    said = reason or "Equal: nothing has been learned yet (kronos ensemble train)."
    return EnsembleWeights(members, revisions, None, None, said)


def load_weights(folder: Path | None = None) -> EnsembleWeights:
    """The weights that are used: the learned ones where they fit the members that are here.

    Raises:
        InvalidRequest: The files are there and cannot be read, or a member is gone.
    """
    folder = folder or user_folder()
    if not (folder / "current").is_file():
        return equal()
    found = EnsembleWeights.load(folder)
    here = _revisions(found.members)
    if here == found.revisions:
        return found
    changed = [
        name
        for name, old, new in zip(found.members, found.revisions, here, strict=True)
        if old != new
    ]
    return equal(
        found.members,
        f"Equal: the learned weights are of other versions of {', '.join(changed)}. Run kronos "
        "ensemble train on a record of these.",
    )


def user_folder() -> Path:
    """Where this user's weights are."""
    return user_data("ensemble")


def _revisions(members: tuple[str, ...]) -> tuple[str, ...]:
    """Revisions as the disk tells them: nothing is downloaded."""
    known = dict.fromkeys(baselines.BASELINES, baselines.revision())
    known |= {entry.name: entry.revision for entry in models.available()}
    missing = [name for name in members if name not in known]
    if missing:
        raise InvalidRequest(
            f"There is no model {missing[0]!r} that could be in an ensemble. Choose among "
            f"{', '.join(known)}."
        )
    return tuple(known[name] for name in members)


def _learned_facts(learned: Learned) -> dict[str, Any]:
    return {
        "cut_off": learned.cut_off.isoformat(),
        "n_apart": learned.n_apart,
        "constants": learned.constants,
        "recent": [[*stream, losses] for stream, losses in sorted(learned.recent.items())],
    }


def _learned_of(facts: dict[str, Any], version: Path) -> Learned | None:
    found = facts["learned"]
    if found is None:
        return None
    names = list(found["n_apart"])
    return Learned(
        members=tuple(facts["members"]),
        revisions=tuple(facts["revisions"]),
        constants={name: list(found["constants"][name]) for name in names},
        boosters={name: (version / f"{name}.txt").read_text(encoding="utf-8") for name in names},
        n_apart={name: int(found["n_apart"][name]) for name in names},
        recent={(a, b, int(c)): list(losses) for a, b, c, losses in found["recent"]},
        cut_off=pd.Timestamp(found["cut_off"]),
    )
