"""`kronos events`: list the calendar, add your own events, fetch releases and earnings.

`fetch_calendar` fetches the days that a command needs and that this machine does not have,
`fetch_leaders` the leading markets.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kronos.cli.terminal import ProgressLine, columns_text, read_bytes, write_text
from kronos.errors import InvalidRequest, KronosError

if TYPE_CHECKING:
    import pandas as pd

    from data_sources.calendar import CalendarDays
    from kronos.candles import Candles
    from kronos.events import Event, Leaders

__all__ = ["add_parser", "fetch_calendar", "fetch_leaders", "run"]

_EPILOG = """\
examples:
  kronos events                              30 days back and ahead
  kronos events list --kind cpi --from 2024-01-01 --csv
  kronos events add mine.csv                 events of your own, or a consensus for known ones
  kronos events refresh                      coming and past releases, from Yahoo Finance
  FRED_API_KEY=... kronos events refresh     also the official figures of the US, from FRED
  kronos events earnings AAPL MSFT           earnings dates, from Yahoo Finance

A CSV of your own has a header with kind, time, region or symbol, and optionally name, period,
actual, consensus, previous, unit, source, zone. A time without an offset is on the release's own
clock: 2025-10-24 08:30 for a CPI of region US is 08:30 in New York.

Tables are merged from the least to the most trusted: Yahoo's, bundled, FRED's, your own. A later
table's fields replace earlier ones, except where they are empty. A consensus is never estimated:
without one there is no surprise. Yahoo has it, FRED has none; a CSV of your own replaces it.

Days around today that are not known are fetched unasked. KRONOS_CALENDAR=off prevents that."""

_COLUMNS = ("time", "kind", "for", "event", "actual", "consensus", "previous", "unit", "source")
_AROUND_DAYS = 30
_AHEAD_DAYS = 92
_SINCE = "2015-01-01"


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "events",
        help="the calendar of releases, rate decisions and earnings",
        description="Official releases, rate decisions, earnings, and events of your own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="list", first=None, last=None, kind=None, symbol=None,
                        region=None, csv=False)  # fmt: skip
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="the calendar (the default)")
    listing.add_argument("--from", dest="first", metavar="DATE", help="first day, YYYY-MM-DD")
    listing.add_argument("--to", dest="last", metavar="DATE", help="last day, YYYY-MM-DD")
    listing.add_argument("--kind", help="fomc, cpi, nfp, gdp, pce, rate_decision, earnings, ...")
    listing.add_argument("--region", help="US, EU, GB, JP, ...")
    listing.add_argument("--symbol", help="ticker, for earnings")
    listing.add_argument("--csv", action="store_true", help="as CSV, every column")
    listing.set_defaults(action="list")
    adding = actions.add_parser("add", help="add the events of a CSV file")
    adding.add_argument("file", metavar="FILE", help="CSV file, or - for standard input")
    adding.add_argument(
        "--replace", action="store_true", help="remove the events that were added before"
    )
    adding.set_defaults(action="add")
    refresh = actions.add_parser(
        "refresh", help="fetch releases from Yahoo Finance, and from FRED with your key"
    )
    refresh.add_argument(
        "--since",
        metavar="DATE",
        help=f"first day (default: {_AROUND_DAYS} days ago at Yahoo Finance, {_SINCE} at FRED)",
    )
    refresh.add_argument(
        "--source", choices=("yahoo", "fred"), help="one source alone (default: both)"
    )
    refresh.add_argument(
        "--region", action="append", help="region at Yahoo Finance; repeat it (default: all)"
    )
    refresh.set_defaults(action="refresh")
    earnings = actions.add_parser("earnings", help="fetch earnings dates from Yahoo Finance")
    earnings.add_argument("symbols", metavar="SYMBOL", nargs="+", help="ticker, such as AAPL")
    earnings.set_defaults(action="earnings")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    action = {"list": _list, "add": _add, "refresh": _refresh, "earnings": _earnings}[args.action]
    action(args)
    return 0


def _list(args: argparse.Namespace) -> None:
    import pandas as pd

    from kronos.events import KINDS, REGIONS, events_csv, load_events

    _require_one_of("--kind", args.kind, tuple(KINDS))
    _require_one_of("--region", args.region and args.region.upper(), tuple(REGIONS))
    today = pd.Timestamp.now("UTC").normalize()
    around = pd.Timedelta(days=_AROUND_DAYS)
    first = _day("--from", args.first) if args.first else None
    last = _day("--to", args.last) if args.last else None
    if first is None and last is None:
        first, last = today - around, today + around
    end = None if last is None else last + pd.Timedelta(days=1)
    _fetch_listed(args, first or today, last or today)
    events = [
        event
        for event in load_events()
        if (first is None or event.time >= first)
        and (end is None or event.time < end)
        and args.kind in (None, event.kind)
        and (args.region is None or event.region == args.region.upper())
        and (args.symbol is None or event.symbol.upper() == args.symbol.upper())
    ]
    if args.csv:
        write_text(None, events_csv(events))
        return
    if not events:
        print("No such event is known. Widen --from and --to, or see: kronos events --help",
              file=sys.stderr)  # fmt: skip
        return
    write_text(None, _table(events))


def _fetch_listed(args: argparse.Namespace, first: pd.Timestamp, last: pd.Timestamp) -> None:
    """Fetch the days of a list that reach into the present."""
    import pandas as pd

    from data_sources.calendar import CalendarDays

    now, around = pd.Timestamp.now("UTC").normalize(), pd.Timedelta(days=_AROUND_DAYS)
    first, last = max(first, now - around), min(last, now + around)
    if first <= last:
        region = (args.region or "US").upper()
        _fetch_days(CalendarDays((region,), first.as_unit("ns"), last.as_unit("ns")))


def fetch_calendar(candles: Candles, horizon: int, *, origin: pd.Timestamp | None = None) -> None:
    """Fetch the events around forecasts that this machine does not have.

    A source that fails is named on stderr: the forecasts then read what is known.

    Args:
        candles: Bars of the instrument, up to the last origin.
        horizon: Number of bars to forecast.
        origin: The first origin; default: the last of the candles.
    """
    import pandas as pd

    from data_sources.calendar import days_for

    end = pd.Timestamp(candles.frame.index[-1]) + horizon * candles.width
    days = days_for(candles, end, origin=origin, now=pd.Timestamp.now("UTC"))
    if days is not None:
        _fetch_days(days)


def fetch_leaders(candles: Candles) -> Leaders:
    """The leading markets for forecasts of a model that reads events.

    What cannot be fetched is named on stderr, and its channels are 0.

    Args:
        candles: Bars of the instrument, up to the last origin.
    """
    from data_sources.leaders import fetched_leaders, leader_bars
    from kronos.events import last_close

    leaders = fetched_leaders(last_close(candles))
    if problem := leader_bars().problem():
        print(f"note: leading markets may be missing: {problem}", file=sys.stderr)
    return leaders


def _fetch_days(days: CalendarDays) -> None:
    from data_sources.calendar import event_calendar, is_on

    if not is_on() or not event_calendar().missing(days):
        return
    try:
        event_calendar().refresh(days)
    except KronosError as error:
        print(f"note: the calendar of events may lack days: {error}", file=sys.stderr)


def _table(events: list[Event]) -> str:
    rows = [tuple(name.upper() for name in _COLUMNS)]
    rows += [
        (
            f"{event.time:%Y-%m-%d %H:%MZ}" if event.is_time_exact else f"{event.time:%Y-%m-%d}",
            event.kind,
            event.symbol or event.region,
            event.title,
            *(
                "-" if value is None else f"{value:g}"
                for value in (event.actual, event.consensus, event.previous)
            ),
            event.unit,
            event.source,
        )
        for event in events
    ]
    return columns_text(rows)


def _add(args: argparse.Namespace) -> None:
    from kronos.events import EventTable, load_events, merge_events, read_events, save_events
    from kronos.events.csv_file import MAX_BYTES
    from kronos.events.tables import USER, stored_events

    new = EventTable(USER, read_events(read_bytes(args.file, limit=MAX_BYTES + 1), args.file))
    before = EventTable("before", () if args.replace else stored_events(USER))
    # Merged before anything is saved: figures in another unit than the known ones are refused.
    merge_events([EventTable("known", load_events()), new])
    path = save_events(USER, merge_events([before, new]))
    n_all = len(load_events())
    print(
        f"{len(new.events):,} event(s) added to {path}; the calendar has {n_all:,}.",
        file=sys.stderr,
    )


def _refresh(args: argparse.Namespace) -> None:
    import os

    since = _day("--since", args.since) if args.since else None
    has_key = bool(os.environ.get("FRED_API_KEY", "").strip())
    if args.source != "fred":
        _refresh_yahoo(args.region or [], since)
    if args.source == "fred" or (args.source is None and has_key):
        _refresh_fred(since or _day("--since", _SINCE))


def _refresh_yahoo(regions: list[str], since: pd.Timestamp | None) -> None:
    import pandas as pd

    from data_sources.calendar import CalendarDays, event_calendar
    from data_sources.yahoo.releases import COUNTRIES
    from kronos.events import stored_events

    chosen = tuple(region.upper() for region in regions) or tuple(COUNTRIES)
    for region in chosen:
        _require_one_of("--region", region, tuple(COUNTRIES))
    now = pd.Timestamp.now("UTC").as_unit("ns")
    first = now.normalize() - pd.Timedelta(days=_AROUND_DAYS) if since is None else since
    last = now.normalize() + pd.Timedelta(days=_AHEAD_DAYS)
    days = CalendarDays(chosen, first.as_unit("ns"), last)
    notes = event_calendar().refresh(days, again=True, progress=_say)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    events = stored_events("yahoo")
    n_coming = sum(event.time > now for event in events)
    print(
        f"{len(events):,} events from Yahoo Finance known, {n_coming} of them in the future.",
        file=sys.stderr,
    )


def _say(stage: str) -> None:
    print(f"{stage} ...", file=sys.stderr)


def _refresh_fred(day: pd.Timestamp) -> None:
    import pandas as pd

    from data_sources.fred.client import Fred, fred_key
    from data_sources.fred.releases import fetch_releases
    from kronos.events import bundled_events, save_events, stored_events
    from kronos.events.tables import USER

    since = day.tz_localize(None)
    fred = Fred(fred_key())
    known = (*bundled_events(), *stored_events(USER))
    meetings = {event.release_day: event for event in known if event.kind == "fomc"}
    now = pd.Timestamp.now("UTC").as_unit("ns")
    with ProgressLine("fetching from FRED") as progress:
        events, notes = fetch_releases(
            fred, list(meetings.values()), since, now=now, progress=progress
        )
    path = save_events("fred", events)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    n_coming = sum(event.time > now for event in events)
    print(
        f"{len(events):,} events from FRED saved in {path}, {n_coming} of them in the future.",
        file=sys.stderr,
    )


def _earnings(args: argparse.Namespace) -> None:
    import pandas as pd

    from data_sources.yahoo.earnings import YahooEarnings
    from kronos.events import save_events, stored_events

    yahoo = YahooEarnings()
    for symbol in dict.fromkeys(symbol.strip().upper() for symbol in args.symbols):
        now = pd.Timestamp.now("UTC").as_unit("ns")
        fetched = yahoo.fetch(symbol, now=now)
        others = [event for event in stored_events("earnings") if event.symbol != symbol]
        save_events("earnings", [*others, *fetched])
        n_coming = sum(event.time > now for event in fetched)
        print(
            f"{symbol}: {len(fetched)} reports, {n_coming} of them in the future.", file=sys.stderr
        )


def _day(option: str, text: str) -> pd.Timestamp:
    import pandas as pd

    try:
        return pd.to_datetime(text, format="%Y-%m-%d").tz_localize("UTC")
    except ValueError as exc:
        raise InvalidRequest(
            f"{option} must be a day such as 2024-01-31, found {text[:40]!r}."
        ) from exc


def _require_one_of(option: str, found: str | None, allowed: tuple[str, ...]) -> None:
    if found is not None and found not in allowed:
        raise InvalidRequest(f"{option} must be one of {', '.join(allowed)}; found {found[:40]!r}.")
