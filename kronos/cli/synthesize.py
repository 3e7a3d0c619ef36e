"""`kronos synthesize`: synthetic candles, and how realistic they are."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import add_file_options, read_file
from kronos.cli.options import add_device_option
from kronos.cli.terminal import ProgressLine, write_text
from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    from kronos.serving.jobs import JobStatus

__all__ = ["add_parser", "run"]

_EPILOG = """\
The model continues the bars of a file by --bars bars. Its window slides as the series grows; its
scale stays that of the file's last bars. A table on stderr compares the series with the file's own
bars: quantiles, spread and kurtosis of the returns, the Kolmogorov-Smirnov distance, the
autocorrelation of absolute returns at lags 1 to 20, volume. The band is the 95% range of block
bootstraps of the file of the same length: outside it a series differs from the file.

A model that reads events gets none, because synthetic bars have no calendar of releases.

examples:
  kronos synthesize bars.csv --bars 1000 -o made.csv
  kronos synthesize bars.csv --series 20 --seed 7 -o made/     made/NAME-synthetic-1.csv ...
  kronos fetch AAPL | kronos synthesize - --model small --report report.json -o made.csv

Every other command and the application read these files."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "synthesize",
        help="generate synthetic candles like those of a file",
        description="Continues a CSV of candles by synthetic bars, in one or several series.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE.csv", help="the candles; - reads standard input")
    parser.add_argument(
        "--model", default="bundled", help="name, folder or baseline (default: bundled)"
    )
    add_device_option(parser)
    add_file_options(parser.add_argument_group("data (default: inferred from the file)"))
    for name, default, text in (
        ("bars", 500, "bars of a series"),
        ("series", 1, "series"),
        ("seed", 0, "same seed, same series"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    parser.add_argument("--lookback", type=int, metavar="T", help="bars of the context")
    parser.add_argument(
        "-T", "--temperature", type=float, default=1.0, dest="T", metavar="T", help="default: 1"
    )
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="P",
        help="nucleus mass of tokens (default: .95, and 1 for models without tokens)",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="file, or a folder for several (default: stdout)"
    )
    parser.add_argument("--report", metavar="FILE", help="write the comparison here, as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos import models
    from kronos.export import candles_csv
    from kronos.serving.service import open_service
    from kronos.synthetic import SyntheticPlan, realism, series_request, synthetic_series
    from kronos.synthetic.realism import report_json, report_text

    if args.series > 1 and args.output is None:
        raise InvalidRequest("Several series need a folder: give it as --output.")
    top_p = args.top_p or (0.95 if models.draws_tokens(args.model) else 1.0)
    plan = SyntheticPlan(
        model=args.model,
        n_bars=args.bars,
        n_series=args.series,
        seed=args.seed,
        T=args.T,
        top_p=top_p,
        lookback=args.lookback,
    )
    source = read_file(args).known
    with (
        closing(open_service(args.device)) as service,
        ProgressLine("generating bars, step") as progress,
    ):

        def watch(status: JobStatus) -> None:
            progress(status.done, status.total)

        request = series_request(source, plan, service.facts(plan.model))
        forecast = service.run(request, watch=watch)
    series = synthetic_series(source, forecast)
    report = realism(source, series, seed=plan.seed) if args.report or not args.quiet else None
    if args.series == 1:
        write_text(args.output, candles_csv(series[0]))
    else:
        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        for each in series:
            write_text(str(folder / f"{_file_name(each.symbol)}.csv"), candles_csv(each))
    if report is not None and args.report:
        write_text(args.report, report_json(report, forecast))
    if report is not None and not args.quiet:
        sys.stderr.write(report_text(report))
    return 0


def _file_name(symbol: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in symbol)
