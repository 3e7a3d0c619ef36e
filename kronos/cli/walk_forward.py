"""`kronos walk-forward`: many origins in the past, forecast, scored and stored."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from kronos.cli.store import add_store_option
from kronos.cli.terminal import ProgressLine, duration
from kronos.cli.train import date_of
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecasters.baselines import BASELINES

if TYPE_CHECKING:
    from kronos.walk_forward import Series, WalkReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
Every series gives origins, evenly spaced or every K bars. From each origin every model forecasts
what it could have forecast then: it reads the bars up to the origin alone. Forecasts and their
scores go into the store of forecasts; the Track record page and kronos score show them.

A walk that was stopped, by Ctrl+C or by force, goes on when started again: what is in the store is
not computed again. Forecasts from origins before a model's training cut-off are stored too, and
marked: they prove nothing.

The folder holds CSV or parquet files of candles. A manifest can say more of each: columns file and
optionally ticker, interval, clock and zone.

examples:
  kronos walk-forward                                    the bundled samples
  kronos walk-forward bars/ --since 2025-10-01 --models bundled baselines
  kronos walk-forward bars/ --every 24 --horizon 24 --paths 100
  kronos walk-forward bars/ --models bundled my-adapter small --store trial.sqlite3"""


def add_parser(subparsers: Any) -> None:
    """Describes the command; see `kronos.cli`."""
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
    parser.add_argument("--manifest", metavar="FILE", help="what is known of the files")
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
        "--history", type=int, default=256, help="bars up to each origin, at least (default: 256)"
    )
    parser.add_argument("--horizon", type=int, default=24, help="steps forecast (default: 24)")
    parser.add_argument("--lookback", type=int, help="bars read (default: what suits the model)")
    parser.add_argument("--paths", type=int, help="paths per window (default: 32)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the paths")
    parser.add_argument(
        "--keep-paths",
        choices=("none", "close", "all"),
        default="none",
        help="what to keep beside quantiles and scores (default: none)",
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU if there is one)")
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Walks, and tells on stderr what was done; see `kronos.cli`."""
    from contextlib import closing

    import pandas as pd

    from kronos.forecast import SamplingParameters
    from kronos.serving.service import LocalService
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
        closing(LocalService(device=args.device)) as service,
        ProgressLine("windows", tells_time=True) as progress,
    ):
        report = walk_forward(
            service, store, series, plan, progress=progress, paths=args.keep_paths
        )
    print(_told(report, time.monotonic() - started, store.address), file=sys.stderr)
    return 0


def _models(named: list[str]) -> list[str]:
    """The names, `baselines` replaced by theirs; each once, in order."""
    models = [model for name in named for model in (BASELINES if name == "baselines" else (name,))]
    return list(dict.fromkeys(models))


def _series(args: argparse.Namespace) -> list[Series]:
    """The series to walk through; files that cannot be read are told and left out."""
    from kronos.walk_forward import Series
    from kronos.walk_forward.files import read_series

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
        raise InvalidRequest(f"{args.folder} holds no candle files that can be used.")
    return series


def _told(report: WalkReport, seconds: float, address: str) -> str:
    lines = [
        f"{report.n_stored:,} windows stored in {duration(seconds)}, {report.n_known:,} were "
        f"there before; {report.n_series:,} series, in {address}."
    ]
    failed = sum(report.problems.values())
    if failed:
        lines.append(f"{failed:,} windows could not be forecast:")
        lines += [f"  {text} ({n} times)" for text, n in report.problems.most_common(5)]
    return "\n".join(lines)
