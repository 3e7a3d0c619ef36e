"""The bars of a command's CSV file, cut at the origin."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kronos.calendars import calendar_note
from kronos.candles import Candles
from kronos.cli.terminal import read_bytes
from kronos.errors import InvalidRequest

__all__ = ["FileBars", "read_bars"]

_MIN_BARS = 2


@dataclass(frozen=True, slots=True, eq=False)
class FileBars:
    """The bars of a file.

    Attributes:
        candles: All of them.
        known: Those up to the origin.
    """

    candles: Candles
    known: Candles


def read_bars(args: argparse.Namespace, *, horizon: int = 1) -> FileBars:
    """Read the file, and say on stderr how it was understood, unless --quiet.

    Args:
        args: Options of `add_data_options`, with `file` and `quiet`.
        horizon: Bars that are going to be forecast; a note says where holidays are not recorded.

    Raises:
        InvalidCandles: The file cannot be used; the message names the row and column.
        InvalidRequest: An option is wrong, or the origin leaves nothing to read.
    """
    # The command is the one place in `kronos` that may use data_sources: like the pages of the
    # application it stands above both. The library below never imports it.
    from data_sources.csv.reader import MAX_BYTES, CsvChoices, read_csv

    name = "standard input" if args.file == "-" else Path(args.file).name
    choices = CsvChoices(
        clock=args.clock,
        day_first=args.day_first,
        symbol=args.symbol,
        calendar=args.calendar,
        interval=args.interval,
    )
    # One byte more than is allowed, so that the reader can refuse what is larger.
    reading = read_csv(read_bytes(args.file, limit=MAX_BYTES + 1), name, choices=choices)
    candles = reading.candles
    bars = candles.frame.tz_convert(candles.zone)
    origin = bars.index[-1] if args.origin is None else _origin(args.origin, candles)
    stamps = pd.DatetimeIndex(bars.index)
    if origin > stamps[-1]:
        raise InvalidRequest(
            f"--origin {args.origin} lies behind the last bar of {name}, {stamps[-1]}. Leave it "
            "out to forecast from there."
        )
    n_known = int((stamps <= origin).sum())
    if n_known < _MIN_BARS:
        raise InvalidRequest(
            f"--origin {args.origin} leaves {n_known} bars of {name} to read; the first bar "
            f"is at {bars.index[0]}. Choose a later time."
        )
    known = candles.slice(None, n_known)
    notes = reading.report.lines()
    if note := calendar_note(candles.calendar, known.future(horizon)[-1]):
        notes.append(note)
    if not args.quiet:
        print("\n".join(notes), file=sys.stderr)
    return FileBars(candles, known)


def _origin(text: str, candles: Candles) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(text)
    except ValueError as exc:
        raise InvalidRequest(
            f'--origin must be a time such as "2024-11-01 15:30", found {text!r}.'
        ) from exc
    if pd.isna(moment):
        raise InvalidRequest(f"--origin must be a time, found {text!r}.")
    if moment.tzinfo is None:
        return moment.tz_localize(candles.zone, ambiguous=False, nonexistent="shift_forward")
    return moment.tz_convert(candles.zone)
