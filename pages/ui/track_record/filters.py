"""Which part of the record is looked at. Pure: no page in here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.calendars import ASSET_CLASSES

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
    """What is looked at.

    Attributes:
        model: Label of the model; "" for the first there is.
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
        """(n,) which rows of a record are meant, of any model."""
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
    """What there is to choose from.

    Attributes:
        models: Labels, those with the most forecasts first, baselines last.
        asset_classes: Keys of `ASSET_CLASSES` that occur.
        intervals: Widths that occur, narrowest first.
    """

    models: tuple[str, ...]
    asset_classes: tuple[str, ...]
    intervals: tuple[str, ...]


def labels_of(record: pd.DataFrame) -> pd.Series:
    """Model and weights of every row, short enough to be chosen from a list."""
    return (record["model"] + " " + record["version"].str[:8]).str.strip()


def choices_of(record: pd.DataFrame) -> Choices:
    """What occurs in a record, whose column `label` is as from `labels_of`."""
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
