"""Where candles came from, as Python that brings them again."""

from __future__ import annotations

from data_sources.csv.reader import CsvChoices
from kronos.candles import Candles
from pages.ui.inputs.fetching import Wanted


def sample_code(key: str) -> str:
    """A bundled sample."""
    return f"""\
from data_sources.samples import load_sample

candles = load_sample({key!r})"""


def fetch_code(wanted: Wanted, candles: Candles) -> str:
    """Bars of a live market, by their first and last time."""
    first, last = candles.frame.index[0], candles.frame.index[-1]
    return f"""\
from data_sources.registry import open_source

candles = open_source({wanted.source!r}).fetch(
    {wanted.symbol!r},
    interval={wanted.interval!r},
    adjusted={wanted.adjusted},
    start=pd.Timestamp({first.isoformat()!r}),
    end=pd.Timestamp({last.isoformat()!r}),
).candles"""


def upload_code(name: str, choices: CsvChoices) -> str:
    """A file of the user's own, which lies where he has it."""
    return f"""\
from pathlib import Path

from data_sources.csv.reader import CsvChoices, read_csv

name = {name!r}
choices = CsvChoices(clock={choices.clock!r}, day_first={choices.day_first!r})
candles = read_csv(Path(name).read_bytes(), name, choices=choices).candles"""
