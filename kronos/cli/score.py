"""`kronos score`: what became of the stored forecasts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.store import add_store_option
from kronos.cli.terminal import read_bytes, write_text
from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles
    from kronos.store.resolving import Due
    from kronos.store.scoring import ScoreReport

__all__ = ["add_parser", "moment_of", "run"]

_FILE_SOURCE = "CSV file"
"""What is recorded as the source of bars that come from files, whatever these are called."""

_EPILOG = """\
Files: a forecast is scored by the bars of a file when symbol and interval are the same and the
file reaches back to its origin. Sources: every forecast whose bars came from that source is
scored by asking it again. Doing it twice records nothing twice.

Only bars that have ended count. A bar that is not there although later ones are is recorded as
missing. A bar that comes later, or is changed by its source, adds a new revision to the step, and
the older one stays. Scores are of log-returns from the origin.

columns of the table:
  made            ahead: stored before the bar had ended; afterwards: a backtest
  missing         steps whose bar never came
  crps            fair CRPS over sigma * sqrt(steps), sigma being the volatility at the origin
  interval_score  weighted interval score of the median and seven bands, over the same
  coverage        share of outcomes between p10 and p90 (80% would be perfect)
  width           p90 - p10, over the same
  mae             mean distance of the median, in log-returns
  direction       share of moves whose sign the median had

examples:
  kronos score bars.csv more.csv
  kronos score --source yahoo
  kronos score bars.csv --as-of 2026-11-01
  kronos score                       the table alone; kronos store export has every step"""


def add_parser(subparsers: Any) -> None:
    """Describes the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "score",
        help="score stored forecasts against what happened",
        description="Scores the stored forecasts whose bars have come, and prints how models "
        "have fared.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("files", metavar="FILE.csv", nargs="*", help="candles to score with")
    parser.add_argument(
        "--source",
        metavar="NAME",
        help="ask this source for bars: samples, yahoo, or an exchange such as binance",
    )
    parser.add_argument(
        "--as-of", metavar="TIME", help="as if it were this time, UTC unless it says so"
    )
    parser.add_argument("--symbol", help="name of the instrument, where the file does not say it")
    parser.add_argument("--interval", help="width of a bar, such as 5m, 1h, 1d")
    parser.add_argument("--clock", metavar="ZONE", help="clock of times without an offset")
    parser.add_argument("--calendar", help="24/7, fx, weekdays or an exchange code such as XNYS")
    parser.add_argument("--format", choices=("table", "csv"), default="table")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Scores, tells on stderr what was done, and prints the table; see `kronos.cli`."""
    from kronos.store import open_store
    from kronos.store.record import summarise
    from kronos.store.resolving import resolve, stored_series
    from kronos.store.scoring import ScoreReport, score_candles

    as_of = moment_of(args.as_of, "--as-of")
    if args.source:
        from data_sources.registry import open_source

        open_source(args.source)  # an unknown name is told before anything is done
    store = open_store(args.store)
    report, failed = ScoreReport(), 0
    for name in args.files:
        candles = _read(name, args)
        found = score_candles(store, candles, bars_source=_FILE_SOURCE, as_of=as_of)
        if not found.n_predictions:
            print(
                f"{name}: the store has no forecast of {candles.symbol} at {candles.interval}; "
                "--symbol names what the file is of.",
                file=sys.stderr,
            )
        report.add(found)
    if args.source:
        resolved = resolve(store, stored_series(store, args.source), _fetch, as_of=as_of)
        for due, error in resolved.failures.items():
            print(f"{due.instrument} {due.interval}: {error}", file=sys.stderr)
        report.add(resolved.report)
        failed = len(resolved.failures)
    if args.files or args.source:
        print(_told(report), file=sys.stderr)
    table = summarise(store)
    render = _table if args.format == "table" else _csv
    write_text(args.output, render(table))
    return 2 if failed else 0


def moment_of(text: str | None, option: str) -> pd.Timestamp | None:
    """The time an option names, UTC unless it says so; None for None.

    Raises:
        InvalidRequest: It is no time.
    """
    import pandas as pd

    if text is None:
        return None
    moment = pd.to_datetime(text, errors="coerce")
    if pd.isna(moment):
        raise InvalidRequest(f"{option} must be a time such as 2026-11-01, found {text!r}.")
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def _read(name: str, args: argparse.Namespace) -> Candles:
    from data_sources.csv.reader import MAX_BYTES, CsvChoices, read_csv

    choices = CsvChoices(
        clock=args.clock, symbol=args.symbol, calendar=args.calendar, interval=args.interval
    )
    data = read_bytes(name, limit=MAX_BYTES + 1)
    return read_csv(data, Path(name).name, choices=choices).candles


def _fetch(due: Due) -> Candles:
    from data_sources.registry import open_source

    source = open_source(due.source)
    return source.fetch(due.instrument, interval=due.interval, start=due.since).candles


def _told(report: ScoreReport) -> str:
    steps = ", ".join(f"{count:,} {name}" for name, count in sorted(report.recorded.items()))
    plural = "" if report.n_predictions == 1 else "s"
    lines = [
        f"{report.n_predictions:,} forecast{plural} looked at; new steps: {steps or 'none'}; "
        f"{report.n_pending:,} still to come."
    ]
    if report.n_without_origin:
        lines.append(
            f"{report.n_without_origin:,} forecasts left out: the bars have none at their origin."
        )
    if report.n_disputed:
        lines.append(
            f"{report.n_disputed:,} steps left as they are: another source's bar scored them."
        )
    return "\n".join(lines)


def _csv(table: pd.DataFrame) -> str:
    from kronos.export import cell_text

    return table.assign(model=table["model"].map(cell_text)).to_csv(index=False)


def _table(table: pd.DataFrame) -> str:
    if table.empty:
        return "Nothing has been scored yet.\n"
    counts = {"predictions", "steps", "missing"}
    rows = [list(table.columns)]
    for row in table.itertuples(index=False):
        rows.append(
            [
                value if isinstance(value, str) else f"{value:.0f}" if name in counts
                else f"{value:.4f}"
                for name, value in zip(table.columns, row, strict=True)
            ]
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]
    return "\n".join(lines) + "\n"
