"""`kronos walk-forward`: many origins in the past, forecast, scored and stored."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import read_series
from kronos.cli.events import fetch_calendar, fetch_leaders
from kronos.cli.options import add_device_option, add_store_option, date_of
from kronos.cli.terminal import ProgressLine, duration
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecasters.baselines import BASELINES

if TYPE_CHECKING:
    from kronos.walk_forward import Series, WalkReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
Origins are drawn in every series, evenly spaced or every K bars. From each origin every model
forecasts as it could have then: it reads the bars up to the origin alone, and of the events of
`kronos events` list those known at the origin, if it reads events. Forecasts and their scores are
stored; the Track record page and kronos score show them.

A walk that was stopped, by Ctrl+C or by force, continues when started again: stored windows are not
computed again. Forecasts from origins before a model's training cut-off are stored too, and marked:
they prove nothing.

The folder holds CSV or parquet files of candles. A manifest can describe them: columns file and
optionally ticker, interval, clock and zone.

examples:
  kronos walk-forward                                    the bundled samples
  kronos walk-forward bars/ --since 2025-10-01 --models bundled baselines
  kronos walk-forward bars/ --every 24 --horizon 24 --paths 100
  kronos walk-forward bars/ --models bundled my-adapter small --store trial.sqlite3"""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "walk-forward",
        help="forecast many origins in the past, and score them",
        description="Forecasts many origins in the past of many series, scores them, and stores "
        "both.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="candle files (default: the bundled samples)"
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or parquet: file, and optionally ticker, interval, clock, zone",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=["bundled", "baselines"],
        metavar="NAME",
        help="as for kronos forecast; baselines stands for "
        f"{', '.join(BASELINES)} (default: bundled baselines)",
    )
    origins = parser.add_mutually_exclusive_group()
    origins.add_argument(
        "--origins", type=int, default=20, metavar="N", help="origins per series (default: 20)"
    )
    origins.add_argument("--every", type=int, metavar="K", help="an origin every K bars instead")
    parser.add_argument("--since", metavar="DATE", help="no origin before this day")
    parser.add_argument(
        "--history", type=int, default=256, help="fewest bars up to an origin (default: 256)"
    )
    parser.add_argument("--horizon", type=int, default=24, help="steps forecast (default: 24)")
    parser.add_argument("--lookback", type=int, help="bars read (default: the model's own)")
    parser.add_argument("--paths", type=int, help="paths per window (default: 32)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the paths")
    parser.add_argument(
        "--keep-paths",
        choices=("none", "close", "all"),
        default="none",
        help="paths to store beside quantiles and scores (default: none)",
    )
    add_device_option(parser)
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from contextlib import closing

    import pandas as pd

    from kronos.forecast import SamplingParameters
    from kronos.serving.service import open_service
    from kronos.store import open_store
    from kronos.walk_forward import WalkPlan, walk_forward
    from kronos.walk_forward.plan import PATHS

    since = date_of(args.since, "--since")
    plan = WalkPlan(
        models=tuple(_models(args.models)),
        horizon=args.horizon,
        sampling=SamplingParameters(sample_count=args.paths or PATHS, seed=args.seed),
        lookback=args.lookback,
        n_origins=args.origins,
        every=args.every,
        since=None if since is None else pd.Timestamp(since).tz_localize("UTC"),
        history=args.history,
    )
    store = open_store(args.store)
    series = _series(args)
    started = time.monotonic()
    with (
        closing(open_service(args.device)) as service,
        ProgressLine("windows", tells_time=True) as progress,
    ):
        leaders = None
        if any(service.facts(model).reads_events for model in plan.models):
            latest = max((one.candles for one in series), key=lambda one: one.frame.index[-1])
            leaders = fetch_leaders(latest)
            for one in series:
                fetch_calendar(
                    one.candles, plan.horizon, origin=plan.since or one.candles.frame.index[0]
                )
        report = walk_forward(
            service,
            store,
            series,
            plan,
            leaders=leaders,
            progress=progress,
            paths=args.keep_paths,
        )
    print(_report_text(report, time.monotonic() - started, store.address), file=sys.stderr)
    return 0


def _models(named: list[str]) -> list[str]:
    """The names, `baselines` replaced by theirs; each once, in order."""
    models = [model for name in named for model in (BASELINES if name == "baselines" else (name,))]
    return list(dict.fromkeys(models))


def _series(args: argparse.Namespace) -> list[Series]:
    """The series to walk through; stderr names files that cannot be read."""
    from kronos.walk_forward import Series

    if args.folder is None:
        from data_sources.samples import SAMPLES, SampleBars, load_sample

        return [Series(load_sample(key), SampleBars.name) for key in SAMPLES]
    series = []
    for found in read_series(args.folder, manifest=args.manifest):
        if isinstance(found, InvalidCandles):
            print(found, file=sys.stderr)
        else:
            series.append(found)
    if not series:
        raise InvalidRequest(f"{args.folder} holds no usable candle files.")
    return series


def _report_text(report: WalkReport, seconds: float, address: str) -> str:
    lines = [
        f"{report.n_stored:,} windows stored in {duration(seconds)}, {report.n_known:,} were "
        f"stored before; {report.n_series:,} series, in {address}."
    ]
    failed = sum(report.problems.values())
    if failed:
        lines.append(f"{failed:,} windows could not be forecast:")
        lines += [f"  {text} ({n} times)" for text, n in report.problems.most_common(5)]
    return "\n".join(lines)
