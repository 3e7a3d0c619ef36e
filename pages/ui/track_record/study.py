"""Filters of the record, and the figures of the part that they select. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars import ASSET_CLASSES
from kronos.evaluation.evidence import Evidence, evidence
from kronos.evaluation.scores import LEVELS
from kronos.evaluation.track_record import (
    Correlation,
    Gain,
    Skill,
    VolatilityScores,
    coverage_by,
    crps_skill,
    information_coefficient,
    mean_gain,
    pit_shares,
    reliability,
    smoothed_coverage,
    volatility_scores,
    worst_misses,
)
from kronos.forecasters import baselines

__all__ = ["ALL", "DAYS", "MADE", "SAMPLE", "Choices", "Chosen", "choices_of", "labels_of"]

ALL = "All"
MADE: dict[str, str] = {
    "any": "Any time",
    "ahead": "Ahead of the outcome",
    "afterwards": "Afterwards, as a backtest",
}
SAMPLE: dict[str, str] = {
    "out": "Out of sample",
    "in": "In sample or not known",
    "any": "Both",
}
DAYS: dict[str, str] = {"any": "All days", "event": "Event days", "quiet": "Quiet days"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filters of a study.

    Attributes:
        model: Label of the model; "" for the first one.
        asset_class: A key of `ASSET_CLASSES`, or `ALL`.
        interval: Width of a bar, or `ALL`.
        made: A key of `MADE`.
        sample: A key of `SAMPLE`.
        days: A key of `DAYS`.
    """

    model: str = ""
    asset_class: str = ALL
    interval: str = ALL
    made: str = "any"
    sample: str = "out"
    days: str = "any"

    def rows(self, record: pd.DataFrame) -> np.ndarray:
        """(n,) which rows of a record pass the filters, of any model."""
        meant = np.ones(len(record), dtype=bool)
        if self.asset_class != ALL:
            meant &= (record["asset_class"] == self.asset_class).to_numpy()
        if self.interval != ALL:
            meant &= (record["interval"] == self.interval).to_numpy()
        if self.made != "any":
            meant &= record["ahead"].to_numpy() == (self.made == "ahead")
        if self.sample != "any":
            is_out = record["out_of_sample"].fillna(False).to_numpy(dtype=bool)
            meant &= is_out == (self.sample == "out")
        if self.days != "any":
            wanted = record["event_day"] == (self.days == "event")
            meant &= wanted.fillna(False).to_numpy(dtype=bool)
        return meant


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of the filters.

    Attributes:
        models: Labels, those with the most forecasts first, baselines last.
        asset_classes: Keys of `ASSET_CLASSES` that occur.
        intervals: Widths that occur, narrowest first.
    """

    models: tuple[str, ...]
    asset_classes: tuple[str, ...]
    intervals: tuple[str, ...]


def labels_of(record: pd.DataFrame) -> pd.Series:
    """Model and revision of every row, short enough for a list."""
    return (record["model"] + " " + record["version"].str[:8]).str.strip()


def choices_of(record: pd.DataFrame) -> Choices:
    """The choices in a record, whose column `label` is as from `labels_of`."""
    from kronos.calendars.intervals import INTERVALS
    from kronos.models import kind_of

    each = record.drop_duplicates("prediction_id")[["label", "model"]]
    counts = {str(label): n for label, n in each["label"].value_counts().items()}
    model_of = dict(zip(each["label"], each["model"], strict=True))
    models = sorted(
        counts, key=lambda label: (kind_of(model_of[label]) == "baseline", -counts[label])
    )
    present = set(record["interval"])
    return Choices(
        tuple(models),
        tuple(name for name in ASSET_CLASSES if (record["asset_class"] == name).any()),
        tuple(name for name in INTERVALS if name in present),
    )


__all__ = ["Pairs", "Rival", "Study", "study"]

Pairs = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
"""Some rows of the chosen model and some of a rival -> rows for `evidence`."""

N_MISSES = 12
_MEDIAN = len(LEVELS) // 2


@dataclass(frozen=True, slots=True)
class Rival:
    """A model against another one.

    Attributes:
        title: The other's name to show.
        skill: The comparison.
        evidence: Whether the model is better, valid at every look.
        log_score: Gain by the log score, in nats; None without common scores.
        qlike: Gain by QLIKE; likewise.
    """

    title: str
    skill: Skill
    evidence: Evidence
    log_score: Gain | None
    qlike: Gain | None


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """The figures of a part of the record of one model.

    Attributes:
        chosen: The filters, with the model.
        choices: The choices of the record.
        n_forecasts: Forecasts.
        n_steps: Scored steps.
        n_series: Instruments and intervals.
        n_dates: Dates of their origins.
        first: Oldest origin; None without forecasts.
        last: Newest.
        n_paths: Median of their paths.
        coverage: Columns coverage, error and n, one row: all of them.
        reliability: See `kronos.evaluation.track_record.reliability`.
        pit: (10,) shares.
        by_step: See `coverage_by`, by step.
        over_time: See `smoothed_coverage`.
        n_out: Forecasts that are out of sample.
        rivals: Against each baseline that forecast the same.
        parts: Columns part, forecasts, coverage, and those of `Skill` against the first rival.
        ic: Correlation across instruments.
        rank_ic: Of ranks.
        volatility: Forecast against realised.
        misses: See `worst_misses`.
    """

    chosen: Chosen
    choices: Choices
    n_forecasts: int
    n_steps: int
    n_series: int
    n_dates: int
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    n_paths: int
    coverage: pd.DataFrame
    reliability: pd.DataFrame
    pit: np.ndarray
    by_step: pd.DataFrame
    over_time: pd.DataFrame
    n_out: int
    rivals: tuple[Rival, ...]
    parts: pd.DataFrame
    ic: Correlation
    rank_ic: Correlation
    volatility: VolatilityScores
    misses: pd.DataFrame


def study(
    record: pd.DataFrame, quantiles: np.ndarray, choices: Choices, chosen: Chosen, pairs: Pairs
) -> Study:
    """Compute the figures of a part of a record.

    Args:
        record: Rows of `read_record` with their `label`.
        quantiles: (n, L) at `LEVELS`: of the rows of the chosen model, in their order.
        choices: The choices of the record.
        chosen: The filters; the model is one of the choices.
        pairs: Pairs the outcomes of two models.
    """
    is_model = (record["label"] == chosen.model).to_numpy()
    meant = chosen.rows(record) & is_model
    ours, known = record[meant], quantiles[meant[is_model]]
    # A rival's forecasts count wherever the model's do; the other filters do not apply to them.
    others = _rivals_of(record[~is_model])
    rivals = [(title, crps_skill(ours, theirs)) for title, theirs in others.items()]
    found = tuple(
        Rival(
            title,
            skill,
            evidence(pairs(ours, others[title])),
            mean_gain(ours, others[title], "log_score"),
            mean_gain(ours, others[title], "qlike"),
        )
        for title, skill in rivals
        if skill is not None
    )
    return Study(
        chosen=chosen,
        choices=choices,
        n_forecasts=ours["prediction_id"].nunique(),
        n_steps=len(ours),
        n_series=len(ours[["instrument", "source", "interval"]].drop_duplicates()),
        n_dates=ours["origin"].dt.floor("D").nunique(),
        first=ours["origin"].min() if len(ours) else None,
        last=ours["origin"].max() if len(ours) else None,
        n_paths=int(ours["n_paths"].median()) if len(ours) else 0,
        coverage=coverage_by(ours, pd.Series("all", index=ours.index)),
        reliability=_reliability(ours, known),
        pit=pit_shares(ours["pit"].to_numpy()),
        by_step=coverage_by(ours, "step"),
        over_time=smoothed_coverage(ours),
        n_out=ours.loc[ours["out_of_sample"].fillna(False), "prediction_id"].nunique(),
        rivals=found,
        parts=_parts(ours, others[found[0].title] if found else None),
        ic=information_coefficient(ours, known[:, _MEDIAN]),
        rank_ic=information_coefficient(ours, known[:, _MEDIAN], ranked=True),
        volatility=volatility_scores(ours),
        misses=worst_misses(ours[ours["actual_return"].notna()], N_MISSES),
    )


def _reliability(ours: pd.DataFrame, quantiles: np.ndarray) -> pd.DataFrame:
    if ours["actual_return"].notna().any():
        return reliability(ours["actual_return"].to_numpy(), quantiles, LEVELS)
    # A record without returns knows the outcomes' places in the fans.
    pit = ours["pit"].to_numpy()
    shares = [float((pit <= level).mean()) if len(pit) else np.nan for level in LEVELS]
    return pd.DataFrame({"level": LEVELS, "share": shares, "n": len(pit)})


def _rivals_of(record: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Forecasts of each baseline, by its title; the hardest to beat on the whole first."""
    found = {}
    for name, entry in baselines.BASELINES.items():
        rows = record[record["model"] == name]
        if len(rows):
            found[entry.title] = rows
    first = baselines.BASELINES["ewma"].title
    return {title: found[title] for title in sorted(found, key=lambda title: title != first)}


def _parts(ours: pd.DataFrame, theirs: pd.DataFrame | None) -> pd.DataFrame:
    """Coverage and skill by asset class, interval and day type."""
    days = ours["event_day"].map({True: "Event days", False: "Quiet days"})
    keys = (
        ("Asset class", ours["asset_class"].map(dict(ASSET_CLASSES))),
        ("Interval", ours["interval"]),
        ("Day type", days),
    )
    rows = []
    for kind, key in keys:
        covered = coverage_by(ours[key.notna()], key[key.notna()].astype(str))
        for value, row in covered.iterrows():
            part = ours[(key == value).fillna(False).to_numpy(dtype=bool)]
            skill = None if theirs is None else crps_skill(part, theirs)
            rows.append(
                {
                    "kind": kind,
                    "part": value,
                    "forecasts": part["prediction_id"].nunique(),
                    "coverage": row["coverage"],
                    "error": row["error"],
                    "skill": np.nan if skill is None else skill.skill,
                    "low": np.nan if skill is None else skill.low,
                    "high": np.nan if skill is None else skill.high,
                }
            )
    columns = ["kind", "part", "forecasts", "coverage", "error", "skill", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
