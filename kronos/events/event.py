"""An event, and the moments from which its date and its outcome are public.

From `announced_time` on, the date of the event is public: a calendar shows it. From `value_time`
on, its outcome is. Channels, charts and training use these two moments, so that they read nothing
before it was public.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from kronos.errors import InvalidEvents
from kronos.events.regions import REGIONS, region_zone

__all__ = [
    "CHART_ONLY", "COLOURS", "KINDS", "MACRO", "READABLE", "Event", "known_at", "sorted_events",
]  # fmt: skip

MACRO: dict[str, str] = {
    "fomc": "FOMC decision",
    "cpi": "CPI",
    "nfp": "Nonfarm payrolls",
    "gdp": "GDP",
    "pce": "PCE price index",
    "rate_decision": "Rate decision",
}
"""Kinds of official releases and their titles; fomc, nfp and pce are releases of the US."""

CHART_ONLY: dict[str, str] = {"news": "News", "split": "Split", "gap": "Gap", "other": "Other"}
"""Kinds on charts that set no channel; an event of kind other has a name and a colour."""

READABLE = (*MACRO, "earnings")
"""Kinds that a model reads, and that an event of kind other can be mapped to."""

COLOURS = ("blue", "green", "orange", "red", "purple", "grey")
"""Colours of events of kind other."""

_OF_US = ("fomc", "cpi", "nfp", "gdp", "pce")

KINDS: dict[str, str] = {**MACRO, "earnings": "Earnings", **CHART_ONLY}
"""Every kind of event and its title."""

# Days before a release from which its date counts as public, unless the event says otherwise.
# Official calendars appear a year ahead; shorter leads allow for moved dates.
_LEAD_DAYS = {"fomc": 180, "rate_decision": 180, "earnings": 14, "news": 0, "split": 14, "gap": 0}
_LEAD_DAYS_OF_STATISTICS = 90  # and of visitors' own events


@dataclass(frozen=True)
class Event:
    """One release, decision, report or other dated event.

    Attributes:
        kind: One of `KINDS`.
        time: Moment of the release, UTC.
        region: One of `REGIONS`; "" for an event of one instrument only.
        symbol: Ticker for earnings, splits and the like; "" for an event of a region.
        name: Title; default: the kind's title.
        period: Period of the figure, such as "Sep 2025"; may be empty.
        actual: First print; None while unknown.
        consensus: Last consensus before the release; None without one.
        previous: The figure before, as known at the release; None where unknown.
        unit: Unit of the three, such as "%", "thousand" or "USD"; may be empty.
        source: Publisher, and source of the figures.
        fetched_at: Moment of the download, UTC; None where unknown.
        announced: Moment from which the date was public, UTC; None: the usual lead of its kind.
            For an unscheduled event its own time.
        is_time_exact: Whether the time of day is known; otherwise only the date is certain.
        colour: One of `COLOURS`, for an event of kind other; "" for the first one.
        reads_as: Kind that models read an event of kind other as; "": no model reads it.

    Raises:
        InvalidEvents: On construction, for an invalid field.
    """

    kind: str
    time: pd.Timestamp
    region: str = ""
    symbol: str = ""
    name: str = ""
    period: str = ""
    actual: float | None = None
    consensus: float | None = None
    previous: float | None = None
    unit: str = ""
    source: str = ""
    fetched_at: pd.Timestamp | None = None
    announced: pd.Timestamp | None = None
    is_time_exact: bool = True
    colour: str = ""
    reads_as: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidEvents(f"Unknown kind {self.kind!r}; the kinds are {', '.join(KINDS)}.")
        if self.region and self.region not in REGIONS:
            raise InvalidEvents(
                f"Unknown region {self.region!r}; the regions are {', '.join(REGIONS)}."
            )
        if not self.region and not self.symbol:
            raise InvalidEvents(
                f"An event of kind {self.kind} needs a region, or the symbol that it concerns."
            )
        if self.kind in MACRO and (self.symbol or not self.region):
            raise InvalidEvents(f"An event of kind {self.kind} has a region and no symbol.")
        self._check_other()
        for name in ("time", "fetched_at", "announced"):
            _check_moment(name, getattr(self, name))
        for name in ("actual", "consensus", "previous"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InvalidEvents(f"{name} must be a finite number or missing, found {value}.")

    def _check_other(self) -> None:
        if self.kind != "other":
            if self.colour or self.reads_as:
                raise InvalidEvents("Only an event of kind other has a colour or a mapping.")
            return
        if not self.name.strip():
            raise InvalidEvents("An event of kind other needs a name.")
        if self.colour and self.colour not in COLOURS:
            raise InvalidEvents(
                f"Unknown colour {self.colour!r}; the colours are {', '.join(COLOURS)}."
            )
        if self.reads_as and self.reads_as not in READABLE:
            raise InvalidEvents(
                f"Models cannot read an event as {self.reads_as!r}; they read "
                f"{', '.join(READABLE)}."
            )
        if self.reads_as == "earnings" and not self.symbol:
            raise InvalidEvents("An event that models read as earnings needs a symbol.")
        if self.reads_as == "rate_decision" and not self.region:
            raise InvalidEvents("An event that models read as a rate decision needs a region.")

    @property
    def as_read(self) -> Event:
        """The event as models read it: one of kind other as the kind that it is mapped to.

        Its figures are left out, because their unit need not be that of the kind.
        """
        if not self.reads_as:
            return self
        is_macro = self.reads_as in MACRO
        region = "US" if self.reads_as in _OF_US else self.region
        return replace(
            self,
            kind=self.reads_as,
            region=region if is_macro else "",
            symbol="" if is_macro else self.symbol,
            actual=None, consensus=None, previous=None, colour="", reads_as="",
            announced=self.announced_time,
        )  # fmt: skip

    @property
    def title(self) -> str:
        """Title with the period."""
        name = self.name or KINDS[self.kind]
        return f"{name} ({self.period})" if self.period else name

    @property
    def zone(self) -> str:
        """IANA name of the clock of its release time."""
        return region_zone(self.region)

    @property
    def surprise(self) -> float | None:
        """Actual minus consensus; None where either is missing."""
        if self.actual is None or self.consensus is None:
            return None
        return self.actual - self.consensus

    @cached_property
    def announced_time(self) -> pd.Timestamp:
        """Moment from which its date was public, UTC: never after the event itself."""
        if self.announced is not None:
            return min(self.announced, self.time)
        return self.time - pd.Timedelta(days=_LEAD_DAYS.get(self.kind, _LEAD_DAYS_OF_STATISTICS))

    @cached_property
    def value_time(self) -> pd.Timestamp:
        """Moment from which its outcome was public, UTC.

        Where only the date is certain: the end of the day on the release's own clock.
        """
        if self.is_time_exact:
            return self.time
        day = self.time.tz_convert(self.zone).tz_localize(None).normalize()
        end = (day + pd.Timedelta(days=1)).tz_localize(
            self.zone, ambiguous=False, nonexistent="shift_forward"
        )
        return max(self.time, end.tz_convert("UTC"))

    @property
    def release_day(self) -> str:
        """Date of the release on its own clock, YYYY-MM-DD."""
        return f"{self.time.tz_convert(self.zone):%Y-%m-%d}"


def known_at(events: Iterable[Event], moment: pd.Timestamp) -> tuple[Event, ...]:
    """The calendar of events just before a moment.

    Events whose date was not yet public are absent. All three figures are missing where the outcome
    was not yet public: a consensus may still change, a previous figure may be revised.

    Args:
        events: Any events.
        moment: Aware.
    """
    return tuple(
        event
        if event.value_time < moment
        else replace(event, actual=None, consensus=None, previous=None)
        for event in events
        if event.announced_time < moment
    )


def sorted_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events by time, then kind, region and symbol."""
    return tuple(sorted(events, key=lambda e: (e.time, e.kind, e.region, e.symbol, e.name)))


def _check_moment(name: str, moment: pd.Timestamp | None) -> None:
    if moment is None and name != "time":
        return
    if not isinstance(moment, pd.Timestamp) or str(moment.tz) != "UTC":  # NaT is no Timestamp
        raise InvalidEvents(f"{name} must be a timestamp in UTC, found {moment!r}.")
