"""Weights learned from the earlier part of the record, and tried on the later part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.ensemble.record import MemberTable, recent_losses, trailing_losses
from kronos.ensemble.weights import (
    FEWEST,
    POOLED,
    EnsembleWeights,
    Learned,
    Trial,
    equal_weights,
    features,
    predict,
    softmax,
)
from kronos.errors import InvalidRequest
from kronos.evaluation.scores import pinball
from kronos.extras import require

__all__ = [
    "SHARE_TO_LEARN",
    "combined",
    "combined_loss",
    "constant_scores",
    "later_rows",
    "learn",
    "n_apart",
    "objective",
    "train",
    "trial",
]

SHARE_TO_LEARN = 2 / 3
"""Share of the forecasts to learn from, the earliest."""
CLASS_EVALUATIONS, CLASS_DATES = 300, 60
"""Evaluations and dates that an asset class needs for its own weights."""
_ROUNDS, _PATIENCE = 300, 20
_SHARE_TO_FIT = 0.75
_FEWEST_ROWS = 200
_PARAMETERS = {
    "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 100, "lambda_l2": 10.0,
    "verbosity": -1, "num_threads": 1, "seed": 0, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
_SMALLEST_CURVATURE = 1e-3
_STEPS, _RATE = 150, 0.3


def train(
    base: EnsembleWeights, table: MemberTable, *, cut_off: pd.Timestamp | None = None
) -> EnsembleWeights:
    """Learns weights; equal ones stay in use where they are better on later data.

    Args:
        base: Equal weights of the members.
        table: Their record.
        cut_off: Outcomes resolved by then are learned from; forecasts made later, after an embargo,
            are the trial. None for two thirds of the forecasts.
    """
    n_known = n_apart(table)
    if n_known < FEWEST:
        reason = (
            f"Equal: {n_known} forecasts of every member that do not overlap are on record, and "
            f"{FEWEST} are the fewest to learn from."
        )
        return replace(base, reason=reason)
    moment = table.made_by(SHARE_TO_LEARN) if cut_off is None else cut_off
    learned = learn(table, moment)
    found = trial(table, learned)
    return replace(base, learned=learned, trial=found, reason=_reason(found))


def learn(table: MemberTable, cut_off: pd.Timestamp) -> Learned:
    """Learns from the outcomes resolved by the cut-off, and from nothing else.

    Raises:
        InvalidRequest: There are too few of them.
    """
    known = table.rows((table.facts["resolved_at"] <= cut_off).to_numpy())
    n_all = n_apart(known)
    if n_all < FEWEST:
        raise InvalidRequest(
            f"Weights are learned from at least {FEWEST} forecasts of every member that do not "
            f"overlap; by {cut_off:%Y-%m-%d} there are {n_all}. Until then they stay equal."
        )
    # A row sees the outcomes resolved before it and nothing later.
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


def trial(table: MemberTable, learned: Learned) -> Trial:
    """Scores the weights on forecasts made after their cut-off.

    An embargo as long as the longest horizon follows the cut-off, so that no outcome of the trial
    overlaps with one of the training.
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
    """(n,) whether each forecast was made after the cut-off and the embargo."""
    issued = pd.to_datetime(table.facts["issued"].to_numpy(), unit="ns", utc=True)
    longest = int(table.facts["step"].max()) if len(table) else 0
    width = table.facts["interval"].map(interval_width)
    # A day of trading takes more than a day of the calendar: weekends and holidays.
    stretch = np.where(table.facts["asset_class"] == "crypto", 1.0, 1.5)
    embargo = pd.to_timedelta(width.dt.total_seconds() * longest * stretch, unit="s")
    return np.asarray(issued > cut_off + pd.TimedeltaIndex(embargo))


def n_apart(table: MemberTable) -> int:
    """Number of evaluations without overlapping horizons, over all series."""
    resolved = table.facts.groupby(["instrument", "source", "interval", "issued"])["resolved_at"]
    ends = resolved.max().reset_index()
    count = 0
    for _, rows in ends.groupby(["instrument", "source", "interval"]):
        free = -(2**63)
        for begin, end in zip(rows["issued"], rows["resolved_at"], strict=True):
            if begin >= free:
                count, free = count + 1, end.value
    return count


def combined(weights: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """(n, L) quantiles averaged level by level over members: weights (n, M), (n, M, L)."""
    return np.einsum("nm,nml->nl", weights, quantiles)


def combined_loss(
    weights: np.ndarray, quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """(n,) pinball loss of the combined fan."""
    return np.asarray(pinball(outcomes[:, None] - combined(weights, quantiles), levels).mean(-1))


def objective(
    quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray
) -> Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]]:
    """The loss that LightGBM minimises: that of the combined fan, not of its members.

    With weights w = softmax(s) and g the derivative of the loss in the weights, the derivative in
    the scores is w * (g - sum(w * g)). The curvature is that of the softmax, which is positive
    where the loss itself is piecewise linear.

    Returns:
        A function of the scores that returns gradient and curvature.
    """
    unit = float(pinball(outcomes[:, None, None] - quantiles, levels).mean()) or 1.0

    def derivatives(scores: np.ndarray, _: Any) -> tuple[np.ndarray, np.ndarray]:
        weights = softmax(scores.reshape(quantiles.shape[:2]))
        errors = outcomes[:, None] - combined(weights, quantiles)
        slopes = np.where(errors > 0, -levels, 1.0 - levels) / unit
        by_weight = np.einsum("nl,nml->nm", slopes, quantiles) / len(levels)
        mean = (weights * by_weight).sum(axis=1, keepdims=True)
        curvature = np.maximum(weights * (1.0 - weights), _SMALLEST_CURVATURE)
        return weights * (by_weight - mean), curvature

    return derivatives


def constant_scores(quantiles: np.ndarray, outcomes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(M,) scores of the best constant weights, by Newton's steps.

    Trees are grown on top of them: a tree without a useful split adds nothing, so that trees alone
    would leave the weights equal where one member is better everywhere.
    """
    derivatives = objective(quantiles, outcomes, levels)
    scores = np.zeros(quantiles.shape[1])
    for _ in range(_STEPS):
        slope, curvature = derivatives(np.tile(scores, (len(outcomes), 1)), None)
        scores -= _RATE * slope.mean(axis=0) / curvature.mean(axis=0)
    return np.asarray(np.clip(scores - scores.mean(), -5.0, 5.0))


def _fit(table: MemberTable, inputs: np.ndarray) -> tuple[list[float], str]:
    """Constants and a booster on all rows; the later rows choose the number of rounds."""
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
    """Number of rounds with the lowest loss on the later rows; 0 where none lowers it."""
    lightgbm = require("lightgbm", "ensemble", "The ensemble")

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
    lightgbm = require("lightgbm", "ensemble", "The ensemble")

    begin = np.tile(constants, (len(inputs), 1))
    return lightgbm.Dataset(inputs, label=np.zeros(len(inputs)), init_score=begin, **options)


def _boost(table: MemberTable, train: Any, n_rounds: int, **options: Any) -> Any:
    lightgbm = require("lightgbm", "ensemble", "The ensemble")

    loss = objective(table.quantiles, table.outcomes, table.levels)
    parameters = _PARAMETERS | {"objective": loss, "num_class": len(table.members)}
    return lightgbm.train(parameters, train, num_boost_round=n_rounds, **options)


def _reason(found: Trial) -> str:
    if not found.n_outcomes:
        return "Equal: nothing was forecast late enough after the cut-off to try the weights on."
    compared = f"a loss of {found.learned:.4f} against {found.equal:.4f} of equal ones"
    if found.is_won:
        return f"Learned: on {found.n_outcomes:,} later outcomes {compared}."
    return (
        f"Equal: on {found.n_outcomes:,} later outcomes the learned weights had {compared}, so "
        "they are not used."
    )
