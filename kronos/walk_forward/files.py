"""Series of a folder of candle files, or of the files a manifest lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from kronos.calendars import place_bars
from kronos.candles import COLUMNS, Candles
from kronos.errors import InvalidCandles
from kronos.training.candle_files import FileFacts, list_files, read_bars
from kronos.training.corpus import interval_of
from kronos.walk_forward.plan import Series

__all__ = ["SOURCE", "read_series"]

SOURCE = "files"
"""Name of the source under which forecasts of files are stored."""


def read_series(
    folder: str | Path, *, manifest: str | Path | None = None
) -> Iterator[Series | InvalidCandles]:
    """The series of every file, or what is wrong with it, in the order of the files.

    Args:
        folder: Holds CSV or parquet files, at any depth.
        manifest: What is known of the files; see `kronos.training.corpus`.

    Raises:
        InvalidRequest: The manifest cannot be read.
    """
    for facts in list_files(Path(folder), manifest):
        try:
            yield Series(_candles(Path(folder), facts), SOURCE)
        except InvalidCandles as error:
            yield InvalidCandles(f"{facts.file} is left out: {error}")


def _candles(folder: Path, facts: FileFacts) -> Candles:
    frame = read_bars(folder / facts.file)
    interval = facts.interval or interval_of(frame["timestamp"])
    placed = place_bars(
        pd.DatetimeIndex(frame["timestamp"]),
        interval=interval,
        symbol=facts.symbol,
        clock=facts.clock or None,
        zone=facts.zone or None,
    )
    bars = (
        frame[list(COLUMNS)].astype(float).set_axis(placed.index.as_unit("ns").rename("timestamp"))
    )
    prices = bars[list(COLUMNS[:4])]
    # Files of reduced precision have highs a digit below their closes.
    bars["high"], bars["low"] = prices.max(axis=1), prices.min(axis=1)
    return Candles(bars, interval, placed.zone, placed.calendar, facts.symbol, SOURCE)
