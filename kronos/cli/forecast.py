"""`kronos forecast`: a CSV of candles in, quantiles of its future out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import add_file_options, read_file
from kronos.cli.events import fetch_calendar, fetch_leaders
from kronos.cli.options import add_device_option, add_store_option
from kronos.cli.terminal import ProgressLine, write_bytes, write_text
from kronos.errors import InvalidRequest
from kronos.forecasters.baselines import BASELINES
from kronos.system import collector_paused

if TYPE_CHECKING:
    from kronos.forecast import Forecast
    from kronos.plot import PictureKind
    from kronos.serving.jobs import JobStatus

__all__ = ["add_parser", "run"]

_EPILOG = """\
The file needs a column of times and open, high, low, close; volume and amount are optional. Column
names, separators, date formats and the exchange's calendar are recognised; stderr reports how the
file was read (--quiet hides it). Nothing is sent anywhere.

A model that reads events gets those of `kronos events` list; events that visitors add on the pages
belong to their sessions and are not read here.

Output: one row per future bar with the quantiles p10 to p90 and the mean of the close over all
paths. JSON also has everything needed to repeat the forecast. With --origin in the past, the actual
closes stand beside the quantiles. With --save the forecast is stored, and kronos score scores it
once its bars have ended.

examples:
  kronos forecast bars.csv
  kronos forecast bars.csv --horizon 48 --paths 200 --seed 7 -o forecast.csv
  kronos forecast bars.csv --model small --format json | jq .close_quantiles.p50
  kronos forecast bars.csv --model ewma
  kronos forecast bars.csv --clock UTC --calendar XNYS --interval 1h
  kronos forecast bars.csv --origin "2024-11-01 15:30" --paths-out paths.csv
  kronos forecast bars.csv --quantiles 1 5 50 95 99
  kronos forecast bars.csv --chart-out fan.png
  kronos forecast bars.csv --stop 98 --target 105 --budget 1 --risk-out risk.csv
  kronos forecast bars.csv --corridor 80 --implied 62
  kronos forecast bars.csv --save
  curl -s https://example.com/bars.csv | kronos forecast - --symbol BTCUSD --calendar 24/7

Forecasts are samples of a statistical model, not advice."""


_OPTIONS = {
    "T": "--temperature",
    "top_p": "--top-p",
    "top_k": "--top-k",
    "sample_count": "--paths",
    "seed": "--seed",
}
"""Options of the sampling parameters."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "forecast",
        help="forecast the candles of a file",
        description="Samples future paths of the candles in a file (CSV, Parquet, Feather, xlsx).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE.csv", help="the candles; - reads standard input")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default="bundled",
        metavar="NAME",
        help="bundled, mini, small, base, a folder, ensemble, or a baseline: "
        f"{', '.join(BASELINES)} (default: bundled, which needs no network)",
    )
    add_device_option(model)
    add_file_options(parser.add_argument_group("data (default: inferred from the file)"))
    _add_sampling_options(parser.add_argument_group("sampling"))
    _add_output_options(parser.add_argument_group("output"))
    _add_risk_options(parser.add_argument_group("risk"))


def _add_sampling_options(group: Any) -> None:
    group.add_argument(
        "--horizon", type=int, default=24, metavar="H", help="bars to forecast (default: 24)"
    )
    group.add_argument(
        "--lookback",
        type=int,
        metavar="T",
        help="bars the model reads (default: the model's own)",
    )
    group.add_argument(
        "-T",
        "--temperature",
        type=float,
        default=1.0,
        dest="T",
        metavar="T",
        help="below 1 narrower, above 1 wider, 0 the single most likely path (default: 1)",
    )
    group.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="keep the likeliest tokens up to this mass (default: 1, all)",
    )
    group.add_argument(
        "--top-k",
        type=int,
        default=0,
        metavar="K",
        help="keep the K likeliest tokens (default: 0, all)",
    )
    group.add_argument(
        "--paths", type=int, default=100, metavar="N", help="futures to sample (default: 100)"
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="S", help="same seed, same paths (default: 0)"
    )


def _add_output_options(group: Any) -> None:
    group.add_argument(
        "--format", choices=("csv", "json"), default="csv", help="of the output (default: csv)"
    )
    group.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    group.add_argument(
        "--paths-out", metavar="FILE", help="also write every candle of every path, as CSV"
    )
    group.add_argument(
        "--chart-out", metavar="FILE", help="also draw the fan: a file that ends in .png or .svg"
    )
    group.add_argument(
        "--quantiles",
        type=float,
        nargs="+",
        metavar="P",
        help="in percent, from 1 to 99 (default: 10 25 50 75 90)",
    )
    group.add_argument(
        "--calibrated",
        action="store_true",
        help="correct the fan by the model's record, its drift as well: stderr says how much of "
        "the model's drift is kept; a saved forecast stays raw",
    )
    group.add_argument("--save", action="store_true", help="store the forecast")
    add_store_option(group)
    group.add_argument(
        "-q", "--quiet", action="store_true", help="do not report how the file was read"
    )


def _add_risk_options(group: Any) -> None:
    group.add_argument(
        "--risk-out",
        metavar="FILE",
        help="also write value at risk, shortfall and drawdown, long and short, and the figures of "
        "the options below, each with its standard error, as CSV; JSON has them as well where one "
        "of these options is given",
    )
    group.add_argument("--stop", type=float, metavar="PRICE", help="closes with a loss")
    group.add_argument(
        "--target", type=float, metavar="PRICE", help="closes with a gain; which is first?"
    )
    group.add_argument(
        "--budget",
        type=float,
        metavar="PERCENT",
        help="of the capital that may be lost at the stop: the size of the position",
    )
    group.add_argument(
        "--between",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="probability that the last close ends between two prices",
    )
    group.add_argument(
        "--implied",
        type=float,
        metavar="PERCENT",
        help="annual volatility of the options market: its cone stands beside the quantiles, and "
        "the probability of each beyond the other's 80%% range among the risk figures",
    )
    group.add_argument(
        "--corridor",
        type=float,
        metavar="PERCENT",
        help="also write a band that holds this share of whole paths, for all bars at once",
    )


def _levels(percents: Sequence[float] | None) -> tuple[float, ...]:
    """Levels of the quantiles, ascending."""
    from kronos.forecast import DEFAULT_LEVELS

    if not percents:
        return DEFAULT_LEVELS
    wrong = [each for each in percents if not 1.0 <= each <= 99.0]
    if wrong:
        raise InvalidRequest(f"--quantiles must be from 1 to 99, found {wrong[0]:g}.")
    return tuple(sorted({each / 100.0 for each in percents}))


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100.0


def _picture_kind(name: str | None) -> PictureKind | None:
    """The format that the name of a picture's file asks for."""
    from kronos.plot import PICTURES, require_matplotlib

    if name is None:
        return None
    kind = next((kind for kind in PICTURES if name.lower().endswith(f".{kind}")), None)
    if kind is None:
        raise InvalidRequest(f"--chart-out must end in .png or .svg, found {name}.")
    require_matplotlib()
    return kind


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    # pandas takes a second to import, which --help need not wait for.
    with collector_paused():
        from kronos.calendars.future import MAX_HORIZON
        from kronos.calibration import calibrate, calibration_status, load_state
        from kronos.events import event_inputs, leaders_text, load_events
        from kronos.export import forecast_json, paths_csv, quantiles_csv, risk_csv
        from kronos.forecast import SamplingParameters
        from kronos.plot import picture
        from kronos.request import ForecastRequest
        from kronos.serving.engine import SAMPLING
        from kronos.serving.service import open_service
        from kronos.store import open_store

    # Wrong options are reported before the file is read or the model loaded.
    try:
        sampling = SamplingParameters(args.T, args.top_p, args.top_k, args.paths, args.seed)
    except InvalidRequest as error:
        name, _, rest = str(error).partition(" ")
        raise InvalidRequest(f"{_OPTIONS[name]} {rest}") from None
    if not 1 <= args.horizon <= MAX_HORIZON:
        raise InvalidRequest(f"--horizon must be from 1 to {MAX_HORIZON:,}, found {args.horizon}.")
    levels = _levels(args.quantiles)
    if (args.target is not None or args.budget is not None) and args.stop is None:
        raise InvalidRequest("--target and --budget need --stop.")
    chart = _picture_kind(args.chart_out)
    store = open_store(args.store) if args.save else None
    bars = read_file(args, horizon=args.horizon)
    with (
        closing(open_service(args.device)) as service,
        ProgressLine(f"loading {args.model}", in_bytes=True) as loading,
        ProgressLine("forecasting, step") as sampling_line,
    ):

        def watch(status: JobStatus) -> None:
            line = sampling_line if status.stage == SAMPLING else loading
            line(status.done, status.total)

        facts = service.facts(args.model)
        events = None
        if facts.reads_events:
            fetch_calendar(bars.known, args.horizon)
            leaders = fetch_leaders(bars.known)
            events = event_inputs(load_events(), bars.candles, leaders=leaders)
        request = ForecastRequest.of_candles(
            bars.known,
            facts,
            horizon=args.horizon,
            sampling=sampling,
            lookback=args.lookback,
            events=events,
        )
        forecast: Forecast = service.run(request, watch=watch)
    if forecast.leaders is not None and not args.quiet:
        print(f"leading markets read: {leaders_text(forecast.leaders)}", file=sys.stderr)
    shown = forecast
    if args.calibrated:
        calibration = load_state()
        if not args.quiet:
            print(calibration_status(calibration, forecast, bars.candles).words, file=sys.stderr)
        shown = calibrate(forecast, bars.candles, calibration)
    rows = []
    bands = {"corridor": _share(args.corridor), "implied": _share(args.implied)}
    implied = bands["implied"]
    if args.risk_out or args.stop is not None or args.between or implied is not None:
        rows = shown.risk_rows(
            args.stop,
            args.target,
            budget=_share(args.budget),
            between=args.between and tuple(args.between),
            implied=None if implied is None else (implied, bars.known.bar_years),
        )
    if args.risk_out:
        write_text(args.risk_out, risk_csv(rows))
    if args.paths_out:
        write_text(args.paths_out, paths_csv(bars.candles, shown))
    if chart is not None:
        write_bytes(args.chart_out, picture(shown, bars.candles, kind=chart))
    if args.format == "json":
        write_text(args.output, forecast_json(bars.candles, shown, levels, rows, **bands))
    else:
        write_text(args.output, quantiles_csv(bars.candles, shown, levels, **bands))
    if store is not None:
        saved = store.save(forecast, bars.candles)
        if not args.quiet:
            state = "saved" if saved.is_new else "saved before"
            print(f"{state} as {saved.id[:16]} in {store.address}", file=sys.stderr)
    return 0
