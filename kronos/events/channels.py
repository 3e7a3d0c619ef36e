"""The 20 event channels of a window of bars, as they were known at the time.

What a channel says at a bar of the context was public when that bar was complete. Over the horizon
it was public at the origin, the end of the last bar of the context: there only flags and days
until are left, and surprises, leader returns and the level of the VIX are 0, in training as in
inference. Nothing that becomes public later changes any value.

| channel | meaning |
| --- | --- |
| 0-4 | is_fomc, is_cpi, is_nfp, is_gdp, is_pce: releases of the US |
| 5, 7 | cpi_surprise_z, nfp_surprise_z |
| 6 | fomc_hawkish_score |
| 8 | is_earnings of the instrument itself |
| 9 | is_rate_decision of the central banks of the instrument's regions; the FOMC has channel 0 |
| 10-11 | days_to_fomc as sine and cosine of a full turn in 56 days |
| 12-13 | days_to_cpi as sine and cosine of a full turn in 42 days |
| 14-16 | btc, spy, dxy log_return_1h |
| 17 | vix_level_z |
| 18-19 | reserved, 0 |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.calendars.spans import BarSpans, bar_spans
from kronos.errors import InvalidRequest
from kronos.events.bars import dated_bars, first_bars_after, release_hour
from kronos.events.event import Event, sorted_events
from kronos.events.leaders import Leaders, hourly_returns, level_scores

__all__ = [
    "CHANNELS",
    "CPI_CYCLE_DAYS",
    "FOMC_CYCLE_DAYS",
    "N_BEFORE",
    "N_CHANNELS",
    "US_KINDS",
    "event_channels",
    "hawkish_scores",
    "surprise_scores",
]

CHANNELS = (
    "is_fomc", "is_cpi", "is_nfp", "is_gdp", "is_pce",
    "cpi_surprise_z", "fomc_hawkish_score", "nfp_surprise_z",
    "is_earnings", "is_rate_decision",
    "days_to_fomc_sin", "days_to_fomc_cos", "days_to_cpi_sin", "days_to_cpi_cos",
    "btc_log_return_1h", "spy_log_return_1h", "dxy_log_return_1h", "vix_level_z",
    "reserved_18", "reserved_19",
)  # fmt: skip
"""Names of the channels, in order."""

N_CHANNELS = len(CHANNELS)

FOMC_CYCLE_DAYS = 56.0
"""Longest usual time between two meetings: eight weeks. Days beyond it count as this many."""
CPI_CYCLE_DAYS = 42.0
"""Longest usual time between two releases: six weeks."""

US_KINDS = ("fomc", "cpi", "nfp", "gdp", "pce")
"""Releases of the United States, which set a channel for every instrument."""
_DAY = pd.Timedelta(days=1).value


def event_channels(
    timestamps: pd.DatetimeIndex,
    *,
    interval: str,
    calendar: str,
    zone: str,
    n_context: int,
    events: Sequence[Event],
    leaders: Leaders | None = None,
    symbol: str = "",
    regions: Sequence[str] = ("US",),
) -> np.ndarray:
    """Event channels of a context and its horizon.

    Args:
        timestamps: (T + H,) open times, aware, increasing: context first, then horizon.
        interval: Name of the bar width.
        calendar: Calendar of the bars: "24/7", "fx", "weekdays" or an exchange code.
        zone: The market's clock.
        n_context: T, the bars that are known; the origin is the end of the last of them.
        events: Any events, in any order; which of them were known when follows from
            `Event.announced_time` and `Event.value_time`.
        leaders: Leading markets, over the context and some days before; default none.
        symbol: The instrument's ticker, for its earnings.
        regions: The instrument's regions, for rate decisions (`kronos.events.regions_of`).

    Returns:
        (T + H, 20) float32, in the order of `CHANNELS`.

    Raises:
        InvalidRequest: n_context is out of range, or the timestamps do not increase.
    """
    if not 1 <= n_context <= len(timestamps):
        raise InvalidRequest(
            f"n_context must be from 1 to the number of bars, {len(timestamps)}; found {n_context}."
        )
    if not timestamps.is_monotonic_increasing or not timestamps.is_unique:
        raise InvalidRequest("The timestamps of event channels must increase.")
    spans = bar_spans(timestamps, interval=interval, calendar=calendar, zone=zone)
    known = np.minimum(spans.end, spans.end[n_context - 1])
    view = _View(spans, known, n_context, zone, is_intraday(interval))
    out = np.zeros((len(timestamps), N_CHANNELS), np.float64)
    _tell_events(out, view, sorted_events(events), symbol, regions)
    _tell_leaders(out[:n_context], leaders or Leaders(), known[:n_context])
    return out.astype(np.float32)


def _tell_events(
    out: np.ndarray, view: _View, events: Sequence[Event], symbol: str, regions: Sequence[str]
) -> None:
    """Writes channels 0 to 13."""
    of_us = {
        kind: [event for event in events if event.kind == kind and event.region == "US"]
        for kind in US_KINDS
    }
    for channel, kind in enumerate(US_KINDS):
        out[:, channel] = view.flags(of_us[kind])
    out[:, 5] = view.scores(of_us["cpi"], surprise_scores(of_us["cpi"]))
    out[:, 6] = view.scores(of_us["fomc"], hawkish_scores(of_us["fomc"]))
    out[:, 7] = view.scores(of_us["nfp"], surprise_scores(of_us["nfp"]))
    out[:, 8] = view.flags(_earnings_of(events, symbol))
    out[:, 9] = view.flags(
        [event for event in events if event.kind == "rate_decision" and event.region in regions]
    )
    out[:, 10:12] = view.days_until(of_us["fomc"], FOMC_CYCLE_DAYS)
    out[:, 12:14] = view.days_until(of_us["cpi"], CPI_CYCLE_DAYS)


def _tell_leaders(out: np.ndarray, leaders: Leaders, known: np.ndarray) -> None:
    """Writes channels 14 to 17 of the context."""
    for channel, leader in enumerate((leaders.btc, leaders.spy, leaders.dxy), start=14):
        out[:, channel] = hourly_returns(leader, known)
    out[:, 17] = level_scores(leaders.vix, known)


class _View:
    """Bars, and what was public at each of them.

    Args:
        spans: Of all T + H bars.
        known: (T + H,) moments, nanoseconds UTC, before which something must be public to show.
        n_context: T.
        zone: The market's clock.
        is_intraday: Whether several bars fall on one day.
    """

    def __init__(
        self, spans: BarSpans, known: np.ndarray, n_context: int, zone: str, is_intraday: bool
    ) -> None:
        self._spans = spans
        self._known = known
        self._n_context = n_context
        self._zone = zone
        self._is_intraday = is_intraday

    def flags(self, events: Sequence[Event]) -> np.ndarray:
        """(T + H,) 1 on the bars of events whose date was public, else 0."""
        out = np.zeros(len(self._known))
        for event, bars in zip(events, self._flagged(events), strict=True):
            if len(bars):
                out[bars[event.announced_time.value < self._known[bars]]] = 1.0
        return out

    def scores(self, events: Sequence[Event], scores: np.ndarray) -> np.ndarray:
        """(T + H,) scores of events on their bars, from the first that can know them; else 0."""
        out = np.zeros(len(self._known))
        values = np.array([event.value_time.value for event in events], np.int64)
        reactions = first_bars_after(self._spans, values)
        flagged = self._flagged(events)
        for i in np.flatnonzero(scores):
            bars = flagged[i][self._spans.end[flagged[i]] > values[i]]
            if reactions[i] >= 0:
                bars = np.append(bars, reactions[i])
            out[bars[bars < self._n_context]] = scores[i]
        return out

    def days_until(self, events: Sequence[Event], cycle: float) -> np.ndarray:
        """(T + H, 2) sine and cosine of the days until the next event whose date was public.

        0 days on the bar of the event. Both are 0 where no coming date was public.
        """
        times, announced = (
            np.array([getattr(event, name).value for event in events], np.int64)
            for name in ("time", "announced_time")
        )
        n_bars = len(self._known)
        days, is_open = np.full(n_bars, np.nan), np.ones(n_bars, bool)
        following = np.searchsorted(times, self._spans.day_start, side="left")
        dates = self._dates(times)
        here = self._dates(self._spans.open)
        # Almost always the next event is public; the few bars where it is not look further.
        while (is_open := is_open & (following < len(times))).any():
            bars = np.flatnonzero(is_open)
            i = following[bars]
            public = announced[i] < self._known[bars]
            at = bars[public]
            days[at] = np.where(
                times[i[public]] < self._spans.day_end[at],
                0.0,
                (dates[i[public]] - here[at]) / _DAY,
            )
            is_open[at] = False
            following[bars[~public]] += 1
        turn = 2.0 * np.pi * np.clip(days, 0.0, cycle) / cycle
        return np.nan_to_num(np.column_stack([np.sin(turn), np.cos(turn)]), nan=0.0)

    def _flagged(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Positions of the bars that carry each event: its date's, or those of its hour."""
        times = np.array([event.time.value for event in events], np.int64)
        dated = dated_bars(self._spans, times)
        bars = [dated[i : i + 1][dated[i : i + 1] >= 0] for i in range(len(events))]
        if not self._is_intraday:
            return bars
        hour = pd.Timedelta(hours=1).value
        first, last = self._spans.open[0] - hour, self._spans.end[-1] + hour
        for i in np.flatnonzero((first <= times) & (times <= last)).tolist():
            start, stop = release_hour(events[i])
            begin = np.searchsorted(self._spans.end, start, side="right")
            end = np.searchsorted(self._spans.open, stop, side="left")
            bars[i] = np.union1d(bars[i], np.arange(begin, end)).astype(np.intp)
        return bars

    def _dates(self, moments: np.ndarray) -> np.ndarray:
        """Moments themselves intraday; else midnights of their dates on the market's clock."""
        if self._is_intraday or not len(moments):
            return moments
        wall = pd.DatetimeIndex(moments, tz="UTC").tz_convert(self._zone).tz_localize(None)
        return wall.normalize().as_unit("ns").asi8


def _earnings_of(events: Sequence[Event], symbol: str) -> list[Event]:
    ticker = symbol.strip().upper()
    return [
        event
        for event in events
        if event.kind == "earnings" and ticker and event.symbol.strip().upper() == ticker
    ]


N_BEFORE = 20
"""Surprises before an event from which its sigma is taken."""

_MOST_SIGMAS = 3.0
_MOST_STEPS = 2.0
_STEP = 0.25  # percentage points of a usual change of rates


def surprise_scores(events: Sequence[Event]) -> np.ndarray:
    """Surprises in units of sigma.

    Sigma is the sample standard deviation (divisor 19) of the 20 surprises before, never of this
    one or of later ones. With fewer before, or where they were all alike, there is no scale and
    the score is 0; so it is without an actual or a consensus.

    Args:
        events: K releases of one kind and region, by time.

    Returns:
        (K,) scores within -3 and 3.
    """
    scores = np.zeros(len(events))
    before: list[float] = []
    for i, event in enumerate(events):
        surprise = event.surprise
        if surprise is None:
            continue
        if len(before) >= N_BEFORE:
            sigma = float(np.std(before[-N_BEFORE:], ddof=1))
            if sigma > 1e-12:
                scores[i] = np.clip(surprise / sigma, -_MOST_SIGMAS, _MOST_SIGMAS)
        before.append(surprise)
    return scores


def hawkish_scores(events: Sequence[Event]) -> np.ndarray:
    """Changes of the policy rate in steps of 25 basis points: a proxy of how hawkish they were.

    Args:
        events: K decisions; actual and previous are the rate in percent.

    Returns:
        (K,) scores within -2 and 2; 0 where either figure is missing.
    """
    return np.array(
        [
            0.0
            if event.actual is None or event.previous is None
            else np.clip((event.actual - event.previous) / _STEP, -_MOST_STEPS, _MOST_STEPS)
            for event in events
        ],
        float,
    )
