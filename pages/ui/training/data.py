"""What is learned from: series of candles, as they were read. Pure: no page in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from data_sources.csv.report import CsvReport
from kronos.candles import Candles
from kronos.training.candle_files import FileFacts
from kronos.training.corpus import Corpus, corpus_of

_UNSAFE = re.compile(r"[^A-Za-z0-9=^_-]+")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Candles to learn from.

    Attributes:
        title: Name of the file or sample.
        candles: The bars.
        report: What the reader understood of an uploaded file; None of a sample.
        sample: Title of the sample; "" for an uploaded file.
    """

    title: str
    candles: Candles
    report: CsvReport | None = None
    sample: str = ""


def facts_of(series: Sequence[Series]) -> list[FileFacts]:
    """What training is to know of every series; the names of their files are made up here.

    The ticker is part of the name, because the calendar is found by it. Nothing else of what a
    user typed gets into a path.
    """
    found = []
    for i, each in enumerate(series):
        symbol = _UNSAFE.sub("-", each.candles.symbol)[:40].strip("-") or "series"
        candles = each.candles
        found.append(
            FileFacts(
                f"{i:03}/{symbol}.parquet",
                interval=candles.interval,
                family=f"{i:03}",
                clock=candles.zone,
                zone=candles.zone,
            )
        )
    return found


def table_of(candles: Candles) -> pd.DataFrame:
    """Bars as training reads them: columns timestamp, on the market's clock, and the six."""
    table = candles.frame.reset_index(drop=True)
    table.insert(0, "timestamp", candles.local_index)
    return table


def as_corpus(series: Sequence[Series]) -> Corpus:
    """The corpus that the run will read.

    Raises:
        InvalidRequest: The series are too short.
    """
    tables = [table_of(each.candles) for each in series]
    return corpus_of(zip(facts_of(series), tables, strict=True))
