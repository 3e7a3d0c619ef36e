"""The bars that commands work on: a file, a universe, a folder to walk through, a corpus.

The command line is the one place in `kronos` that may use `data_sources`: like the pages of the
application it stands above both. The library below never imports it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.options import date_of
from kronos.cli.terminal import read_bytes
from kronos.errors import InvalidCandles, InvalidRequest, KronosError

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles
    from kronos.events import Event
    from kronos.training.files import FileFacts
    from kronos.training.run import DataConfig
    from kronos.walk_forward import Series

__all__ = [
    "FileBars",
    "add_corpus_options",
    "add_events_option",
    "add_file_options",
    "add_universe_options",
    "corpus_config",
    "read_file",
    "read_series",
    "read_universe",
    "require_folder",
    "warn_of_clock",
]

_MIN_BARS = 2
_FILES = "files"  # source that forecasts of candle files are stored under


def add_file_options(group: Any) -> None:
    """Add the options of a file of candles: how it is read, and its origin."""
    group.add_argument("--interval", help="width of a bar, such as 5m, 1h, 1d")
    group.add_argument(
        "--clock",
        metavar="ZONE",
        help="clock of times without an offset, such as UTC, America/New_York or "
        '"New York + 7 h" (default: the one on which the bars keep the hours of their calendar)',
    )
    group.add_argument(
        "--calendar", help="24/7, fx, metals, weekdays or an exchange code such as XNYS"
    )
    group.add_argument("--symbol", help="name of the instrument")
    group.add_argument(
        "--day-first",
        action=argparse.BooleanOptionalAction,
        help="03/04/2024 is the third of April (or, with --no-day-first, the fourth of March)",
    )
    group.add_argument(
        "--origin",
        metavar="TIME",
        help="forecast as if the last bar were the one at or before this time, on the exchange's "
        "clock unless it names another (default: the last bar)",
    )


@dataclass(frozen=True, slots=True, eq=False)
class FileBars:
    """The bars of a file: all of them, and those up to the origin."""

    candles: Candles
    known: Candles


def read_file(args: argparse.Namespace, *, horizon: int = 1) -> FileBars:
    """Read the file, and report on stderr how it was understood, unless --quiet.

    Args:
        args: Options of `add_file_options`, with `file` and `quiet`.
        horizon: Bars to forecast; a note says if their holidays are not recorded.

    Raises:
        InvalidCandles: The file cannot be used; the message names the row and column.
        InvalidRequest: An option is wrong, or the origin leaves too few bars.
    """
    import pandas as pd

    from data_sources.csv.reader import MAX_BYTES, CsvChoices, read_csv
    from kronos.calendars import calendar_note

    name = "standard input" if args.file == "-" else Path(args.file).name
    choices = CsvChoices(
        clock=args.clock,
        day_first=args.day_first,
        symbol=args.symbol,
        calendar=args.calendar,
        interval=args.interval,
    )
    # One byte above the limit, so that the reader can refuse a larger file.
    reading = read_csv(read_bytes(args.file, limit=MAX_BYTES + 1), name, choices=choices)
    candles = reading.candles
    bars = candles.frame.tz_convert(candles.zone)
    origin = bars.index[-1] if args.origin is None else _origin(args.origin, candles)
    stamps = pd.DatetimeIndex(bars.index)
    if origin > stamps[-1]:
        raise InvalidRequest(
            f"--origin {args.origin} lies after the last bar of {name}, {stamps[-1]}. Leave it "
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
    warn_of_clock(name, reading.report.clocks)
    return FileBars(candles, known)


def warn_of_clock(name: str, clocks: tuple[str, ...], *, option: str = "--clock ZONE") -> None:
    """Say on stderr, with --quiet as well, that the bars of a file do not decide their clock.

    Args:
        name: Name of the file.
        clocks: Clocks that explain the file, the assumed one first; empty if it is known.
        option: What sets the clock.
    """
    if clocks:
        from data_sources.csv.report import clock_question

        print(f"warning: {name}: {clock_question(clocks)} with {option}.", file=sys.stderr)


def _origin(text: str, candles: Candles) -> pd.Timestamp:
    import pandas as pd

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


def add_universe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a universe of instruments."""
    group = parser.add_argument_group("universe (default: the bundled daily samples, two shares)")
    group.add_argument(
        "--data",
        metavar="FOLDER",
        help="folder of candle files (CSV, parquet, feather, xlsx), or Qlib data",
    )
    group.add_argument(
        "--market", default="all", help="for Qlib data: list of members (default: all)"
    )
    group.add_argument(
        "--symbols",
        nargs="+",
        metavar="SYMBOL",
        help="symbols of --source; - reads them from standard input, such as a watchlist's text",
    )
    group.add_argument("--source", default="yahoo", metavar="NAME", help="default: yahoo")
    group.add_argument("--interval", default="1d", help="width of the bars (default: 1d)")


def read_universe(args: argparse.Namespace, start: pd.Timestamp | None) -> dict[str, Candles]:
    """The bars of a universe, by symbol or file name; stderr names those left out.

    Args:
        args: Options of `add_universe_options`.
        start: First bar to fetch from a source; None for all that it offers.

    Raises:
        InvalidRequest: There is no such folder, or no usable instrument.
    """
    if args.data and args.symbols:
        raise InvalidRequest("Give --data or --symbols, not both.")
    if args.data:
        found = _of_folder(Path(args.data), args.interval, args.market)
    elif args.symbols:
        found = _of_source(args.source, _symbols(args.symbols), args.interval, start)
    else:
        found = _samples(args.interval)
    if not found:
        raise InvalidRequest(
            f"No instrument has usable bars of {args.interval}; the lines above say why. "
            "--interval chooses another width."
        )
    return found


def _of_folder(folder: Path, interval: str, market: str) -> dict[str, Candles]:
    from kronos.training.files import READERS, is_qlib

    require_folder(folder)
    if is_qlib(folder):
        return _of_qlib(folder, interval, market)
    found: dict[str, Candles] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in READERS):
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


def _of_qlib(folder: Path, interval: str, market: str) -> dict[str, Candles]:
    from kronos.training.files import QLIB_INTERVALS, QlibFolder, without_factor

    names = {width: name for name, width in QLIB_INTERVALS.items()}
    if interval not in names:
        raise InvalidRequest(
            f"Qlib data has no bars of {interval}. --interval chooses among {', '.join(names)}."
        )
    qlib = QlibFolder(folder, market=market, frequency=names[interval])
    found: dict[str, Candles] = {}
    for facts in qlib.instruments():
        try:
            found[facts.file] = qlib.candles(facts.file)
        except KronosError as error:
            print(f"{facts.file} is left out: {error}", file=sys.stderr)
    if note := without_factor(qlib, list(found)):
        print(f"warning: {note}", file=sys.stderr)
    return found


def _read(path: Path) -> Candles:
    from data_sources.csv.reader import read_csv
    from kronos.candles import Candles
    from kronos.training.files import read_bars

    if path.suffix != ".parquet":
        reading = read_csv(path.read_bytes(), path.name)
        warn_of_clock(path.name, reading.report.clocks, option="an offset such as +00:00 in it")
        return reading.candles
    symbol = path.name.partition(".")[0].partition("_")[0]
    return Candles.from_frame(read_bars(path), symbol=symbol, source=path.name)


def _symbols(given: list[str]) -> list[str]:
    text = " ".join(sys.stdin.read() if each == "-" else each for each in given)
    return list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))


def require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidRequest(f"--data {folder} is not a folder. Give the folder of candle files.")


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


def read_series(
    folder: str | Path, *, manifest: str | Path | None = None
) -> Iterator[Series | InvalidCandles]:
    """The series of every file of a folder, or its error, in the order of the files.

    Args:
        folder: Folder of CSV, parquet, feather or xlsx files, at any depth.
        manifest: Description of the files; see `kronos.training.corpus`.

    Raises:
        InvalidRequest: The manifest cannot be read.
    """
    from kronos.training.files import list_files
    from kronos.walk_forward import Series

    for facts in list_files(Path(folder), manifest):
        try:
            yield Series(_placed(Path(folder), facts), _FILES)
        except InvalidCandles as error:
            yield InvalidCandles(f"{facts.file} is left out: {error}")


def _placed(folder: Path, facts: FileFacts) -> Candles:
    """The bars of a file on the calendar and clock of its facts."""
    import pandas as pd

    from kronos.calendars import place_bars
    from kronos.candles import COLUMNS, Candles
    from kronos.training.files import interval_of, read_bars

    frame = read_bars(folder / facts.file)
    interval = facts.interval or interval_of(frame["timestamp"])
    placed = place_bars(
        pd.DatetimeIndex(frame["timestamp"]),
        interval=interval,
        symbol=facts.symbol,
        clock=facts.clock or None,
        zone=facts.zone or None,
    )
    warn_of_clock(facts.file, placed.clocks, option="the column clock of a manifest")
    bars = (
        frame[list(COLUMNS)].astype(float).set_axis(placed.index.as_unit("ns").rename("timestamp"))
    )
    prices = bars[list(COLUMNS[:4])]
    # Files of reduced precision have highs a digit below their closes.
    bars["high"], bars["low"] = prices.max(axis=1), prices.min(axis=1)
    return Candles(bars, interval, placed.zone, placed.calendar, facts.symbol, _FILES)


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a corpus with held-out families."""
    parser.add_argument("--data", required=True, metavar="FOLDER", help="folder of candle files")
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or parquet: file, and optionally interval, group, family, ticker, clock, zone",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=1 / 12,
        metavar="SHARE",
        help="share of families held out, chosen by the hash of their name (default 1/12); "
        "0 trains on, or scores, every series",
    )


def add_events_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the events of a corpus, for models that read events."""
    parser.add_argument(
        "--events",
        nargs="*",
        metavar="FILE",
        help=f"{purpose}: those of `kronos events`, and those of these tables",
    )


def corpus_config(args: argparse.Namespace) -> DataConfig:
    """The options of `add_corpus_options` and `add_events_option` as a `DataConfig`."""
    from kronos.training.corpus import Holdout
    from kronos.training.run import DataConfig

    folder = Path(args.data)
    require_folder(folder)
    stop = date_of(getattr(args, "until", None), "--until")
    manifest = Path(args.manifest) if args.manifest else None
    if manifest is not None and not manifest.is_file():
        raise InvalidRequest(f"--manifest {manifest} is not there.")
    files = getattr(args, "events", None)
    events = () if files is None else _events(files)
    return DataConfig(folder, manifest, Holdout(args.holdout), stop, events)


def _events(files: list[str]) -> tuple[Event, ...]:
    """The calendar of this machine, with the events of further tables."""
    from kronos.events import EventTable, load_events, merge_events, read_events
    from kronos.events.csv_file import MAX_BYTES

    tables = [EventTable("calendar", load_events())]
    for name in files:
        data = read_bytes(name, limit=MAX_BYTES + 1)
        tables.append(EventTable(name, read_events(data, name)))
    return tuple(event.as_read for event in merge_events(tables))
