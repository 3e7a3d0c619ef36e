"""Weights learned from the record, and whether they are worth using."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.ensemble.features import features, recent_losses, trailing_losses
from kronos.ensemble.objective import combined_loss, constant_scores, objective, softmax
from kronos.ensemble.table import MemberTable
from kronos.errors import InvalidRequest

__all__ = [
    "FEWEST",
    "Learned",
    "Trial",
    "equal_weights",
    "later_rows",
    "learn",
    "n_apart",
    "predict",
    "shrunk",
    "trial",
]

FEWEST = 50
"""Non-overlapping evaluations below which weights stay equal."""
CLASS_EVALUATIONS, CLASS_DATES = 300, 60
"""What an asset class needs for weights of its own."""
_HALFWAY = 200
"""Evaluations at which learned and equal weights count the same."""
POOLED = "any"
"""Stands for all asset classes together."""
_ROUNDS, _PATIENCE = 300, 20
_SHARE_TO_FIT = 0.75
_FEWEST_ROWS = 200
_PARAMETERS = {
    "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 100, "lambda_l2": 10.0,
    "verbosity": -1, "num_threads": 1, "seed": 0, "deterministic": True, "force_row_wise": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Weights as a function of features, for every asset class that has enough of a record.

    Attributes:
        members: (M,) names.
        revisions: (M,) revisions of their weights.
        constants: Asset class, or `POOLED`, -> (M,) scores that depend on nothing.
        boosters: The same -> LightGBM's own text of what is added to them; "" for nothing.
        n_apart: The same -> non-overlapping evaluations learned from.
        recent: Stream -> recent loss of every member, at the cut-off.
        cut_off: Nothing was learned from what resolved later; UTC.
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
    """How learned weights fared on later data than they were learned from.

    Attributes:
        n_outcomes: Outcomes; all losses are means over them, in units of sigma * sqrt(h).
        learned: Pinball loss with the learned weights.
        equal: With equal weights.
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


def learn(table: MemberTable, cut_off: pd.Timestamp) -> Learned:
    """Learns from what had resolved by the cut-off, and from nothing else.

    Raises:
        InvalidRequest: There is too little of it.
    """
    known = table.rows((table.facts["resolved_at"] <= cut_off).to_numpy())
    n_all = n_apart(known)
    if n_all < FEWEST:
        raise InvalidRequest(
            f"Weights are learned from at least {FEWEST} forecasts of every member that do not "
            f"overlap; by {cut_off:%Y-%m-%d} there are {n_all}. Until then they stay equal."
        )
    # Of the whole record, so that a row sees what had resolved before it and nothing later.
    inputs = features(known.facts, known.quantiles, known.levels, trailing_losses(known))
    classes = known.facts["asset_class"].to_numpy()
    constants, boosters, counts = {}, {}, {POOLED: n_all}
    constants[POOLED], boosters[POOLED] = _fit(known, inputs)
    for name in sorted(set(classes)):
        own = classes == name
        part = known.rows(own)
        dates = part.facts["origin"].dt.normalize().nunique()
        if n_apart(part) >= CLASS_EVALUATIONS and dates >= CLASS_DATES:
            constants[name], boosters[name] = _fit(part, inputs[own])
            counts[name] = n_apart(part)
    recent = recent_losses(known)
    return Learned(table.members, table.revisions, constants, boosters, counts, recent, cut_off)


def predict(learned: Learned, asset_classes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(n, M) weights of rows of features (n, F), shrunk towards equal ones."""
    from lightgbm import Booster

    weights = np.empty((len(inputs), len(learned.members)))
    chosen = np.where(np.isin(asset_classes, list(learned.boosters)), asset_classes, POOLED)
    for name in set(chosen):
        rows = chosen == name
        scores = np.tile(learned.constants[name], (rows.sum(), 1))
        if text := learned.boosters[name]:
            scores += Booster(model_str=text).predict(inputs[rows], raw_score=True)
        weights[rows] = shrunk(softmax(scores), learned.n_apart[name])
    return weights


def trial(table: MemberTable, learned: Learned) -> Trial:
    """Scores the weights on what was forecast later than they know of.

    Between the cut-off and the first forecast that counts lies an embargo as long as the longest
    horizon, so that no outcome overlaps with one that was learned from.
    """
    recent = trailing_losses(table)
    later = later_rows(table, learned.cut_off)
    rows = table.rows(later)
    if not len(rows):
        return Trial(0, float("nan"), float("nan"), {})
    inputs = features(rows.facts, rows.quantiles, rows.levels, recent[later])
    weights = predict(learned, rows.facts["asset_class"].to_numpy(), inputs)
    of_weights = [
        combined_loss(found, rows.quantiles, rows.outcomes, rows.levels).mean()
        for found in (weights, equal_weights(*weights.shape))
    ]
    each = dict(zip(rows.members, rows.losses().mean(axis=0).tolist(), strict=True))
    return Trial(len(rows), float(of_weights[0]), float(of_weights[1]), each)


def later_rows(table: MemberTable, cut_off: pd.Timestamp) -> np.ndarray:
    """(n,) which forecasts were made after the cut-off and the embargo."""
    issued = pd.to_datetime(table.facts["issued"].to_numpy(), unit="ns", utc=True)
    longest = int(table.facts["step"].max()) if len(table) else 0
    width = table.facts["interval"].map(interval_width)
    # A day of trading takes more than a day of the calendar: weekends and holidays.
    stretch = np.where(table.facts["asset_class"] == "crypto", 1.0, 1.5)
    embargo = pd.to_timedelta(width.dt.total_seconds() * longest * stretch, unit="s")
    return np.asarray(issued > cut_off + pd.TimedeltaIndex(embargo))


def n_apart(table: MemberTable) -> int:
    """Evaluations whose horizons do not overlap, over all series."""
    resolved = table.facts.groupby(["instrument", "source", "interval", "issued"])["resolved_at"]
    ends = resolved.max().reset_index()
    count = 0
    for _, rows in ends.groupby(["instrument", "source", "interval"]):
        free = -(2**63)
        for begin, end in zip(rows["issued"], rows["resolved_at"], strict=True):
            if begin >= free:
                count, free = count + 1, end.value
    return count


def shrunk(weights: np.ndarray, n: int) -> np.ndarray:
    """Weights (n, M) drawn towards equal ones: half way at 200 evaluations."""
    if n < FEWEST:
        return equal_weights(*weights.shape)
    share = n / (n + _HALFWAY)
    return share * weights + (1.0 - share) / weights.shape[1]


def equal_weights(n: int, n_members: int) -> np.ndarray:
    """(n, M) the same for all."""
    return np.full((n, n_members), 1.0 / n_members)


def _fit(table: MemberTable, inputs: np.ndarray) -> tuple[list[float], str]:
    """Constants and a booster on all rows, with as many rounds as serve on the later of them."""
    resolved = table.facts["resolved_at"]
    middle = table.made_by(_SHARE_TO_FIT)
    early, late = (resolved <= middle).to_numpy(), later_rows(table, middle)
    n_rounds = 0
    if early.sum() >= _FEWEST_ROWS and late.any():
        n_rounds = _rounds(table.rows(early), inputs[early], table.rows(late), inputs[late])
    constants = constant_scores(table.quantiles, table.outcomes, table.levels)
    text = ""
    if n_rounds:
        train = _dataset(inputs, constants)
        text = _boost(table, train, n_rounds).model_to_string()
    return constants.tolist(), text


def _rounds(
    early: MemberTable, inputs: np.ndarray, late: MemberTable, late_inputs: np.ndarray
) -> int:
    """Rounds after which the loss on later rows stops falling; 0 where none lowers it."""
    import lightgbm

    def loss(scores: np.ndarray, _: Any) -> tuple[str, float, bool]:
        weights = softmax(scores.reshape(late.quantiles.shape[:2]))
        found = combined_loss(weights, late.quantiles, late.outcomes, late.levels)
        return "pinball", float(found.mean()), False

    constants = constant_scores(early.quantiles, early.outcomes, early.levels)
    train = _dataset(inputs, constants)
    booster = _boost(
        early,
        train,
        _ROUNDS,
        valid_sets=[_dataset(late_inputs, constants, reference=train)],
        feval=loss,
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    without = loss(np.tile(constants, (len(late), 1)), None)[1]
    return int(booster.best_iteration) if booster.best_score["valid_0"]["pinball"] < without else 0


def _dataset(inputs: np.ndarray, constants: np.ndarray, **options: Any) -> Any:
    import lightgbm

    begin = np.tile(constants, (len(inputs), 1))
    return lightgbm.Dataset(inputs, label=np.zeros(len(inputs)), init_score=begin, **options)


def _boost(table: MemberTable, train: Any, n_rounds: int, **options: Any) -> Any:
    import lightgbm

    loss = objective(table.quantiles, table.outcomes, table.levels)
    asked = _PARAMETERS | {"objective": loss, "num_class": len(table.members)}
    return lightgbm.train(asked, train, num_boost_round=n_rounds, **options)
