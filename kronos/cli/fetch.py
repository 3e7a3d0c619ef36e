"""`kronos fetch`: bars of a market data source as CSV."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kronos.cli.terminal import write_text
from kronos.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

    from kronos.candles import Candles

__all__ = ["add_parser", "run"]

_EPILOG = """\
sources:
  yahoo          stocks, ETFs, indices, currencies, futures: AAPL, VOD.L, ^GSPC, EURUSD=X, ES=F
  binance, ...   any exchange by its name in ccxt: BTC/USDT, or BTC/USDT:USDT for a perpetual
  samples        the bundled series

Only finished bars are written; stderr reports bars left out (--quiet hides it). Bars are cached for
this user, so that the same request needs no second download. Without --start: all available days
and weeks, and intraday bars as far back as the source suggests.

examples:
  kronos fetch AAPL -o AAPL_1d.csv
  kronos fetch BTC/USDT --source binance --interval 1h --start 2026-01-01 | kronos forecast -
  kronos fetch VOD.L --raw --start 2020-01-01 --end 2024-12-31"""

# A date begins on the Line Islands this many hours before it does in UTC.
_EARLIEST_HOURS = 14


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch candles from Yahoo Finance or an exchange",
        description="Fetches candles and writes them as a CSV that `kronos forecast` reads.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("symbol", metavar="SYMBOL", help="ticker as the source spells it")
    parser.add_argument("--source", default="yahoo", metavar="NAME", help="default: yahoo")
    parser.add_argument("--interval", default="1d", help="width of a bar (default: 1d)")
    for name, text in (("start", "first"), ("end", "last")):
        parser.add_argument(
            f"--{name}",
            metavar="TIME",
            help=f"{text} open time, on the exchange's clock unless it names another",
        )
    parser.add_argument(
        "--raw", action="store_true", help="prices as traded, not adjusted for dividends"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="do not describe the bars on stderr"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from data_sources.registry import open_source
    from kronos.export import candles_csv

    start, end = _moment(args, "start"), _moment(args, "end")
    bars = open_source(args.source).fetch(
        args.symbol,
        interval=args.interval,
        adjusted=not args.raw,
        start=_fetch_limit(start, -_EARLIEST_HOURS),
        end=_fetch_limit(end, _EARLIEST_HOURS),
    )
    candles = _cut(bars.candles, start, end)
    if not args.quiet:
        local = candles.local_index
        print(
            f"{candles.symbol}: {len(candles):,} bars of {candles.interval}, {local[0]} to "
            f"{local[-1]}, from {candles.source}.",
            *bars.notes,
            *filter(None, [bars.stale]),
            sep="\n",
            file=sys.stderr,
        )
    write_text(args.output, candles_csv(candles))
    return 0


def _moment(args: argparse.Namespace, name: str) -> pd.Timestamp | None:
    """The time of an option, naive without an offset; an end date includes its day."""
    import pandas as pd

    text = getattr(args, name)
    if text is None:
        return None
    moment = pd.to_datetime(text, errors="coerce")
    if pd.isna(moment):
        raise InvalidRequest(f'--{name} must be a time such as "2024-11-01 15:30", found {text!r}.')
    is_date = moment.tzinfo is None and moment == moment.normalize() and ":" not in text
    if name == "end" and is_date:
        return moment + pd.Timedelta(days=1) - pd.Timedelta(seconds=1)
    return moment


def _fetch_limit(moment: pd.Timestamp | None, hours: int) -> pd.Timestamp | None:
    """The limit to request: the exchange's clock is still unknown, so it is a wide one."""
    import pandas as pd

    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.tz_localize("UTC") + pd.Timedelta(hours=hours)


def _cut(candles: Candles, start: pd.Timestamp | None, end: pd.Timestamp | None) -> Candles:
    """The bars between times on the exchange's clock."""
    import numpy as np

    wall = candles.local_index.tz_localize(None)
    first, stop = 0, len(candles)
    if start is not None and start.tzinfo is None:
        first = int(np.searchsorted(wall, start.to_datetime64(), side="left"))
    if end is not None and end.tzinfo is None:
        stop = int(np.searchsorted(wall, end.to_datetime64(), side="right"))
    if first >= stop:
        raise InvalidRequest(
            f"{candles.symbol} has no bars between --start and --end; near them they run from "
            f"{wall[0]} to {wall[-1]} ({candles.zone})."
        )
    return candles.slice(first, stop)
