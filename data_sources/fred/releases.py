"""Releases of the United States as events, from FRED: dates, first prints, previous figures.

FRED records what was published on which day. So actual is the first print as it stood on the day of
the release, and previous the figure before it as it stood that day, revisions and all. FRED knows
no consensus; that stays missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from data_sources.fred.client import Fred
from kronos.errors import SourceDown
from kronos.events import Event
from kronos.events.csv_file import USUAL_TIMES, release_moment

__all__ = ["RELEASES", "Release", "fetch_releases"]

NEW_YORK = "America/New_York"
_BLS, _BEA = "U.S. Bureau of Labor Statistics", "U.S. Bureau of Economic Analysis"
_TARGET = "DFEDTARU"
_DAY = pd.Timedelta(days=1)
_ALL_REQUESTS_SECONDS = 180.0
# Later estimates of GDP follow the first by a month or so; other dates are annual revisions.
_SECOND_ESTIMATE_DAYS, _THIRD_ESTIMATE_DAYS = 24, 20
_ESTIMATES = ("advance", "second", "third")
# Dates nearer than this are one release and one revision of seasonal factors.
_NEAREST_DAYS = 15


@dataclass(frozen=True, slots=True)
class Release:
    """One regular release.

    Attributes:
        kind: Kind of its events.
        number: Number of the release at FRED.
        series: Series that holds its figure.
        figure: change: difference to the month before; percent: change in percent; level.
        name: What to call the figure.
        unit: Its unit.
        decimals: Digits after the point as published.
        source: Who publishes it.
        step: Months between two observations.
        revision_follows: Whether the yearly revision of seasonal factors, which FRED lists too,
            comes after the release it is near to; it comes before otherwise.
    """

    kind: str
    number: int
    series: str
    figure: Literal["change", "percent", "level"]
    name: str
    unit: str
    decimals: int
    source: str
    step: int = 1
    revision_follows: bool = True


RELEASES = (
    Release("cpi", 10, "CPIAUCSL", "percent", "CPI, m/m", "%", 1, _BLS, revision_follows=False),
    Release("nfp", 50, "PAYEMS", "change", "Nonfarm payrolls, change", "thousand", 0, _BLS),
    Release(
        "gdp", 53, "A191RL1Q225SBEA", "level", "Real GDP, q/q annualised", "%", 1, _BEA, step=3
    ),
    Release("pce", 54, "PCEPILFE", "percent", "Core PCE price index, m/m", "%", 1, _BEA),
)
"""The releases that have channels."""


def fetch_releases(
    fred: Fred,
    meetings: Sequence[Event],
    since: pd.Timestamp,
    *,
    now: pd.Timestamp,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Event], list[str]]:
    """All releases from a date on, past and scheduled, and FOMC decisions with their rates.

    Args:
        fred: The client.
        meetings: FOMC decisions whose dates are known; FRED has rates and no dates of meetings.
        since: First date wanted, naive.
        now: When this is, UTC.
        progress: Called with the number of finished requests and of all.

    Returns:
        The events, and notes on what a reader must know.

    Raises:
        SourceError: FRED could not give them.
    """
    events: list[Event] = []
    total = 2 * len(RELEASES) + 1
    deadline = time.monotonic() + _ALL_REQUESTS_SECONDS

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise SourceDown(
                f"FRED needs more than {_ALL_REQUESTS_SECONDS:.0f} s for these releases. Try "
                "again later, or ask for a later start."
            )
        return seconds

    for i, release in enumerate(RELEASES):
        dates = fred.release_dates(release.number, since, seconds=left())
        progress(2 * i + 1, total)
        # Two years before, so that the first release has its previous figure.
        vintages = fred.vintages(release.series, since - 730 * _DAY, seconds=left())
        progress(2 * i + 2, total)
        events += _events_of(release, [pd.Timestamp(date) for date in dates], vintages, now)
    target = fred.latest(_TARGET, since - 60 * _DAY, seconds=left())
    progress(total, total)
    decided, notes = _with_rates(meetings, target, since, now)
    return events + decided, notes


def _events_of(
    release: Release, dates: list[pd.Timestamp], vintages: pd.DataFrame, now: pd.Timestamp
) -> list[Event]:
    published = vintages.dropna(subset="value")
    first_prints = set(published.groupby("date")["first"].min())
    until = published["first"].max() if len(published) else pd.Timestamp.min
    past = _past_releases(release, [date for date in dates if date <= until], first_prints)
    coming = _without_revisions(release, [date for date in dates if date > until])
    if past and release.revision_follows:
        coming = [date for date in coming if (date - past[-1][0]).days >= _NEAREST_DAYS]
    events = []
    for date, estimate in [*past, *((date, 0) for date in coming)]:
        event = Event(
            kind=release.kind,
            time=release_moment(f"{date:%Y-%m-%d}", USUAL_TIMES[release.kind, "US"], NEW_YORK),
            region="US",
            name=release.name,
            unit=release.unit,
            source=f"{release.source}; FRED",
            fetched_at=now,
        )
        if date <= until:
            event = _with_figures(event, release, published, date, estimate)
        events.append(event)
    return events


def _past_releases(
    release: Release, dates: list[pd.Timestamp], first_prints: set[pd.Timestamp]
) -> list[tuple[pd.Timestamp, int]]:
    """Dates on which figures were published, and which estimate they were (0: the first)."""
    found: list[tuple[pd.Timestamp, int]] = []
    for date in dates:
        if date in first_prints:
            found.append((date, 0))
        elif release.step == 3 and found and found[-1][1] < 2:
            last, estimate = found[-1]
            wait = _SECOND_ESTIMATE_DAYS if estimate == 0 else _THIRD_ESTIMATE_DAYS
            if (date - last).days >= wait:
                found.append((date, estimate + 1))
    return found


def _without_revisions(release: Release, dates: list[pd.Timestamp]) -> list[pd.Timestamp]:
    """Scheduled dates, of two that are near to each other only the release itself."""
    found: list[pd.Timestamp] = []
    for date in dates:
        if not found or (date - found[-1]).days >= _NEAREST_DAYS:
            found.append(date)
        elif not release.revision_follows:
            found[-1] = date
    return found


def _with_figures(
    event: Event, release: Release, published: pd.DataFrame, date: pd.Timestamp, estimate: int
) -> Event:
    """The event with what stood at FRED on the day of the release."""
    standing = published[(published["first"] <= date) & (date <= published["last"])]
    values = standing.groupby("date")["value"].last()
    observed = values.index.max()
    period = f"{observed:%b %Y}"
    if release.step == 3:
        period = f"Q{observed.quarter} {observed.year}, {_ESTIMATES[estimate]}"
    return replace(
        event,
        period=period,
        actual=_figure(release, values, observed),
        previous=_figure(release, values, observed - pd.DateOffset(months=release.step)),
    )


def _figure(release: Release, values: pd.Series, period: pd.Timestamp) -> float | None:
    """The figure as it is published; None where an observation is missing."""
    now = values.get(period)
    before = values.get(period - pd.DateOffset(months=release.step))
    if now is None or (before is None and release.figure != "level"):
        return None
    if release.figure == "level":
        figure = float(now)
    elif release.figure == "change":
        figure = float(now - before)
    else:
        figure = 100.0 * float(now / before - 1.0)
    return round(figure, release.decimals) + 0.0  # no negative zero


def _with_rates(
    meetings: Sequence[Event], target: pd.Series, since: pd.Timestamp, now: pd.Timestamp
) -> tuple[list[Event], list[str]]:
    """FOMC decisions with the upper end of the target range before and after.

    A decision holds from the day after. A change that follows no known meeting becomes a note,
    not an event: FRED does not know at what time of which day it was decided.
    """
    decided, explained = [], set()
    for event in meetings:
        day = pd.Timestamp(event.release_day)
        if event.kind != "fomc" or day < since:
            continue
        after = target.loc[day + _DAY : day + 5 * _DAY]
        explained |= set(after.index)
        before = target.loc[day - 5 * _DAY : day]
        decided.append(
            replace(
                event,
                actual=float(after.iloc[0]) if len(after) else event.actual,
                previous=float(before.iloc[-1]) if len(before) and len(after) else event.previous,
                source="Federal Reserve Board; FRED",
                fetched_at=now,
            )
        )
    changed = target.index[1:][np.diff(target.to_numpy()) != 0] if len(target) > 1 else []
    notes = [
        f"The target range changed on {day:%Y-%m-%d} after no meeting that is known. Add the "
        "decision with its time: kronos events add FILE."
        for day in changed
        if day >= since and day not in explained
    ]
    return decided, notes
