"""Scores of a model's fans on windows behind the cut-off: what chooses and what is reported.

Fans are those that users see: temperature 1, nothing cut off, anchored at the last close. CRPS is
of log-returns from the origin over sigma * sqrt(steps), fair to small samples, its mean over all
windows and steps.
"""

from __future__ import annotations

import pandas as pd

from kronos.forecasters.kronos import KronosPredictor
from kronos.training.corpus import Corpus
from kronos.training.corpus_events import CorpusEvents
from kronos.training.held_out import EvaluationPlan, evaluate

__all__ = ["figures", "score"]


def score(
    predictor: KronosPredictor,
    corpus: Corpus,
    plan: EvaluationPlan,
    events: CorpusEvents | None = None,
) -> dict[str, float]:
    """Figures of a model on a corpus; see `figures`.

    Args:
        predictor: The model.
        corpus: What it is scored on; every window lies within it.
        plan: Which windows, and how many paths.
        events: Events of the corpus. A model with an event embedding is told of them.
    """
    is_told = events is not None and predictor.reads_events
    table = evaluate(predictor.sample, corpus, plan, events=events, with_channels=is_told)
    return figures(table)


def figures(table: pd.DataFrame) -> dict[str, float]:
    """What is compared, off a table of `kronos.training.held_out.evaluate`.

    Returns:
        crps; crps_raw, of the fans as sampled; cone_crps, of the volatility cone; coverage, the
        share of outcomes within the central 80%; quiet_error, the distance of the median from
        the outcome on windows without an event, and quiet_windows, how many these were.
    """
    quiet = table[table["quiet"]]
    return {
        "crps": float(table["anchored_crps"].mean()),
        "crps_raw": float(table["raw_crps"].mean()),
        "cone_crps": float(table["cone_crps"].mean()),
        "coverage": float(table["anchored_inside"].mean()),
        "quiet_error": float(quiet["anchored_error"].mean()) if len(quiet) else 0.0,
        "quiet_windows": float((quiet["step"] == 1).sum()),
    }
