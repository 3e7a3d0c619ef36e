"""Yahoo's economic calendar as events: coming and past releases with actual, expected, previous.

Yahoo names releases in its own way, hundreds of them a week. `RELEASES` says which of them are
events of which kind and region; all others are ignored and counted. The requests go through
yfinance's connection, which has cookies and crumbs. Its `Calendars` class is not used: it reads a
figure of 0 as a missing one, and cannot ask for one country.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_sources.http import UNREADABLE, Retry
from data_sources.yahoo.client import TITLE, yfinance_with
from kronos.errors import KronosError, SourceDown, SourceNonsense
from kronos.events import Event
from kronos.events.csv_file import release_moment
from kronos.events.regions import region_zone
from kronos.extras import require

if TYPE_CHECKING:
    from data_sources.yahoo.session import CalendarSession

__all__ = ["COUNTRIES", "RELEASES", "FetchedReleases", "ReleaseName", "YahooReleases", "release_of"]

ADDRESS = "https://query1.finance.yahoo.com/v1/finance/visualization"
FIELDS = (
    "econ_release", "country_code", "startdatetime", "period", "after_release_actual",
    "consensus_estimate", "prior_release_actual", "originally_reported_actual",
)  # fmt: skip
PAGE = 100
"""Most rows of an answer; Yahoo caps it there."""
_MOST_PAGES = 60
_ALL_PAGES_SECONDS = 60.0
_MOST_FIGURE = 1e9
_LONGEST_FIGURE = 40
_PERIOD = re.compile(r"[A-Za-z0-9 /\-]{1,16}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z")
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """One release as Yahoo names it.

    Attributes:
        kind: Kind of its events.
        region: Their region.
        names: Yahoo's names, without the asterisk that some have. Where a day has several, the
            figures of the first one count.
        title: Our name of the figure.
        unit: Its unit, that of the bundled and of FRED's figures.
        is_timed: Whether the time of day is fixed in advance.
    """

    kind: str
    region: str
    names: tuple[str, ...]
    title: str
    unit: str = "%"
    is_timed: bool = True


def _rate(region: str, bank: str, *names: str, is_timed: bool = True) -> ReleaseName:
    return ReleaseName("rate_decision", region, names, f"{bank} rate decision", is_timed=is_timed)


RELEASES = (
    ReleaseName("fomc", "US", ("Fed Funds Tgt Rate", "Fed Funds Target Rate"),
                "FOMC decision, upper end of the target range"),
    ReleaseName("cpi", "US", ("CPI MM, SA",), "CPI, m/m"),
    ReleaseName("nfp", "US", ("Non-Farm Payrolls",), "Nonfarm payrolls, change", "thousand"),
    ReleaseName("gdp", "US", ("GDP Advance", "GDP 2nd Estimate", "GDP Final"),
                "Real GDP, q/q annualised"),
    ReleaseName("pce", "US", ("Core PCE Price Index MM", "Core PCE Price Idx MM"),
                "Core PCE price index, m/m"),
    _rate("EU", "European Central Bank", "ECB Refinancing", "ECB Refinancing Rate",
          "ECB Main Refinancing Rate", "ECB Rate Decision", "ECB Deposit Rate"),
    _rate("GB", "Bank of England", "BOE Bank Rate", "BOE Rate Decision"),
    # Its board decides when it has finished.
    _rate("JP", "Bank of Japan", "BOJ Rate Decision", "JP BOJ Rate Decision", "BOJ Policy Rate",
          is_timed=False),
    _rate("CA", "Bank of Canada", "BOC Rate Decision", "BOC Rate"),
    _rate("AU", "Reserve Bank of Australia", "RBA Cash Rate", "RBA Rate Decision"),
    _rate("NZ", "Reserve Bank of New Zealand", "RBNZ Cash Rate", "RBNZ Rate Decision",
          "Official Cash Rate"),
    _rate("CH", "Swiss National Bank", "SNB Policy Rate", "SNB Rate Decision"),
    ReleaseName("cpi", "EU", ("HICP Flash YY", "HICP-X F,E,A,T Flash YY"), "HICP flash, y/y"),
    ReleaseName("cpi", "GB", ("CPI YY",), "CPI, y/y"),
    ReleaseName("cpi", "CA", ("CPI Inflation YY",), "CPI, y/y"),
    ReleaseName("cpi", "JP", ("CPI, Core Nationwide YY",), "Core CPI, y/y"),
)  # fmt: skip
"""The releases that become events, by Yahoo's names."""

COUNTRIES: dict[str, tuple[str, ...]] = {
    "US": ("US",), "EU": ("EU", "EZ", "EMU"), "GB": ("GB", "UK"), "JP": ("JP",), "CA": ("CA",),
    "AU": ("AU",), "NZ": ("NZ",), "CH": ("CH",),
}  # fmt: skip
"""Yahoo's country codes of each region."""


def _plain(name: str) -> str:
    return " ".join(name.replace("*", " ").split()).casefold()


_REGION_OF = {code: region for region, codes in COUNTRIES.items() for code in codes}
_BY_NAME = {
    (release.region, _plain(name)): (release, place)
    for release in RELEASES
    for place, name in enumerate(release.names)
}


def release_of(country: str, name: str) -> tuple[ReleaseName, int] | None:
    """The release of a name of Yahoo's and the place of the name in it; None for others.

    Args:
        country: Yahoo's country code.
        name: Yahoo's name, with or without its asterisk.
    """
    return _BY_NAME.get((_REGION_OF.get(country.strip().upper(), ""), _plain(name)))


@dataclass(frozen=True, slots=True)
class FetchedReleases:
    """What the calendar has for some days.

    Attributes:
        events: By time.
        ignored: Number of rows by name that are no event here.
        n_unread: Number of figures that are no numbers; they are missing.
    """

    events: tuple[Event, ...]
    ignored: Counter[str]
    n_unread: int = 0


class YahooReleases:
    """Yahoo's economic calendar.

    Args:
        session: The connection; default: one of its own.
        sleep: Sleeps so many seconds.
    """

    def __init__(
        self,
        session: CalendarSession | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._retry = Retry(TITLE, sleep=sleep)

    def fetch(
        self, region: str, first: pd.Timestamp, last: pd.Timestamp, *, now: pd.Timestamp
    ) -> FetchedReleases:
        """The releases of a region on some days.

        Args:
            region: One of `COUNTRIES`.
            first: First day, midnight UTC.
            last: Last day, midnight UTC.
            now: When this is, UTC.

        Raises:
            SourceError: Yahoo could not give them.
        """
        deadline = time.monotonic() + _ALL_PAGES_SECONDS
        rows: dict[tuple[str, ...], list[Any]] = {}
        for page in range(_MOST_PAGES):
            if time.monotonic() > deadline:
                raise SourceDown(
                    f"{TITLE} needs more than {_ALL_PAGES_SECONDS:.0f} s for its calendar. Try "
                    "again later, or ask for fewer days."
                )
            body = _query(region, first, last + _DAY, page * PAGE)
            total, found = self._retry.run(partial(self._request, body))
            # A release that is added between two pages moves rows from one to the next.
            rows |= {tuple(map(str, row)): row for row in found}
            if len(found) < PAGE or (page + 1) * PAGE >= total:
                return _events(rows.values(), region, first, last, now)
        raise SourceNonsense(
            f"{TITLE} lists more than {_MOST_PAGES * PAGE:,} releases for these days. Ask for "
            "fewer days, or update the application: it may have changed its format."
        )

    def _request(self, body: dict[str, Any], seconds: float) -> tuple[int, list[list[Any]]]:
        from yfinance.exceptions import YFException

        require("curl_cffi", "markets", TITLE)
        from data_sources.yahoo.session import CalendarSession

        if self._session is None:
            self._session = CalendarSession()
        try:
            with yfinance_with(self._session, seconds=seconds) as client:
                connection = client.data.YfData(session=self._session)
                connection.post(ADDRESS, body=body, params={"lang": "en-US", "region": "US"})
                return self._session.table(FIELDS)
        except KronosError:
            raise
        except (YFException, *UNREADABLE) as exc:
            raise SourceNonsense(
                f"{TITLE} sent a calendar that cannot be read ({type(exc).__name__}: "
                f"{str(exc)[:200]}). It may have changed its format: update the application."
            ) from exc


def _query(region: str, start: pd.Timestamp, end: pd.Timestamp, offset: int) -> dict[str, Any]:
    def condition(operator: str, *operands: Any) -> dict[str, Any]:
        return {"operator": operator, "operands": list(operands)}

    countries = [condition("EQ", "country_code", code) for code in COUNTRIES[region]]
    return {
        "sortType": "ASC",
        "entityIdType": "economic_event",
        "sortField": "startdatetime",
        "includeFields": list(FIELDS),
        "size": PAGE,
        "offset": offset,
        "query": condition(
            "AND",
            condition("GTE", "startdatetime", f"{start:%Y-%m-%d}"),
            condition("LTE", "startdatetime", f"{end:%Y-%m-%d}"),
            condition("OR", *countries),
        ),
    }


def _events(
    rows: Iterable[list[Any]],
    region: str,
    first: pd.Timestamp,
    last: pd.Timestamp,
    now: pd.Timestamp,
) -> FetchedReleases:
    ignored: Counter[str] = Counter()
    chosen: dict[tuple[str, str], tuple[int, Event]] = {}
    n_unread = 0
    for name, country, moment, period, *figures in rows:
        if not isinstance(name, str) or not isinstance(country, str):
            raise _unreadable("a release without a name or a country")
        time = _moment(moment)
        found = release_of(country, name)
        if found is None or found[0].region != region:
            ignored[name[:60]] += 1
            continue
        if not first <= time.floor("D") <= last:
            continue
        release, place = found
        read = [_figure(value) for value in figures[:3]]
        n_unread += sum(value is None and _is_given(figures[i]) for i, value in enumerate(read))
        event = _event(release, time, period, read, now)
        key = event.kind, event.release_day
        if key not in chosen or place < chosen[key][0]:
            chosen[key] = place, event
    events = sorted((event for _, event in chosen.values()), key=lambda event: event.time)
    return FetchedReleases(tuple(events), ignored, n_unread)


def _event(
    release: ReleaseName,
    time: pd.Timestamp,
    period: Any,
    figures: list[float | None],
    now: pd.Timestamp,
) -> Event:
    if release.kind == "fomc":
        figures = [None if value is None else _upper_end(value) for value in figures]
    actual, consensus, previous = figures
    is_exact = release.is_timed
    if time == time.normalize():  # midnight stands for a date alone
        time = release_moment(f"{time:%Y-%m-%d}", "12:00", region_zone(release.region))
        is_exact = False
    is_period = isinstance(period, str) and _PERIOD.fullmatch(period.strip())
    return Event(
        release.kind, time, release.region,
        name=release.title,
        period=period.strip() if is_period else "",
        # What is called actual before the release is none.
        actual=actual if time <= now else None,
        consensus=consensus, previous=previous,
        unit=release.unit, source=TITLE, fetched_at=now, is_time_exact=is_exact,
    )  # fmt: skip


def _upper_end(rate: float) -> float:
    """Upper end of the Federal Reserve's target range.

    Yahoo gives that end or the middle of the range, in one row even: 3.75 after 3.62. The range
    is a quarter wide from quarter to quarter, so a middle is never a multiple of a quarter.
    """
    is_end = math.isclose(rate * 4, round(rate * 4), abs_tol=0.02)
    return round((rate if is_end else rate + 0.125) * 4) / 4


def _moment(text: Any) -> pd.Timestamp:
    try:
        if not isinstance(text, str) or not _TIME.fullmatch(text):
            raise ValueError(text)
        return pd.Timestamp(text).tz_convert("UTC").as_unit("ns")
    except (ValueError, OverflowError) as exc:
        raise _unreadable(f"{str(text)[:40]!r} for a time") from exc


def _is_given(value: Any) -> bool:
    return value is not None and str(value).strip() not in {"", "-"}


def _figure(value: Any) -> float | None:
    """A figure, which Yahoo writes as text; None for a missing one and for what is no number."""
    text = str(value).strip().replace(",", "").removesuffix("%")
    if value is None or isinstance(value, bool) or len(text) > _LONGEST_FIGURE:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= _MOST_FIGURE else None  # not NaN either


def _unreadable(found: str) -> SourceNonsense:
    return SourceNonsense(
        f"{TITLE} sent a calendar that cannot be read ({found}). It may have changed its format: "
        "update the application."
    )
