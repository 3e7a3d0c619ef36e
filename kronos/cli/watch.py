"""`kronos watch`: forecasts that follow live markets, as lines of JSON or text."""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kronos.cli.events import fetch_calendar, fetch_leaders
from kronos.cli.options import add_device_option
from kronos.errors import InvalidRequest
from kronos.forecasters.baselines import BASELINES
from kronos.system import collector_paused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from data_sources.source import Bars, DataSource
    from kronos.candles import Candles
    from kronos.follow import Alert, AlertRule, Fault, Follower, FollowEvent, Line, Made
    from kronos.forecast import Forecast, SamplingParameters
    from kronos.request import ForecastRequest
    from kronos.serving.service import ForecastService

__all__ = ["add_parser", "run"]

MAX_SYMBOLS = 200
_THREADS = 8
_BUSY_SECONDS = 0.05  # between two polls while a forecast is made
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 1.0  # otherwise, in seconds
_EPILOG = """\
When a bar of a symbol closes, its bars are fetched and its forecast is made again. Each symbol
follows its own market: sessions, half days, holidays. A bar that comes late is looked for again.
All bars go through the bar cache of this user.

alerts (--alert, may be given several times):
  p_up>0.6               probability that the close at the horizon is above the last close
  p_touch(110)>0.3       probability that a price is reached within the horizon
  close<100              a close below or above a price
  outside-band           a close outside the 80% band that the forecast before it had for its bar
The first three alert when they begin to hold, the last one each time.

output, one object a line; times are ISO 8601:
  "type": "forecast"     origin, last_close, p10, median, p90, width (of p10 to p90, as a share of
                         the last close), p_up and p_up_error (standard error), change against the
                         forecast before (median and width relative, p_up as a difference), skipped
                         (bars that came together with the newest one), closes (of the next bar)
  "type": "alert"        rule, threshold, value, error (standard error)
  "type": "fault"        words of the source, again (time of the next look; null: not at all)

examples:
  kronos watch AAPL MSFT --interval 15m
  kronos watch BTC/USDT --source binance --interval 1m --alert "p_up>0.6" --alert outside-band
  kronos watch BTC-USD --interval 5m | jq --unbuffered 'select(.type == "alert")'

Forecasts are samples of a statistical model, not advice."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "watch",
        help="forecast live markets whenever a bar closes, with alerts",
        description="Forecasts live markets whenever a bar closes, until it is interrupted.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "symbols", nargs="+", metavar="SYMBOL", help="ticker as the source spells it"
    )
    parser.add_argument("--source", default="yahoo", metavar="NAME", help="default: yahoo")
    parser.add_argument("--interval", default="1d", help="width of a bar (default: 1d)")
    parser.add_argument(
        "--model",
        default="bundled",
        metavar="NAME",
        help="as for kronos forecast, baselines too: "
        f"{', '.join(BASELINES)} (default: bundled, which needs no download)",
    )
    add_device_option(parser)
    parser.add_argument("--horizon", type=int, default=24, metavar="H", help="bars (default: 24)")
    parser.add_argument(
        "--lookback", type=int, metavar="T", help="bars the model reads (default: the model's own)"
    )
    parser.add_argument(
        "--paths", type=int, default=100, metavar="N", help="futures to sample (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of each (default: 0)")
    parser.add_argument(
        "--calibrated", action="store_true", help="correct each fan by the model's record"
    )
    parser.add_argument(
        "--alert", action="append", default=[], metavar="RULE", help="see below; quote it"
    )
    parser.add_argument(
        "--forecasts",
        type=int,
        metavar="N",
        help="end after N forecasts of each symbol (default: never)",
    )
    parser.add_argument(
        "--format", choices=("json", "text"), default="json", help="of the lines (default: json)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    with collector_paused():
        from data_sources.registry import open_source
        from kronos.calendars import MAX_HORIZON
        from kronos.follow import Follower
        from kronos.follow.alerts import read_rules
        from kronos.forecast import SamplingParameters
        from kronos.serving.service import open_service

    rules = read_rules(args.alert)
    sampling = SamplingParameters(sample_count=args.paths, seed=args.seed)
    for name, most in (("horizon", MAX_HORIZON), ("forecasts", None)):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= (most or value):
            limit = f"from 1 to {most:,}" if most else "at least 1"
            raise InvalidRequest(f"--{name} must be {limit}, found {value}.")
    symbols = list(dict.fromkeys(args.symbols))
    if len(symbols) > MAX_SYMBOLS:
        raise InvalidRequest(f"At most {MAX_SYMBOLS} symbols can be watched, found {len(symbols)}.")
    source = open_source(args.source)
    with (
        ThreadPoolExecutor(_THREADS, thread_name_prefix="watch") as executor,
        closing(open_service(args.device)) as service,  # ends what the threads wait for
    ):
        service.facts(args.model)  # a wrong name is reported before anything is fetched
        follower = Follower(service, executor, clock=_now)
        follower.follow(_line(symbol, source, service, sampling, rules, args) for symbol in symbols)
        n_ended = 0
        for event in _events(follower, args.forecasts):
            for item in _objects(event, args):
                line = _text(item) if args.format == "text" else json.dumps(item)
                print(line, flush=True)
            n_ended += getattr(event, "again", event) is None
    return 2 if n_ended == len(symbols) else 0


def _line(
    symbol: str,
    source: DataSource,
    service: ForecastService,
    sampling: SamplingParameters,
    rules: tuple[AlertRule, ...],
    args: argparse.Namespace,
) -> Line:
    from kronos.events import event_inputs, load_events
    from kronos.follow import Line
    from kronos.request import ForecastRequest

    def fetch() -> Bars:
        return source.fetch(symbol, interval=args.interval)

    def request(bars: Any) -> ForecastRequest:
        candles, currency = bars.candles, bars.instrument.currency
        facts, events = service.facts(args.model), None
        if facts.reads_events:
            fetch_calendar(candles, args.horizon)
            leaders = fetch_leaders(candles)
            events = event_inputs(load_events(), candles, currency=currency, leaders=leaders)
        return ForecastRequest.of_candles(
            candles,
            facts,
            horizon=args.horizon,
            sampling=sampling,
            lookback=args.lookback,
            events=events,
        )

    return Line(symbol, fetch, request, rules, finish=_finish(args))


def _finish(args: argparse.Namespace) -> Callable[[Forecast, Candles], Forecast]:
    """How a raw forecast becomes the one that is reported."""
    if not args.calibrated:
        return lambda forecast, candles: forecast
    from kronos.calibration import calibrate, load_state

    return lambda forecast, candles: calibrate(forecast, candles, load_state())


def _events(follower: Follower, most: int | None) -> Iterator[FollowEvent]:
    """What happens, until each line has ended or has so many forecasts."""
    n_made: dict[str, int] = {}
    while follower.lines:
        for event in follower.poll():
            yield event
            name = event.line.name
            n_made[name] = n_made.get(name, 0) + hasattr(event, "forecast")
            if most is not None and n_made[name] >= most:
                follower.leave(name)
        if follower.is_working:
            _wait(_BUSY_SECONDS)
        elif (due := follower.next_look()) is not None:
            seconds = (due - _now()).total_seconds()
            _wait(min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT))


def _objects(event: FollowEvent, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """An event as objects to write: a forecast, then its alerts."""
    head = {
        "symbol": event.line.name,
        "source": args.source,
        "interval": args.interval,
        "model": args.model,
    }
    from kronos.follow import Made

    if not isinstance(event, Made):
        yield {"type": "fault", **head, **_fault_fields(event)}
        return
    yield {"type": "forecast", **head, **_forecast_fields(event)}
    for alert in event.alerts:
        yield {"type": "alert", **head, **_alert_fields(alert)}


def _forecast_fields(made: Made) -> dict[str, Any]:
    figures, change = made.figures, made.change
    return {
        "origin": figures.origin.isoformat(),
        "until": figures.until.isoformat(),
        "horizon": made.forecast.horizon,
        "paths": made.forecast.n_paths,
        "seed": made.forecast.parameters.seed,
        "last_close": figures.last_close,
        "p10": figures.low,
        "median": figures.median,
        "p90": figures.high,
        "width": figures.width,
        "p_up": figures.p_up.value,
        "p_up_error": figures.p_up.error,
        "change": None
        if change is None
        else {
            "since": change.since.isoformat(),
            "median": change.median,
            "width": None if math.isnan(change.width) else change.width,
            "p_up": change.p_up.value,
            "p_up_error": change.p_up.error,
        },
        "skipped": made.n_skipped,
        "closes": made.closes.isoformat(),
        "request": made.request.digest,
    }


def _alert_fields(alert: Alert) -> dict[str, Any]:
    return {
        "origin": alert.origin.isoformat(),
        "rule": alert.rule.text,
        "kind": alert.rule.kind,
        "threshold": alert.threshold,
        "value": alert.value,
        "error": alert.error,
    }


def _fault_fields(fault: Fault) -> dict[str, Any]:
    return {
        "words": fault.words,
        "again": None if fault.again is None else fault.again.isoformat(),
    }


def _text(item: dict[str, Any]) -> str:
    """An object as one line to read."""
    name = f"{item['symbol']} {item['interval']}"
    if item["type"] == "fault":
        again = f" Again at {item['again']}." if item["again"] else ""
        return f"{name}  FAULT  {item['words']}{again}"
    name += f"  {item['origin']}"
    if item["type"] == "alert":
        return (
            f"{name}  ALERT  {item['rule']}: {item['value']:.6g} ± {item['error']:.2g}, "
            f"threshold {item['threshold']:.6g}"
        )
    text = (
        f"{name}  close {item['last_close']:.6g}  median {item['median']:.6g}  "
        f"80% {item['p10']:.6g} to {item['p90']:.6g}  "
        f"P(up) {item['p_up']:.0%} ± {item['p_up_error']:.0%}"
    )
    if item["change"]:
        change = item["change"]
        width = "" if change["width"] is None else f", width {change['width']:+.1%}"
        text += f"  change: median {change['median']:+.2%}{width}, P(up) {change['p_up']:+.0%}"
    return text


def _now() -> pd.Timestamp:
    """Time of this machine."""
    import pandas as pd

    return pd.Timestamp.now("UTC")


def _wait(seconds: float) -> None:
    time.sleep(seconds)
