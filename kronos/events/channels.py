"""The 20 event channels of a window of bars, from facts that were public at the time.

At a bar of the context a channel holds facts that were public when that bar was complete, over the
horizon facts that were public at the origin, the end of the last bar of the context: there flags
and days until are set, and surprises, leader returns and the level of the VIX are 0, in training as
in inference. Facts published later change no value.

A model reads the row of a bar with the token of that bar and then draws the next one. What was
released in a bar (5-7, 14-17) stands in its own row. Where the schedule stands (0-4, 8-13, 18, 19)
is the alignment, which a model is trained with: "bar" writes that of the bar itself, which comes
too late for the bar; "ahead" writes that of the next bar. There the last row has no schedule, as no
bar follows it.

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
| 18 | pause_before: log(1 + hours) / 4 of the pause of the market before the bar; "ahead" only |
| 19 | is_release_bar: the bar that a release falls in; "ahead" only |

Flags of intraday bars cover the clock hour of a release, is_release_bar the one bar that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from kronos.calendars.intervals import is_intraday
from kronos.calendars.spans import BarSpans, bar_spans
from kronos.errors import InvalidRequest
from kronos.events.bars import dated_bars, first_bars_after, release_hour
from kronos.events.event import Event, sorted_events
from kronos.events.leaders import Leaders, hourly_returns, level_scores

__all__ = [
    "ALIGNMENTS",
    "CHANNELS",
    "CPI_CYCLE_DAYS",
    "FOMC_CYCLE_DAYS",
    "N_BEFORE",
    "N_CHANNELS",
    "SURPRISES",
    "US_KINDS",
    "Alignment",
    "ScoredKind",
    "event_channels",
    "hawkish_scores",
    "sets_a_channel",
    "surprise_scores",
]

CHANNELS = (
    "is_fomc", "is_cpi", "is_nfp", "is_gdp", "is_pce",
    "cpi_surprise_z", "fomc_hawkish_score", "nfp_surprise_z",
    "is_earnings", "is_rate_decision",
    "days_to_fomc_sin", "days_to_fomc_cos", "days_to_cpi_sin", "days_to_cpi_cos",
    "btc_log_return_1h", "spy_log_return_1h", "dxy_log_return_1h", "vix_level_z",
    "pause_before", "is_release_bar",
)  # fmt: skip
"""Names of the channels, in order."""

N_CHANNELS = len(CHANNELS)

Alignment = Literal["bar", "ahead"]
"""Whether a row holds the schedule of its own bar, or of the next one."""
ALIGNMENTS: tuple[Alignment, ...] = ("bar", "ahead")

FOMC_CYCLE_DAYS = 56.0
"""Longest usual time between two meetings: eight weeks. Days beyond it count as this many."""
CPI_CYCLE_DAYS = 42.0
"""Longest usual time between two releases: six weeks."""

N_BEFORE = 20
"""Number of earlier surprises that give the sigma of an event."""
_MOST_SIGMAS = 3.0
_MOST_STEPS = 2.0
_STEP = 0.25  # percentage points of a usual change of rates
_DAY = pd.Timedelta(days=1).value
_HOUR = pd.Timedelta(hours=1).value
_PAUSE_SCALE = 4.0  # log(1 + 54 hours): about a weekend
_LONGEST_PAUSE = 240.0  # hours, longer than any holiday but the weeks of a war

US_KINDS = ("fomc", "cpi", "nfp", "gdp", "pce")
"""Releases of the United States: each sets its flag for every instrument."""


@dataclass(frozen=True, slots=True)
class ScoredKind:
    """A kind of release whose outcome has a channel.

    Attributes:
        channel: Channel of the score.
        most: Largest absolute value of the score.
        unit: Unit of the score.
        days: Channel of the sine of the days until the next one, before that of the cosine; "" for
            none.
        cycle: Days of a full turn.
    """

    channel: str
    most: float
    unit: str
    days: str = ""
    cycle: float = 0.0


SURPRISES = {
    "cpi": ScoredKind("cpi_surprise_z", _MOST_SIGMAS, "sigmas", "days_to_cpi_sin", CPI_CYCLE_DAYS),
    "nfp": ScoredKind("nfp_surprise_z", _MOST_SIGMAS, "sigmas"),
    "fomc": ScoredKind(
        "fomc_hawkish_score", _MOST_STEPS, "steps of 0.25 points",
        "days_to_fomc_sin", FOMC_CYCLE_DAYS,
    ),
}  # fmt: skip
"""Kinds of releases whose outcome has a channel."""


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
    alignment: Alignment = "bar",
) -> np.ndarray:
    """Event channels of a context and its horizon.

    Args:
        timestamps: (T + H,) open times, aware, increasing: context first, then horizon.
        interval: Name of the bar width.
        calendar: Calendar of the bars: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: The market's clock.
        n_context: T, the number of known bars; the origin is the end of the last one.
        events: Any events, in any order; `Event.announced_time` and `Event.value_time` say from
            when on they are known.
        leaders: Leading markets, over the context and some days before; default none.
        symbol: The instrument's ticker, for its earnings.
        regions: The instrument's regions, for rate decisions (`kronos.events.regions_of`).
        alignment: Whether a row holds the schedule of its own bar ("bar") or of the next one
            ("ahead"), as the model was trained; see `ModelFacts.event_alignment`.

    Returns:
        (T + H, 20) float32, in the order of `CHANNELS`.

    Raises:
        InvalidRequest: n_context is out of range, the timestamps do not increase, or there is no
            such alignment.
    """
    if alignment not in ALIGNMENTS:
        raise InvalidRequest(
            f"The alignment of event rows is {' or '.join(ALIGNMENTS)}, found {alignment!r}."
        )
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
    public = [
        event
        for event in events
        if sets_a_channel(event, symbol, regions) and event.announced_time.value < known[-1]
    ]
    chosen = sorted_events(public)
    _write_released(out, view, chosen)
    # Before the first bar and the pause before it, only the surprises count that others are
    # measured by.
    begin = min(spans.since[0], spans.day_start[0]) - _HOUR
    chosen = tuple(event for event in chosen if event.time.value >= begin)
    if alignment == "bar":
        _write_scheduled(out, view, chosen)
    elif len(timestamps) > 1:
        # What is public stays that of the row; the bars are those after it.
        following = _View(_without_first(spans), known[:-1], n_context, zone, view.is_intraday)
        _write_scheduled(out[:-1], following, chosen)
        out[:-1, CHANNELS.index("pause_before")] = following.pauses()
        out[:-1, CHANNELS.index("is_release_bar")] = following.release_bars(chosen)
    _write_leaders(out[:n_context], leaders or Leaders(), known[:n_context])
    return out.astype(np.float32)


def sets_a_channel(event: Event, symbol: str, regions: Sequence[str]) -> bool:
    """Whether an event sets a channel for an instrument; charts show others as well.

    Args:
        event: Any event.
        symbol: The instrument's ticker, for its earnings.
        regions: Its regions, for rate decisions.
    """
    if event.kind == "earnings":
        ticker = symbol.strip().upper()
        return bool(ticker) and event.symbol.strip().upper() == ticker
    if event.kind == "rate_decision":
        return event.region in regions
    return event.kind in US_KINDS and event.region == "US"


def surprise_scores(events: Sequence[Event]) -> np.ndarray:
    """Surprises in units of sigma.

    Sigma is the sample standard deviation (divisor 19) of the 20 earlier surprises; this one and
    later ones do not count. The score is 0 with fewer of them, where they were all alike, and
    without an actual or a consensus.

    Args:
        events: K releases of one kind and region, by time.

    Returns:
        (K,) scores within -3 and 3.
    """
    scores = np.zeros(len(events))
    known = [(i, event.surprise) for i, event in enumerate(events) if event.surprise is not None]
    if len(known) <= N_BEFORE:
        return scores
    places, surprises = np.array([i for i, _ in known]), np.array([each for _, each in known])
    # Contiguous, as the order of a sum is that in memory.
    past = np.ascontiguousarray(sliding_window_view(surprises[:-1], N_BEFORE))
    sigma = np.std(past, axis=1, ddof=1)
    differ = sigma > 1e-12 * np.abs(past).max(axis=1)  # of equal ones rounding alone is left
    found = surprises[N_BEFORE:][differ] / sigma[differ]
    scores[places[N_BEFORE:][differ]] = np.clip(found, -_MOST_SIGMAS, _MOST_SIGMAS)
    return scores


def hawkish_scores(events: Sequence[Event]) -> np.ndarray:
    """Changes of the policy rate in steps of 25 basis points, above 0 for hawkish ones.

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


def _write_scheduled(out: np.ndarray, view: _View, events: Sequence[Event]) -> None:
    """Writes the flags and the days until."""
    for kind in (*US_KINDS, "earnings", "rate_decision"):
        out[:, CHANNELS.index(f"is_{kind}")] = view.flags(_of_kind(events, kind))
    for kind, scored in SURPRISES.items():
        if scored.days:
            sine = CHANNELS.index(scored.days)
            out[:, sine : sine + 2] = view.days_until(_of_kind(events, kind), scored.cycle)


def _write_released(out: np.ndarray, view: _View, events: Sequence[Event]) -> None:
    """Writes the scores of outcomes."""
    for kind, scored in SURPRISES.items():
        releases = _of_kind(events, kind)
        found = hawkish_scores(releases) if kind == "fomc" else surprise_scores(releases)
        out[:, CHANNELS.index(scored.channel)] = view.scores(releases, found)


def _of_kind(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event.kind == kind]


def _without_first(spans: BarSpans) -> BarSpans:
    return BarSpans(*(getattr(spans, field.name)[1:] for field in fields(BarSpans)))


def _write_leaders(out: np.ndarray, leaders: Leaders, known: np.ndarray) -> None:
    """Writes the channels of the leading markets, over the context."""
    for name in ("btc", "spy", "dxy"):
        channel = CHANNELS.index(f"{name}_log_return_1h")
        out[:, channel] = hourly_returns(getattr(leaders, name), known)
    out[:, CHANNELS.index("vix_level_z")] = level_scores(leaders.vix, known)


class _View:
    """Bars, and the facts that were public at each of them.

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
        self.is_intraday = is_intraday

    def flags(self, events: Sequence[Event]) -> np.ndarray:
        """(T + H,) 1 on the bars of events whose date was public, else 0."""
        out = np.zeros(len(self._known))
        for event, bars in zip(events, self._flagged(events), strict=True):
            if len(bars):
                out[bars[event.announced_time.value < self._known[bars]]] = 1.0
        return out

    def scores(self, events: Sequence[Event], scores: np.ndarray) -> np.ndarray:
        """(T + H,) scores of events on their bars from their publication on; else 0."""
        out = np.zeros(len(self._known))
        values = np.array([event.value_time.value for event in events], np.int64)
        reactions = first_bars_after(self._spans, values)
        flagged = self._flagged(events)
        for i in np.flatnonzero(scores).tolist():
            if not len(flagged[i]) and reactions[i] < 0:
                continue
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

    def pauses(self) -> np.ndarray:
        """(n,) scaled length of the pause before each bar, as the market's calendar has it."""
        hours = (self._spans.open - self._spans.since) / _HOUR
        return np.log1p(np.clip(hours, 0.0, _LONGEST_PAUSE)) / _PAUSE_SCALE

    def release_bars(self, events: Sequence[Event]) -> np.ndarray:
        """(n,) 1 on the bars that hold a release whose date was public, else 0.

        An intraday bar only where the time of day is certain.
        """
        out = np.zeros(len(self._known))
        certain = [event for event in events if event.is_time_exact or not self.is_intraday]
        times, announced = (
            np.array([getattr(event, name).value for event in certain], np.int64)
            for name in ("time", "announced_time")
        )
        bars = dated_bars(self._spans, times)
        announced, bars = announced[bars >= 0], bars[bars >= 0]
        out[bars[announced < self._known[bars]]] = 1.0
        return out

    def _flagged(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Positions of the bars of each event: of its date, or of its hour."""
        times = np.array([event.time.value for event in events], np.int64)
        dated = dated_bars(self._spans, times)
        bars = [dated[:0]] * len(events)
        for i in np.flatnonzero(dated >= 0).tolist():
            bars[i] = dated[i : i + 1]
        if not self.is_intraday:
            return bars
        first, last = self._spans.open[0] - _HOUR, self._spans.end[-1] + _HOUR
        for i in np.flatnonzero((first <= times) & (times <= last)).tolist():
            start, stop = release_hour(events[i])
            begin = np.searchsorted(self._spans.end, start, side="right")
            end = np.searchsorted(self._spans.open, stop, side="left")
            bars[i] = np.union1d(bars[i], np.arange(begin, end)).astype(np.intp)
        return bars

    def _dates(self, moments: np.ndarray) -> np.ndarray:
        """The moments intraday; else midnights of their dates on the market's clock."""
        if self.is_intraday or not len(moments):
            return moments
        wall = pd.DatetimeIndex(moments, tz="UTC").tz_convert(self._zone).tz_localize(None)
        return wall.normalize().as_unit("ns").asi8
