"""`kronos score`: stored forecasts against what happened."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import warn_of_clock
from kronos.cli.options import add_store_option, moment_of
from kronos.cli.terminal import columns_text, read_bytes, write_text

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles
    from kronos.store.resolving import Due
    from kronos.store.scoring import ScoreReport

__all__ = ["add_parser", "run"]

_FILE_SOURCE = "CSV file"
"""Source recorded for the bars of CSV files."""

_EPILOG = """\
Files: the bars of a file score a forecast of the same symbol and interval if the file reaches back
to its origin. Sources: every forecast of a source's bars is scored by new bars of that source.
Scoring twice records nothing twice.

Only bars that have ended count. A bar is recorded as missing if later ones exist. A bar that is
published late, or changed by its source, adds a new revision to the step, and the older one stays.
Scores are of log-returns from the origin.

columns of the table:
  made            ahead: stored before the bar had ended; afterwards: a backtest
  missing         steps whose bar is missing
  crps            fair CRPS over sigma * sqrt(steps), sigma being the volatility at the origin
  interval_score  weighted interval score of the median and seven bands, over the same
  coverage        share of outcomes between p10 and p90 (80% would be perfect)
  width           p90 - p10, over the same
  mae             mean distance of the median, in log-returns
  direction       share of moves with the sign of the median

examples:
  kronos score bars.csv more.csv
  kronos score --source yahoo
  kronos score bars.csv --as-of 2026-11-01
  kronos score                       the table alone; kronos store export has every step"""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "score",
        help="score stored forecasts against what happened",
        description="Scores stored forecasts whose bars have ended, and prints a table by model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("files", metavar="FILE.csv", nargs="*", help="candles to score with")
    parser.add_argument(
        "--source",
        metavar="NAME",
        help="fetch bars from this source: samples, yahoo, or an exchange such as binance",
    )
    parser.add_argument(
        "--as-of", metavar="TIME", help="score as of this time, UTC without an offset"
    )
    parser.add_argument("--symbol", help="symbol of the instrument, if the file's name is another")
    parser.add_argument("--interval", help="width of a bar, such as 5m, 1h, 1d")
    parser.add_argument("--clock", metavar="ZONE", help="clock of times without an offset")
    parser.add_argument(
        "--calendar", help="24/7, fx, metals, weekdays or an exchange code such as XNYS"
    )
    parser.add_argument("--format", choices=("table", "csv"), default="table")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.store import open_store
    from kronos.store.record import summarise
    from kronos.store.resolving import resolve, stored_series
    from kronos.store.scoring import ScoreReport, score_candles

    as_of = moment_of(args.as_of, "--as-of")
    if args.source:
        from data_sources.registry import open_source

        open_source(args.source)  # an unknown name fails before anything is scored
    store = open_store(args.store)
    report, failed = ScoreReport(), 0
    for name in args.files:
        candles = _read(name, args)
        found = score_candles(store, candles, bars_source=_FILE_SOURCE, as_of=as_of)
        if not found.n_predictions:
            print(
                f"{name}: the store has no forecast of {candles.symbol} at {candles.interval}; "
                "--symbol gives the symbol of the file.",
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
        print(_report_text(report), file=sys.stderr)
    table = summarise(store)
    render = _table if args.format == "table" else _csv
    write_text(args.output, render(table))
    return 2 if failed else 0


def _read(name: str, args: argparse.Namespace) -> Candles:
    from data_sources.csv.reader import MAX_BYTES, CsvChoices, read_csv

    choices = CsvChoices(
        clock=args.clock, symbol=args.symbol, calendar=args.calendar, interval=args.interval
    )
    data = read_bytes(name, limit=MAX_BYTES + 1)
    reading = read_csv(data, Path(name).name, choices=choices)
    warn_of_clock(Path(name).name, reading.report.clocks)
    return reading.candles


def _fetch(due: Due) -> Candles:
    from data_sources.registry import open_source

    source = open_source(due.source)
    return source.fetch(due.instrument, interval=due.interval, start=due.since).candles


def _report_text(report: ScoreReport) -> str:
    steps = ", ".join(f"{count:,} {name}" for name, count in sorted(report.recorded.items()))
    plural = "" if report.n_predictions == 1 else "s"
    lines = [
        f"{report.n_predictions:,} forecast{plural} looked at; new steps: {steps or 'none'}; "
        f"{report.n_pending:,} still to come."
    ]
    if report.n_without_origin:
        lines.append(
            f"{report.n_without_origin:,} forecasts left out: there is no bar at their origin."
        )
    if report.n_disputed:
        lines.append(f"{report.n_disputed:,} steps unchanged: a bar of another source scored them.")
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
    return columns_text(rows, n_left=3)
