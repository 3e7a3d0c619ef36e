"""`kronos backtest`: a portfolio that follows a model's forecasts, simulated with costs."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import add_universe_options, read_universe
from kronos.cli.events import fetch_calendar, fetch_leaders
from kronos.cli.options import add_device_option, add_store_option, date_of
from kronos.cli.terminal import ProgressLine, write_text
from kronos.errors import InvalidRequest
from kronos.system import user_cache

if TYPE_CHECKING:
    import pandas as pd

    from kronos.portfolio import Plan

__all__ = ["add_parser", "run"]

_SIGNALS = ("last", "mean", "max", "min", "p_up", "return_over_width")

_EPILOG = """\
At every rebalance all instruments are forecast from the bars up to its close and ranked by a
signal. The best k are held; at most n of them are sold at a time, none before --hold bars. Orders
are filled at the next open, or lapse where the instrument has no bar, no volume or is at its price
limit. The strategy is compared with the whole universe in equal parts, restored at every rebalance,
and with momentum under the same rules and costs.

A model that reads events gets those of `kronos events` list that were known at each rebalance.

signals (c = log-return of the median path's close from the last close, at every bar):
  last, mean, max, min      c at the last bar; mean, largest and smallest c
  p_up                      share of paths that end above the last close
  return_over_width         c at the last bar over the distance from p10 to p90 there

measures:
  turnover          half of the value bought and sold in a year, over the mean equity
  RankIC, ICIR      rank correlation of the signal with outcomes, its mean (t by Newey and West)
                    and its mean over its standard deviation
  break-even cost   cost of every trade at which the strategy ends level with equal weight
  deflated Sharpe   probability that the Sharpe ratio is above what the best of --trials attempts
                    shows by chance

examples:
  kronos backtest                                     the daily samples: how it works, no evidence
  kronos backtest --data bars/ --top-k 10 --n-drop 2 --start 2025-10-01
  kronos backtest --symbols AAPL MSFT NVDA AMZN --top-k 2 --signal p_up --trades trades.csv
  kronos backtest --data ~/.qlib/qlib_data/cn_data --market csi300 --top-k 50 --n-drop 5
  kronos backtest --data bars/ --model ewma --json result.json

Forecasts are cached for this user: a run that was stopped continues from there."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "backtest",
        help="a portfolio that follows the forecasts, with costs",
        description="Holds the instruments that a model ranks best, with costs and halts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_universe_options(parser)
    parser.add_argument(
        "--model", default="bundled", help="name, folder or baseline (default: bundled)"
    )
    add_device_option(parser)
    parser.add_argument("--signal", choices=_SIGNALS, default="last", help="default: last")
    for name, default, text in (
        ("horizon", 5, "bars of a forecast"),
        ("every", 5, "bars from one rebalance to the next"),
        ("top-k", 1, "most instruments held"),
        ("n-drop", 1, "most instruments sold at a rebalance"),
        ("hold", 1, "fewest bars that a purchase is held"),
        ("momentum-bars", 20, "lookback of the momentum baseline, in bars"),
        ("paths", 50, "paths of a forecast"),
        ("seed", 0, "same seed, same paths"),
        ("trials", len(_SIGNALS), "attempts behind this run, for the deflated Sharpe ratio"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    parser.add_argument(
        "--reweigh", action="store_true", help="restore equal values at every rebalance"
    )
    for name, share, text in (
        ("buy-cost", 0.10, "cost of a purchase"),
        ("sell-cost", 0.15, "cost of a sale"),
    ):
        parser.add_argument(
            f"--{name}",
            type=float,
            default=share,
            metavar="PERCENT",
            help=f"{text}, in percent of its value (default: {share:.2f})",
        )
    parser.add_argument(
        "--limit", type=float, metavar="PERCENT", help="daily price limit (default: none)"
    )
    for name, text in (("start", "first day of a decision"), ("end", "last day")):
        parser.add_argument(f"--{name}", metavar="DATE", help=text)
    parser.add_argument("--json", metavar="FILE", help="write everything here")
    parser.add_argument("--curves", metavar="FILE", help="write the equity curves here, as CSV")
    parser.add_argument("--trades", metavar="FILE", help="write the trades here, as CSV")
    parser.add_argument("--no-cache", action="store_true", help="do not cache forecasts")
    parser.add_argument("--save", action="store_true", help="store the forecasts, too")
    add_store_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos import models
    from kronos.portfolio import Market, backtest
    from kronos.portfolio.export import curves_csv, result_json, summary_text, trades_csv
    from kronos.serving.service import open_service
    from kronos.store import open_store

    plan = _plan(args)
    store = open_store(args.store) if args.save else None
    limit = None if args.limit is None else args.limit / 100
    market = Market.of(read_universe(args, _history_from(args)), limit=limit)
    folder = None if args.no_cache else user_cache("backtests")
    with (
        closing(open_service(args.device)) as service,
        ProgressLine("forecasting, window") as progress,
    ):
        leaders = None
        if service.facts(plan.model).reads_events:
            leaders = fetch_leaders(
                max(market.candles.values(), key=lambda candles: candles.frame.index[-1])
            )
            for candles in market.candles.values():
                fetch_calendar(candles, plan.horizon, origin=candles.frame.index[0])
        result = backtest(
            service,
            market,
            plan,
            leaders=leaders,
            cache_folder=folder,
            save=None if store is None else store.save,
            progress=progress,
        )
    cut_off = models.cut_off(plan.model, result.model_revision)
    if args.json:
        write_text(args.json, result_json(result, cut_off))
    if args.curves:
        write_text(args.curves, curves_csv(result))
    if args.trades:
        write_text(args.trades, trades_csv(result))
    write_text(None, summary_text(result, cut_off))
    if store is not None:
        print(f"forecasts are in {store.address}", file=sys.stderr)
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    from kronos.forecast import SamplingParameters
    from kronos.portfolio import Costs, Plan, Rules

    start, end = date_of(args.start, "--start"), date_of(args.end, "--end")
    if start is not None and end is not None and end <= start:
        raise InvalidRequest(f"--end {args.end} must be after --start {args.start}.")
    return Plan(
        model=args.model,
        signal=args.signal,
        horizon=args.horizon,
        every=args.every,
        rules=Rules(args.top_k, args.n_drop, args.hold, args.reweigh),
        costs=Costs(args.buy_cost / 100, args.sell_cost / 100),
        sampling=SamplingParameters(sample_count=args.paths, seed=args.seed),
        momentum_bars=args.momentum_bars,
        n_trials=args.trials,
        start=None if start is None else start.date(),
        end=None if end is None else end.date(),
    )


def _history_from(args: argparse.Namespace) -> pd.Timestamp | None:
    """First bar to fetch from a source: years before the first decision, for models to read."""
    import pandas as pd

    moment = date_of(args.start, "--start")
    wide = args.interval in {"1d", "1w"}
    if moment is None or not wide:
        return None
    return moment.tz_localize("UTC") - pd.DateOffset(years=4 if args.interval == "1d" else 15)
