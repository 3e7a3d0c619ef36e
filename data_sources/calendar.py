"""The calendar of releases on this machine: which days of it are known, and the fetch of others.

Releases are fetched from Yahoo by region and calendar month, earnings by company, and the official
figures of the United States from FRED where its key is set. A month is fetched again while it is
not over: after half a day, and as soon as a release in it has come out. What was fetched lies
beside the tables of events (`kronos.events.tables`), with the moment of each fetch.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock, Timeout

from kronos.calendars import ALWAYS_OPEN, FX, METALS, WEEKDAYS
from kronos.candles import Candles
from kronos.errors import (
    InvalidEvents,
    InvalidRequest,
    RateLimited,
    SourceBlocked,
    SourceError,
    UnknownSymbol,
)
from kronos.events import (
    Event,
    bundled_events,
    regions_of,
    save_events,
    stored_events,
)
from kronos.events.event import sorted_events
from kronos.events.tables import USER, events_folder, remove_events
from kronos.system import atomic_write, read_json

if TYPE_CHECKING:
    from data_sources.yahoo.earnings import YahooEarnings
    from data_sources.yahoo.releases import FetchedReleases, YahooReleases

__all__ = [
    "SETTING",
    "CalendarDays",
    "EventCalendar",
    "MissingDays",
    "days_for",
    "event_calendar",
    "is_on",
]

SETTING = "KRONOS_CALENDAR"
"""Environment variable; "off" sends no request for events that nobody typed."""
_DAYS_BEFORE = pd.Timedelta(days=35)
_DAYS_AFTER = pd.Timedelta(days=56)  # the longest usual time between two meetings of the FOMC
_REACH_BACK, _REACH_AHEAD = pd.Timedelta(days=400), pd.Timedelta(days=130)
_STALE_AFTER = pd.Timedelta(hours=12)
_FINAL_AFTER = pd.Timedelta(days=3)  # after its end a month does not change any more
_PAUSE = pd.Timedelta(minutes=5)  # between two requests for the same days
_SHORT_NOTICE = pd.Timedelta(days=7)
_EARNINGS_AFTER, _NO_EARNINGS_AFTER = pd.Timedelta(days=1), pd.Timedelta(days=7)
_FRED_AFTER = pd.Timedelta(days=1)
_FRED_SINCE = pd.Timestamp("2015-01-01")
_MOST_MONTHS = 3  # of one fetch: what fails later loses no more than these
_LOCK_SECONDS = 10.0
_FORMAT = 1  # 2 when `RELEASES` gets names: months are fetched again, and nothing in them is late
_WITHOUT_EARNINGS = (ALWAYS_OPEN, FX, METALS, WEEKDAYS)


def is_on() -> bool:
    """Whether events are fetched unasked."""
    return os.environ.get(SETTING, "").strip().lower() not in {"off", "0", "false", "no"}


@dataclass(frozen=True, slots=True)
class CalendarDays:
    """Days of the calendar that a page or a command needs.

    Attributes:
        regions: Regions whose releases count.
        first: First day, midnight UTC.
        last: Last day, midnight UTC.
        ticker: Company whose earnings count, as Yahoo spells it; "" for none.
    """

    regions: tuple[str, ...]
    first: pd.Timestamp
    last: pd.Timestamp
    ticker: str = ""

    def months(self) -> list[str]:
        """The calendar months of the days, as YYYY-MM."""
        months = pd.period_range(_naive(self.first), _naive(self.last), freq="M")
        return [str(month) for month in months]


def days_for(
    candles: Candles,
    end: pd.Timestamp,
    *,
    currency: str = "",
    ticker: str = "",
    origin: pd.Timestamp | None = None,
    now: pd.Timestamp,
) -> CalendarDays | None:
    """The days around a forecast; None where they are too far in the past to be fetched unasked.

    Args:
        candles: Bars of the instrument.
        end: Last moment of the chart or of the forecast.
        currency: Currency it is quoted in, where the source says.
        ticker: Its ticker at Yahoo, for its earnings; "" for none.
        origin: Last known bar; default: the last of the candles.
        now: When this is, UTC.
    """
    start = candles.frame.index[-1] if origin is None else origin
    first = max(_midnight(pd.Timestamp(start)) - _DAYS_BEFORE, _midnight(now - _REACH_BACK))
    last = min(_midnight(end) + _DAYS_AFTER, _midnight(now + _REACH_AHEAD))
    if last - _DAYS_AFTER < first or last < first:
        return None
    of_instrument = regions_of(candles.calendar, candles.symbol, currency)
    regions = tuple(dict.fromkeys(("US", *of_instrument)))
    has_earnings = candles.calendar not in _WITHOUT_EARNINGS
    return CalendarDays(regions, first, last, ticker.strip().upper() if has_earnings else "")


@dataclass(frozen=True, slots=True)
class MissingDays:
    """What of some days is not known, or no longer up to date.

    Attributes:
        months: Region and month, as YYYY-MM.
        ticker: Company whose earnings are missing; "" for none.
        fred: Whether FRED's releases are.
    """

    months: tuple[tuple[str, str], ...] = ()
    ticker: str = ""
    fred: bool = False

    def __bool__(self) -> bool:
        return bool(self.months or self.ticker or self.fred)


class EventCalendar:
    """The fetched part of the calendar of events; any thread may call.

    Args:
        releases: Yahoo's economic calendar; default: opened when it is first needed.
        earnings: Yahoo's earnings; likewise.
        fred: Fetches FRED's releases up to a moment; default: with the user's key.
        folder: Folder of the tables; default: that of this user.
        clock: The time, UTC.
    """

    def __init__(
        self,
        releases: YahooReleases | None = None,
        earnings: YahooEarnings | None = None,
        *,
        fred: Callable[[pd.Timestamp], list[Event]] | None = None,
        folder: Path | None = None,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
    ) -> None:
        self._releases, self._earnings, self._fred = releases, earnings, fred
        self._folder = folder
        self._clock = clock
        self._fetching = threading.Lock()
        self._read: tuple[tuple[int, int] | None, dict[str, Any]] = (None, {})
        self._failures: dict[str, tuple[pd.Timestamp, SourceError]] = {}

    def missing(self, days: CalendarDays) -> MissingDays:
        """What of the days has to be fetched; nothing for some minutes after a failure."""
        now, fetched = self._now(), self._fetched()
        events = self._stored("yahoo")
        months: list[tuple[str, str]] = []
        if not self._is_paused("releases", now):
            months = [key for key in _months(days) if not _is_fresh(fetched, *key, events, now)]
        ticker = days.ticker
        if ticker and (self._is_paused("earnings", now) or _has_earnings(fetched, ticker, now)):
            ticker = ""
        fred = _moment(fetched.get("fred"))
        needs_fred = (
            bool(os.environ.get("FRED_API_KEY", "").strip())
            and "US" in days.regions
            and (fred is None or now - fred > _FRED_AFTER)
            and not self._is_paused("fred", now)
        )
        return MissingDays(tuple(months), ticker, needs_fred)

    def problem(self, days: CalendarDays) -> SourceError | None:
        """Why the last fetch for such days failed, for some minutes; None where none did."""
        now = self._now()
        names = ["releases", *(["earnings"] if days.ticker else []), "fred"]
        for name in names:
            failure = self._failures.get(name)
            if failure is not None and self._is_paused(name, now):
                return failure[1]
        return None

    def covered_until(self, region: str, *, now: pd.Timestamp | None = None) -> pd.Timestamp | None:
        """Last day of the fetched releases of a region without a gap from this month on."""
        fetched = self._fetched().get("releases", {}).get(region, {})
        month = pd.Period(_naive(now or self._now()), freq="M")
        last = None
        while str(month) in fetched:
            last = month.end_time.normalize().tz_localize("UTC").as_unit("ns")
            month += 1
        return last

    def has_fetched_earnings(self, ticker: str) -> bool:
        """Whether the earnings of a company were ever fetched."""
        return ticker.strip().upper() in self._fetched().get("earnings", {})

    def refresh(
        self,
        days: CalendarDays,
        *,
        again: bool = False,
        progress: Callable[[str], None] = lambda stage: None,
    ) -> list[str]:
        """Fetch what is missing of the days; threads that want the same share one fetch.

        Each source is tried, and what was fetched stays where a later one fails.

        Args:
            days: The days.
            again: Whether to fetch what is up to date as well.
            progress: Called before each request with what it is for; what it raises ends the fetch.

        Returns:
            Notes on what was left out.

        Raises:
            SourceError: What the first source that failed raised.
            InvalidEvents: The tables cannot be read or written.
        """
        with self._fetching:
            missing = self.missing(days)
            if again:
                missing = replace(missing, months=tuple(_months(days)), ticker=days.ticker)
            notes: list[str] = []
            errors: list[SourceError] = []
            steps = [
                ("releases", bool(missing.months), lambda: self._fetch_months(missing, progress)),
                (
                    "earnings",
                    bool(missing.ticker),
                    lambda: self._fetch_earnings(missing.ticker, progress),
                ),
                ("fred", missing.fred, lambda: self._fetch_fred(progress)),
            ]
            for name, is_needed, step in steps:
                if not is_needed:
                    continue
                try:
                    notes += step()
                    self._failures.pop(name, None)
                except SourceError as error:
                    self._failures[name] = self._now(), error
                    errors.append(error)
        if errors:
            raise errors[0]
        return notes

    def _fetch_months(self, missing: MissingDays, progress: Callable[[str], None]) -> list[str]:
        from data_sources.yahoo.releases import YahooReleases

        source = self._releases = self._releases or YahooReleases()
        notes = []
        for region, months in _runs(missing.months):
            progress(f"Fetching releases, {region}")
            first = pd.Timestamp(f"{months[0]}-01", tz="UTC")
            last = pd.Period(months[-1], freq="M").end_time.normalize().tz_localize("UTC")
            now = self._now()
            found = source.fetch(region, first, last, now=now)
            self._store_months(region, months, found, now)
            if found.n_unread:
                notes.append(f"{region}: {found.n_unread} figures are no numbers and left out.")
        return notes

    def _store_months(
        self, region: str, months: Sequence[str], found: FetchedReleases, now: pd.Timestamp
    ) -> None:
        with self._writing():
            fetched = self._fetched()
            of_region = fetched.setdefault("releases", {}).setdefault(region, {})
            before = {month: _moment(of_region.get(month)) for month in months}
            known = self._stored("yahoo")
            events = _updated(known, found.events, region, before, now)
            if events != known:
                if events:
                    save_events("yahoo", events, folder=self._folder)
                else:
                    remove_events("yahoo", folder=self._folder)
            for month in months:
                of_region[month] = {"at": _text(now), "ignored": found.ignored.total()}
            self._save(fetched)

    def _fetch_earnings(self, ticker: str, progress: Callable[[str], None]) -> list[str]:
        from data_sources.yahoo.earnings import YahooEarnings

        source = self._earnings = self._earnings or YahooEarnings()
        progress(f"Fetching earnings dates of {ticker}")
        now = self._now()
        try:
            events = source.fetch(ticker, now=now)
        except (UnknownSymbol, InvalidRequest):  # a fund, an index, a symbol of another source
            events = []
        with self._writing():
            if events:
                others = [each for each in self._stored("earnings") if each.symbol != ticker]
                save_events("earnings", sorted_events([*others, *events]), folder=self._folder)
            fetched = self._fetched()
            record = {"at": _text(now), "n": len(events)}
            fetched.setdefault("earnings", {})[ticker] = record
            self._save(fetched)
        return []

    def _fetch_fred(self, progress: Callable[[str], None]) -> list[str]:
        progress("Fetching releases from FRED")
        now = self._now()
        try:
            events = (self._fred or self._from_fred)(now)
        except InvalidRequest as exc:  # the key is none
            raise SourceBlocked(str(exc)) from exc
        with self._writing():
            save_events("fred", events, folder=self._folder)
            fetched = self._fetched()
            fetched["fred"] = {"at": _text(now)}
            self._save(fetched)
        return []

    def _from_fred(self, now: pd.Timestamp) -> list[Event]:
        from data_sources.fred.client import Fred, fred_key
        from data_sources.fred.releases import fetch_releases

        known = (*bundled_events(), *self._stored(USER))
        meetings = {event.release_day: event for event in known if event.kind == "fomc"}
        events, _ = fetch_releases(Fred(fred_key()), [*meetings.values()], _FRED_SINCE, now=now)
        return events

    def _now(self) -> pd.Timestamp:
        return self._clock().tz_convert("UTC").as_unit("ns")

    def _is_paused(self, name: str, now: pd.Timestamp) -> bool:
        failure = self._failures.get(name)  # another thread may remove it meanwhile
        if failure is None:
            return False
        at, error = failure
        wait = error.retry_after if isinstance(error, RateLimited) else None
        return now - at < max(_PAUSE, pd.Timedelta(seconds=wait or 0))

    def _stored(self, name: str) -> tuple[Event, ...]:
        return stored_events(name, folder=self._folder)

    @property
    def _path(self) -> Path:
        return (self._folder or events_folder()) / "fetched.json"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keeps other processes from changing the tables meanwhile."""
        path = self._path
        lock = FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, Timeout) as exc:
            raise InvalidEvents(
                f"The calendar of events in {path.parent} cannot be changed: {exc}. Make the "
                "folder writable, and end other processes that hold it."
            ) from exc
        try:
            yield
        finally:
            lock.release()

    def _fetched(self) -> dict[str, Any]:
        """What was fetched when. A damaged record means that nothing was: it is fetched again."""
        try:
            facts = self._path.stat()
            stamp = facts.st_mtime_ns, facts.st_size
            if self._read[0] != stamp:
                self._read = stamp, _checked(read_json(self._path))
        except (OSError, ValueError):
            return {}
        return json.loads(json.dumps(self._read[1]))

    def _save(self, fetched: dict[str, Any]) -> None:
        try:
            with atomic_write(self._path) as partial:
                text = json.dumps(fetched | {"format": _FORMAT}, indent=1, sort_keys=True)
                partial.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise InvalidEvents(
                f"The calendar of events cannot be stored in {self._path}: {exc.strerror}. Make "
                "the folder writable."
            ) from exc


@cache
def event_calendar() -> EventCalendar:
    """The calendar of this process."""
    return EventCalendar()


def _months(days: CalendarDays) -> list[tuple[str, str]]:
    """Region and month of some days, for the regions that Yahoo's calendar has."""
    from data_sources.yahoo.releases import COUNTRIES

    return [(r, month) for r in days.regions if r in COUNTRIES for month in days.months()]


def _is_fresh(
    fetched: dict[str, Any], region: str, month: str, events: Sequence[Event], now: pd.Timestamp
) -> bool:
    """Whether a month of a region needs no request."""
    at = _moment(fetched.get("releases", {}).get(region, {}).get(month))
    if at is None:
        return False
    end = (pd.Period(month, freq="M") + 1).start_time.tz_localize("UTC")
    if at > end + _FINAL_AFTER or now - at < _PAUSE:
        return True
    # The longer a figure is late, the longer the pause until it is asked for again.
    is_out = any(
        event.time + _PAUSE <= now and now - at >= max(_PAUSE, at - event.time)
        for event in events
        if event.region == region and event.actual is None and f"{event.time:%Y-%m}" == month
    )
    return not is_out and now - at < _STALE_AFTER


def _has_earnings(fetched: dict[str, Any], ticker: str, now: pd.Timestamp) -> bool:
    record = fetched.get("earnings", {}).get(ticker)
    at = _moment(record)
    if at is None:
        return False
    return now - at < (_EARNINGS_AFTER if record.get("n") else _NO_EARNINGS_AFTER)


def _runs(months: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Neighbouring months of a region together: one request needs fewer pages."""
    runs: list[tuple[str, list[str]]] = []
    for region, month in months:
        if runs and runs[-1][0] == region and len(runs[-1][1]) < _MOST_MONTHS:
            before = pd.Period(runs[-1][1][-1], freq="M")
            if str(before + 1) == month:
                runs[-1][1].append(month)
                continue
        runs.append((region, [month]))
    return runs


def _updated(
    known: tuple[Event, ...],
    found: Sequence[Event],
    region: str,
    before: dict[str, pd.Timestamp | None],
    now: pd.Timestamp,
) -> tuple[Event, ...]:
    """The stored events with those of some months of a region fetched anew.

    The first actual stays: it is the first print. An event that is not listed any more and has no
    actual was moved or called off. One that a fetch in the week before it, or after it, did not
    list was announced later, so that no forecast from before is told of it.
    """
    stored = {
        (event.kind, event.release_day): event
        for event in known
        if event.region == region and f"{event.time:%Y-%m}" in before
    }
    others = [event for event in known if (event.kind, event.release_day) not in stored
              or event.region != region]  # fmt: skip
    listed = {(event.kind, event.release_day) for event in found}
    kept = [
        event for key, event in stored.items() if key not in listed and event.actual is not None
    ]
    fresh = []
    for event in found:
        earlier = stored.get((event.kind, event.release_day))
        if earlier is not None:
            first_print = event.actual if earlier.actual is None else earlier.actual
            event = replace(event, actual=first_print, announced=earlier.announced)
        else:
            last = before.get(f"{event.time:%Y-%m}")
            if last is not None and event.time <= last + _SHORT_NOTICE:
                event = replace(event, announced=min(now, event.time))
        fresh.append(event)
    return sorted_events([*others, *kept, *fresh])


def _checked(document: Any) -> dict[str, Any]:
    """A record of this format.

    Raises:
        ValueError: It is another one.
    """
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError("another format")
    releases = document.get("releases", {})
    parts = [releases, document.get("earnings", {})]
    parts += releases.values() if isinstance(releases, dict) else []
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError("another format")
    return document


def _moment(record: Any) -> pd.Timestamp | None:
    """When something was fetched; None for no record and a damaged one."""
    try:
        moment = pd.Timestamp(record["at"])
        return moment.tz_convert("UTC").as_unit("ns")
    except (TypeError, ValueError, LookupError, OverflowError):
        return None


def _text(moment: pd.Timestamp) -> str:
    return moment.isoformat()


def _midnight(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.tz_convert("UTC").normalize().as_unit("ns")


def _naive(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.tz_localize(None)
