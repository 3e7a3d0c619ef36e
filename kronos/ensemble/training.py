"""From a record to the weights that are used: learn on the past, try on what came later."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from kronos.ensemble.learning import FEWEST, Trial, learn, n_apart, trial
from kronos.ensemble.table import MemberTable
from kronos.ensemble.weights import EnsembleWeights

__all__ = ["SHARE_TO_LEARN", "train"]

SHARE_TO_LEARN = 2 / 3
"""Share of the forecasts that are learned from, the earliest."""


def train(
    base: EnsembleWeights, table: MemberTable, *, cut_off: pd.Timestamp | None = None
) -> EnsembleWeights:
    """Learns weights, and keeps equal ones where these are better on later data.

    Args:
        base: Equal weights of the members.
        table: Their record.
        cut_off: Learned from is what had resolved by then, tried is what was forecast later, behind
            an embargo; None for two thirds of the forecasts.
    """
    n_known = n_apart(table)
    if n_known < FEWEST:
        said = (
            f"Equal: {n_known} forecasts of every member that do not overlap are on record, and "
            f"{FEWEST} are the fewest to learn from."
        )
        return replace(base, reason=said)
    moment = table.made_by(SHARE_TO_LEARN) if cut_off is None else cut_off
    learned = learn(table, moment)
    found = trial(table, learned)
    return replace(base, learned=learned, trial=found, reason=_reason(found))


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
