"""Events as scheduled and as supposed, and what of the difference a model reads.

Pure: no page in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kronos.calendars import ALWAYS_OPEN, FX
from kronos.calendars.spans import bar_spans
from kronos.candles import Candles
from kronos.events import KINDS, US_KINDS, Event, EventInputs, Surprise, event_bars

MOST_READ = 2048
"""Bars that no model reads more of here: what lies before is not read, whatever it says."""


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """The bars to forecast, and what is scheduled on them.

    Attributes:
        known: The bars up to the origin.
        future: (H,) open times of the bars to forecast, UTC.
        scheduled: Events that were public at the origin and set a channel, by time.
        bars: Bar of each, counted from 1.
    """

    known: Candles
    future: pd.DatetimeIndex
    scheduled: tuple[Event, ...]
    bars: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Edits:
    """What is supposed in the place of what is known.

    Attributes:
        off: Scheduled events that are taken off the calendar.
        added: An event that is put onto it.
        surprise: An outcome on the last known bar.
    """

    off: tuple[Event, ...] = ()
    added: Event | None = None
    surprise: Surprise | None = None

    def __bool__(self) -> bool:
        return bool(self.off or self.added or self.surprise)

    def apply(self, inputs: EventInputs) -> EventInputs:
        """The events that a model reads then."""
        return replace(inputs, events=self.on_chart(inputs.events), surprise=self.surprise)

    def on_chart(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Events to be marked then."""
        kept = tuple(event for event in events if event not in self.off)
        return kept if self.added is None else (*kept, self.added)


def look_ahead(known: Candles, horizon: int, inputs: EventInputs) -> Ahead:
    """The bars to forecast, with the events that are scheduled on them.

    Args:
        known: The bars up to the origin.
        horizon: Number of bars to forecast.
        inputs: The events that a model reads.
    """
    future = known.future(horizon)
    origin = origin_end(known)
    public = [event for event in inputs.events if event.announced_time < origin]
    bars = event_bars(
        public, future, interval=known.interval, calendar=known.calendar, zone=known.zone
    )
    found = [(event, bar + 1) for event, bar in zip(public, bars.tolist(), strict=True) if bar >= 0]
    return Ahead(known, future, tuple(event for event, _ in found), tuple(bar for _, bar in found))


def origin_end(known: Candles) -> pd.Timestamp:
    """When the last known bar is complete."""
    last = pd.DatetimeIndex(known.frame.index[-1:])
    spans = bar_spans(last, interval=known.interval, calendar=known.calendar, zone=known.zone)
    return pd.Timestamp(int(spans.end[0]), tz="UTC")


def kinds_to_add(inputs: EventInputs, calendar: str) -> dict[str, str]:
    """Kinds that set a channel for the instrument, and what to call them."""
    kinds = list(US_KINDS)
    if any(region != "US" for region in inputs.regions):
        kinds.append("rate_decision")
    if inputs.symbol and calendar not in (ALWAYS_OPEN, FX):
        kinds.append("earnings")
    return {kind: KINDS[kind] for kind in kinds}


def supposed_event(kind: str, bar: int, ahead: Ahead, inputs: EventInputs) -> Event:
    """An event at the open of a bar to forecast, public by the end of the last known bar.

    Args:
        kind: One of `kinds_to_add`.
        bar: From 1 to the horizon.
        ahead: The bars.
        inputs: Gives the symbol and regions of the instrument.
    """
    region = "US"
    if kind == "rate_decision":
        region = next(region for region in inputs.regions if region != "US")
    is_own = kind == "earnings"
    event = Event(
        kind,
        pd.Timestamp(ahead.future[bar - 1]),
        "" if is_own else region,
        inputs.symbol if is_own else "",
        name=f"Supposed: {KINDS[kind]}",
        source="supposed",
    )
    last = pd.Timestamp(ahead.known.frame.index[-1])
    return replace(event, announced=min(event.announced_time, last))


def surprise_mark(surprise: Surprise, known: Candles) -> Event:
    """What to mark on the last known bar."""
    return Event(
        surprise.kind,
        pd.Timestamp(known.frame.index[-1]),
        "US",
        name=f"Supposed: {KINDS[surprise.kind]}, {surprise.score:+g} {surprise.unit}",
        source="supposed",
    )


def first_changed(
    ahead: Ahead, inputs: EventInputs, edits: Edits, *, at_once: bool = False
) -> int | None:
    """The first bar that a model could draw differently; None where it reads no difference.

    Args:
        ahead: The bars to forecast.
        inputs: The known events.
        edits: What is supposed.
        at_once: Whether the model reads the events of all bars before it forecasts any.
    """
    if not edits:
        return None
    known = ahead.known.slice(-MOST_READ)
    before, after = (one.rows(known, ahead.future) for one in (inputs, edits.apply(inputs)))
    if at_once:
        return 1 if (before != after).any() else None
    return first_changed_bar(before, after, len(ahead.future))


def first_changed_bar(before: np.ndarray, after: np.ndarray, horizon: int) -> int | None:
    """The first bar of the horizon, counted from 1, that a model of Kronos could draw differently.

    A bar's row is read together with the bar: it has a say in the bars after it and none in the
    bar itself. The row of the last bar is never read.

    Args:
        before: (T + H, 20) channels.
        after: Likewise.
        horizon: H.

    Returns:
        None if everything the model reads is the same.
    """
    rows = np.flatnonzero((before != after)[:-1].any(axis=1))
    if not len(rows):
        return None
    n_context = len(before) - horizon
    return max(1, int(rows[0]) - n_context + 2)
