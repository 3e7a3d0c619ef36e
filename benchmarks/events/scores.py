"""Scores of the arms on the same windows, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bootstrap import Figure, bootstrap
from benchmarks.events.arms import Fan, Origin, Sampling
from kronos.context import CLOSE
from kronos.evaluation.cone import cone_scale, ewma_volatility
from kronos.evaluation.scores import score_paths
from kronos.training.corpus import Corpus

__all__ = ["ARMS", "compare", "score_windows", "verdict"]

ARMS = ("base", "without_events", "with_events")
"""The base; the adapter without event rows; the adapter with them."""

_OfSums = Callable[[pd.DataFrame], pd.Series]

QUIET_LIMIT = 1.02
"""Largest quiet error, as a share of the base's."""


def score_windows(
    corpus: Corpus,
    origins: Sequence[Origin],
    sampled: dict[str, list[Fan]],
    sampling: Sampling,
    *,
    has_event: bool,
) -> pd.DataFrame:
    """One row for every window: sums over its steps.

    Columns: series, interval, block (the calendar week of the origin), and, beginning with
    "event_" or "quiet_" by the kind of window, n (steps), moved (distance of the outcome from the
    last close) and, for every arm, crps, inside, width and error. Distances are in units of
    sigma * sqrt(steps). "bar_" columns are the same over flagged bars alone.
    """
    rows = []
    for i, origin in enumerate(origins):
        closes = corpus.values[origin.at - sampling.context : origin.at, CLOSE]
        sigma = ewma_volatility(closes)
        if sigma <= 0:
            continue
        scale = cone_scale(sigma, sampling.horizon)
        future = corpus.values[sampling.future(origin), CLOSE].astype(np.float64)
        actual = np.log(future / float(closes[-1]))
        flagged = sampled["base"][i].flagged
        spans = [("event" if has_event else "quiet", np.ones(len(flagged), dtype=bool))]
        spans += [("bar", flagged)] * has_event
        week = pd.Timestamp(corpus.times[origin.at], tz="UTC").strftime("%G-W%V")
        row: dict[str, Any] = {
            "series": origin.series.name, "interval": origin.series.interval, "block": week,
        }  # fmt: skip
        for span, at in spans:
            row[f"{span}_n"] = int(at.sum())
            row[f"{span}_moved"] = float((np.abs(actual) / scale)[at].sum())
        for arm, arm_fans in sampled.items():
            scores = score_paths(actual, arm_fans[i].paths, scale)
            for span, at in spans:
                for name in ("crps", "inside", "width", "error"):
                    row[f"{span}_{name}_{arm}"] = float(getattr(scores, name)[at].sum())
        rows.append(row)
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame, arms: Sequence[str] = ARMS) -> dict[str, Figure]:
    """Figures with block-bootstrap intervals; ratios are those of an arm to the base."""
    figures: dict[str, _OfSums] = {}
    for span in ("event", "bar", "quiet"):
        for arm in arms:
            figures[f"{span}_crps_{arm}"] = _mean(f"{span}_crps_{arm}", f"{span}_n")
            figures[f"{span}_coverage_{arm}"] = _mean(f"{span}_inside_{arm}", f"{span}_n")
            for name in ("crps", "error"):
                figures[f"{span}_{name}_{arm}_to_base"] = _mean(
                    f"{span}_{name}_{arm}", f"{span}_{name}_base"
                )
    for span in ("event", "bar"):
        for arm in arms:
            figures[f"{span}_spread_ratio_{arm}"] = _spread_ratio(span, f"width_{arm}")
        figures[f"{span}_spread_ratio_happened"] = _spread_ratio(span, "moved")
        if "without_events" in arms:
            figures[f"{span}_crps_with_to_without"] = _mean(
                f"{span}_crps_with_events", f"{span}_crps_without_events"
            )
    return bootstrap(table.fillna(0.0), figures)


def verdict(figures: dict[str, Figure]) -> tuple[bool, str]:
    """Whether the adapter helps, and why."""
    event = figures["event_crps_with_events_to_base"]
    quiet = figures["quiet_error_with_events_to_base"]
    if event.high >= 1.0:
        return False, f"event windows: CRPS {event.text()} of the base's, not clearly below 1"
    if quiet.value > QUIET_LIMIT:
        return False, f"quiet windows: error {quiet.text()} of the base's, above {QUIET_LIMIT}"
    return True, (
        f"event windows: CRPS {event.text()} of the base's; quiet windows: error {quiet.text()}"
    )


def _mean(what: str, n: str) -> _OfSums:
    return lambda sums: sums[what] / sums[n]


def _spread_ratio(span: str, what: str) -> _OfSums:
    event, quiet = _mean(f"{span}_{what}", f"{span}_n"), _mean(f"quiet_{what}", "quiet_n")
    return lambda sums: event(sums) / quiet(sums)
