"""The leading markets of a corpus: the files that its manifest names in the column `leader`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kronos.calendars import place_bars
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.events import LEADERS, Leaders
from kronos.forecast import COLUMNS
from kronos.training.files import FileFacts, interval_of, is_qlib, list_files, read_bars

__all__ = ["load_leaders"]

# On whose calendars they trade, as when forecasts are made.
_TICKERS = {"btc": "BTC-USD", "spy": "SPY", "dxy": "DX-Y.NYB", "vix": "^VIX"}


def load_leaders(folder: str | Path, manifest: str | Path | None) -> Leaders | None:
    """The leading markets of a folder.

    Several files of one leader follow each other in time; where they overlap, the one that begins
    first counts.

    Args:
        folder: Folder of CSV or parquet files.
        manifest: Description of the files; the column `leader` has btc, spy, dxy or vix.

    Returns:
        None where no file is of a leader.

    Raises:
        InvalidRequest: There is no such leader, or its bars are of another width.
        InvalidCandles: A file cannot be read as candles; the message names it.
    """
    folder = Path(folder)
    if manifest is None or is_qlib(folder):
        return None
    parts: dict[str, list[Candles]] = {}
    for facts in list_files(folder, manifest):
        if facts.leader:
            if facts.leader not in LEADERS:
                raise InvalidRequest(
                    f"{manifest} names the leader {facts.leader!r} for {facts.file}; leaders are "
                    f"{', '.join(LEADERS)}."
                )
            parts.setdefault(facts.leader, []).append(_read(folder, facts))
    return Leaders(**{name: _joined(each) for name, each in parts.items()}) if parts else None


def _read(folder: Path, facts: FileFacts) -> Candles:
    frame = read_bars(folder / facts.file)
    interval = facts.interval or interval_of(frame["timestamp"])
    ticker = _TICKERS[facts.leader]
    placed = place_bars(
        pd.DatetimeIndex(frame["timestamp"]),
        interval=interval,
        symbol=ticker,
        clock=facts.clock or None,
        zone=facts.zone or None,
    )
    index = pd.DatetimeIndex(placed.index).tz_convert("UTC").as_unit("ns").rename("timestamp")
    bars = frame[list(COLUMNS)].astype(float).set_axis(index)
    return Candles(bars, interval, placed.zone, placed.calendar, ticker, facts.file)


def _joined(parts: list[Candles]) -> Candles:
    """Bars of one leader from several files, by time."""
    first, *later = sorted(parts, key=lambda each: each.frame.index[0])
    frame = first.frame
    for part in later:
        if part.interval != first.interval:
            raise InvalidRequest(
                f"{part.source} has bars of {part.interval}, {first.source} of {first.interval}. "
                "Name files of one width for a leader."
            )
        frame = pd.concat([frame, part.frame[part.frame.index > frame.index[-1]]])
    return Candles(frame, first.interval, first.zone, first.calendar, first.symbol, first.source)
