"""Instruments of a command: a folder of candle files, symbols of a source, or the samples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.errors import InvalidRequest, KronosError

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles

__all__ = ["add_universe_arguments", "read_universe"]


def add_universe_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which instruments there are."""
    group = parser.add_argument_group("universe (default: the bundled daily samples, two shares)")
    group.add_argument("--data", metavar="FOLDER", help="folder of CSV or parquet candle files")
    group.add_argument(
        "--symbols",
        nargs="+",
        metavar="SYMBOL",
        help="symbols of --source; - reads them from standard input, such as a watchlist's text",
    )
    group.add_argument("--source", default="yahoo", metavar="NAME", help="default: yahoo")
    group.add_argument("--interval", default="1d", help="width of the bars (default: 1d)")


def read_universe(args: argparse.Namespace, start: pd.Timestamp | None) -> dict[str, Candles]:
    """The bars, by symbol or file name; what cannot be used is told on stderr and left out.

    Args:
        args: Of the command.
        start: How far back a source is asked; None for all it likes to give.

    Raises:
        InvalidRequest: The folder is not there, or nothing could be used.
    """
    if args.data and args.symbols:
        raise InvalidRequest("Give --data or --symbols, not both.")
    if args.data:
        found = _of_folder(Path(args.data), args.interval)
    elif args.symbols:
        found = _of_source(args.source, _symbols(args.symbols), args.interval, start)
    else:
        found = _samples(args.interval)
    if not found:
        raise InvalidRequest(
            f"No instrument has bars of {args.interval} that could be used; what is wrong with "
            "each is told above. --interval chooses another width."
        )
    return found


def _of_folder(folder: Path, interval: str) -> dict[str, Candles]:
    if not folder.is_dir():
        raise InvalidRequest(f"--data {folder} is not a folder. Give the folder of candle files.")
    found: dict[str, Candles] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".csv", ".parquet"}):
        try:
            candles = _read(path)
        except KronosError as error:
            print(f"{path.name} is left out: {error}", file=sys.stderr)
            continue
        if candles.interval == interval:
            found[str(path.relative_to(folder).with_suffix(""))] = candles
        else:
            print(
                f"{path.name} is left out: its bars are {candles.interval} wide, not {interval}.",
                file=sys.stderr,
            )
    return found


def _read(path: Path) -> Candles:
    from data_sources.csv.reader import read_csv
    from kronos.candles import Candles
    from kronos.training.candle_files import read_bars

    if path.suffix == ".csv":
        return read_csv(path.read_bytes(), path.name).candles
    symbol = path.name.partition(".")[0].partition("_")[0]
    return Candles.from_frame(read_bars(path), symbol=symbol, source=path.name)


def _symbols(given: list[str]) -> list[str]:
    text = " ".join(sys.stdin.read() if each == "-" else each for each in given)
    return list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))


def _of_source(
    name: str, symbols: list[str], interval: str, start: pd.Timestamp | None
) -> dict[str, Candles]:
    from data_sources.registry import open_source

    source, found = open_source(name), {}
    for symbol in symbols:
        try:
            bars = source.fetch(symbol, interval=interval, start=start)
        except KronosError as error:
            print(f"{symbol} is left out: {error}", file=sys.stderr)
            continue
        found[symbol] = bars.candles
    return found


def _samples(interval: str) -> dict[str, Candles]:
    from data_sources.samples import SAMPLES, load_sample

    return {
        sample.symbol: load_sample(key)
        for key, sample in SAMPLES.items()
        if sample.interval == interval
    }
