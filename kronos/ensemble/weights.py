"""The weights of the ensemble: the features they depend on, and the folder they are stored in.

The folder holds `weights.json`, with everything but the trees, and a text file in LightGBM's own
format for each asset class. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos import models
from kronos.calendars import ASSET_CLASSES
from kronos.calendars.intervals import interval_width
from kronos.errors import InvalidRequest
from kronos.extras import require
from kronos.forecasters import baselines
from kronos.system import (
    atomic_write,
    may_be_there,
    printable,
    read_json,
    read_text,
    shown,
    user_data,
)

__all__ = [
    "FEWEST",
    "MEMBERS",
    "POOLED",
    "EnsembleWeights",
    "Learned",
    "Trial",
    "equal",
    "equal_weights",
    "feature_names",
    "features",
    "load_weights",
    "predict",
    "shrunk",
    "softmax",
    "user_folder",
]

MEMBERS = ("bundled", "ewma", "garch", "fhs", "bootstrap", "random-walk")
"""Members of the ensemble before any training: the paths of the first one lend their ranks."""
POOLED = "any"
"""Stands for all asset classes together."""
FEWEST = 50
"""Non-overlapping evaluations below which weights stay equal."""
_HALFWAY = 200
"""Evaluations at which learned and equal weights count the same."""
_SMALLEST = 1e-6
_FORMAT = 1
_FILE = "weights.json"
_LARGEST_FILE = 64 << 20
_MOST_MEMBERS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Weights as a function of features, for every asset class with enough evaluations.

    Attributes:
        members: (M,) names.
        revisions: (M,) revisions of their weights.
        constants: Asset class, or `POOLED`, -> (M,) constant scores.
        boosters: The same -> the trees added to them, as LightGBM's own text; "" for none.
        n_apart: The same -> number of non-overlapping evaluations learned from.
        recent: Asset class, interval and bucket -> recent loss of every member, at the cut-off.
        cut_off: Last moment of the outcomes learned from, UTC.
    """

    members: tuple[str, ...]
    revisions: tuple[str, ...]
    constants: dict[str, list[float]]
    boosters: dict[str, str]
    n_apart: dict[str, int]
    recent: dict[tuple[str, str, int], list[float]]
    cut_off: pd.Timestamp


@dataclass(frozen=True, slots=True)
class Trial:
    """Losses of learned weights on data later than their cut-off.

    Attributes:
        n_outcomes: Number of outcomes; losses are means over them, in units of sigma * sqrt(h).
        learned: Pinball loss of the learned weights.
        equal: Of equal weights.
        members: Of every member alone.
    """

    n_outcomes: int
    learned: float
    equal: float
    members: dict[str, float]

    @property
    def is_won(self) -> bool:
        """Whether the learned weights are not worse than equal ones."""
        return self.n_outcomes > 0 and self.learned <= self.equal


@dataclass(frozen=True, eq=False)
class EnsembleWeights:
    """The members of an ensemble and their weights.

    Attributes:
        members: (M,) names; the first one lends the ranks of its paths.
        revisions: (M,) revisions of their weights.
        learned: The learned weights; None before any training.
        trial: Their trial on later data; None before any training.
        reason: Why these weights are in use, in a sentence.
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
        """16 hexadecimal digits of a digest of members and weights."""
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
        """Writes the folder; a reader finds the complete old weights or the complete new ones.

        Raises:
            InvalidRequest: The folder cannot be written.
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
            # Every version has its own folder; one small file names the version in use.
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
            InvalidRequest: The folder cannot be read.
        """
        try:
            name = read_text(folder / "current", limit=200)
            if "/" in name or not name.startswith("version-"):
                raise ValueError(f"it names the version {name!r:.40}")
            version = folder / name
            facts = read_json(version / _FILE, limit=_LARGEST_FILE)
            if facts["format"] != _FORMAT:
                found = shown(facts["format"])
                raise ValueError(f"its format is {found}, this program reads {_FORMAT}")
            return cls(
                _names(facts["members"]),
                _names(facts["revisions"]),
                _learned_of(facts, version),
                None if facts["trial"] is None else Trial(**facts["trial"]),
                str(facts["reason"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise InvalidRequest(
                f"{folder} holds no weights that can be read: {printable(error)}. Make them anew "
                "with `kronos ensemble train`."
            ) from error


def _names(found: Any) -> tuple[str, ...]:
    is_fine = isinstance(found, list) and 1 <= len(found) <= _MOST_MEMBERS
    if not is_fine or not all(isinstance(each, str) and len(each) <= 200 for each in found):
        raise ValueError(f"its members are {shown(found)}")
    return tuple(found)


def equal(members: tuple[str, ...] = MEMBERS, reason: str = "") -> EnsembleWeights:
    """Equal weights of the members on this machine.

    Raises:
        InvalidRequest: There is no such member.
    """
    revisions = _revisions(members)
    reason = reason or "Equal: nothing has been learned yet (kronos ensemble train)."
    return EnsembleWeights(members, revisions, None, None, reason)


def load_weights(folder: Path | None = None) -> EnsembleWeights:
    """The weights in use: the learned ones where they fit the members on this machine.

    Raises:
        InvalidRequest: The files exist and cannot be read, or a member is missing.
    """
    folder = folder or user_folder()
    if not may_be_there(folder / "current"):
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
    """Folder of this user's weights."""
    return user_data("ensemble")


def feature_names(members: Sequence[str]) -> list[str]:
    """Names of the columns of `features`."""
    common = ["step", "width", "volatility", "class", "weekday", "hour", "event", "disagreement"]
    each = [f"{what} of {name}" for what in ("spread", "median", "recent") for name in members]
    return common + each


def features(
    facts: pd.DataFrame, quantiles: np.ndarray, levels: np.ndarray, recent: np.ndarray
) -> np.ndarray:
    """Facts known when a forecast is made, from which the weights follow.

    The spread of a member is the width of its 80% band, its recent value the logarithm of its
    resolved losses over those of all members. Trend and the ratio of slow to fast volatility are
    in them: as the median of the random walk with drift, and as its spread.

    Args:
        facts: asset_class, interval, step, scale (sigma * sqrt(step)), origin (with a zone), zone
            and event_day: whether a release is scheduled for the day of the outcome.
        quantiles: (n, M, L) over sigma * sqrt(h).
        levels: (L,) levels, ascending.
        recent: (n, M) recent losses, NaN where there are none.

    Returns:
        (n, F) columns `feature_names`, NaN for unknown facts.
    """
    low, middle, high = (int(np.argmin(np.abs(levels - level))) for level in (0.1, 0.5, 0.9))
    spreads = np.log(np.maximum(quantiles[..., high] - quantiles[..., low], _SMALLEST))
    medians = quantiles[..., middle]
    local = _local(facts)
    classes = list(ASSET_CLASSES)
    width = facts["interval"].map(lambda name: interval_width(name).total_seconds())
    step = facts["step"].to_numpy(dtype=float)
    common = (
        np.log(step),
        np.log(width.to_numpy(dtype=float)),
        np.log(facts["scale"].to_numpy(dtype=float) / np.sqrt(step)),
        facts["asset_class"].map(classes.index).to_numpy(dtype=float),
        local.dt.day_of_week.to_numpy(dtype=float),
        local.dt.hour.to_numpy(dtype=float),
        facts["event_day"].astype("Float64").to_numpy(dtype=float, na_value=np.nan),
        medians.std(axis=1),
    )
    relative = np.log(recent / recent.mean(axis=1, keepdims=True))
    return np.column_stack([*common, spreads, medians, relative])


def predict(learned: Learned, asset_classes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(n, M) weights of rows of features (n, F), shrunk towards equal ones."""
    lightgbm = require("lightgbm", "ensemble", "The ensemble")

    weights = np.empty((len(inputs), len(learned.members)))
    chosen = np.where(np.isin(asset_classes, list(learned.boosters)), asset_classes, POOLED)
    for name in set(chosen):
        rows = chosen == name
        scores = np.tile(learned.constants[name], (rows.sum(), 1))
        if text := learned.boosters[name]:
            scores += lightgbm.Booster(model_str=text).predict(inputs[rows], raw_score=True)
        weights[rows] = shrunk(softmax(scores), learned.n_apart[name])
    return weights


def softmax(scores: np.ndarray) -> np.ndarray:
    """(n, M) positive weights with a sum of 1, from scores (n, M)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def shrunk(weights: np.ndarray, n: int) -> np.ndarray:
    """Weights (n, M) drawn towards equal ones: half way at 200 evaluations."""
    if n < FEWEST:
        return equal_weights(*weights.shape)
    share = n / (n + _HALFWAY)
    return share * weights + (1.0 - share) / weights.shape[1]


def equal_weights(n: int, n_members: int) -> np.ndarray:
    """(n, M) weights of 1 / M."""
    return np.full((n, n_members), 1.0 / n_members)


def _revisions(members: tuple[str, ...]) -> tuple[str, ...]:
    """Revisions of the models on disk; nothing is downloaded."""
    known = dict.fromkeys(baselines.BASELINES, baselines.revision())
    known |= {entry.name: entry.revision for entry in models.available()}
    missing = [name for name in members if name not in known]
    if missing:
        raise InvalidRequest(
            f"There is no model {missing[0]!r} for an ensemble. Choose among {', '.join(known)}."
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
    n_members = len(facts["members"])
    lists = [*(found["constants"][name] for name in names), *(row[3] for row in found["recent"])]
    if POOLED not in names or any(len(np.array(each, dtype=float)) != n_members for each in lists):
        raise ValueError("its numbers are not one for each member")
    if any(not name.isalnum() for name in names):  # they are names of files
        raise ValueError(f"it has the asset classes {shown(names)}")
    return Learned(
        members=tuple(facts["members"]),
        revisions=tuple(facts["revisions"]),
        constants={name: list(found["constants"][name]) for name in names},
        boosters={name: read_text(version / f"{name}.txt", limit=_LARGEST_FILE) for name in names},
        n_apart={name: int(found["n_apart"][name]) for name in names},
        recent={(a, b, int(c)): list(losses) for a, b, c, losses in found["recent"]},
        cut_off=pd.Timestamp(found["cut_off"]),
    )


def _local(facts: pd.DataFrame) -> pd.Series:
    """Naive origins on each market's own clock."""
    out = pd.Series(pd.NaT, index=facts.index, dtype="datetime64[ns]")
    for zone, rows in facts.groupby("zone")["origin"]:
        out[rows.index] = rows.dt.tz_convert(str(zone)).dt.tz_localize(None).dt.as_unit("ns")
    return out
