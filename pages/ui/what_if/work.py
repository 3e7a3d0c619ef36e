"""Edits of the events, and the first bar that they can change.

Pure: no page in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kronos.calendars import ALWAYS_OPEN, FX, METALS
from kronos.calendars.spans import bar_spans
from kronos.candles import Candles
from kronos.events import KINDS, US_KINDS, Alignment, Event, EventInputs, Surprise, event_bars

MOST_READ = 2048
"""Upper limit of the bars that a model reads; events before them have no effect."""


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """The bars of the horizon and the events scheduled on them.

    Attributes:
        known: The bars up to the origin.
        future: (H,) open times of the horizon, UTC.
        scheduled: Events that were public at the origin and set a channel, by time.
        bars: Bar of each event, from 1.
    """

    known: Candles
    future: pd.DatetimeIndex
    scheduled: tuple[Event, ...]
    bars: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of the events.

    Attributes:
        off: Scheduled events to remove.
        added: An event to add.
        surprise: An assumed outcome on the last known bar.
    """

    off: tuple[Event, ...] = ()
    added: Event | None = None
    surprise: Surprise | None = None

    def __bool__(self) -> bool:
        return bool(self.off or self.added or self.surprise)

    def apply(self, inputs: EventInputs) -> EventInputs:
        """The event inputs of a model with these edits."""
        return replace(inputs, events=self.on_chart(inputs.events), surprise=self.surprise)

    def on_chart(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """The events to mark with these edits."""
        kept = tuple(event for event in events if event not in self.off)
        return kept if self.added is None else (*kept, self.added)


def look_ahead(known: Candles, horizon: int, inputs: EventInputs) -> Ahead:
    """The bars of the horizon and the events scheduled on them.

    Args:
        known: The bars up to the origin.
        horizon: Number of bars to forecast.
        inputs: Event inputs of the model.
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
    """End of the last known bar."""
    last = pd.DatetimeIndex(known.frame.index[-1:])
    spans = bar_spans(last, interval=known.interval, calendar=known.calendar, zone=known.zone)
    return pd.Timestamp(int(spans.end[0]), tz="UTC")


def kinds_to_add(inputs: EventInputs, calendar: str) -> dict[str, str]:
    """Kinds of events that set a channel for the instrument, with their titles."""
    kinds = list(US_KINDS)
    if any(region != "US" for region in inputs.regions):
        kinds.append("rate_decision")
    if inputs.symbol and calendar not in (ALWAYS_OPEN, FX, METALS):
        kinds.append("earnings")
    return {kind: KINDS[kind] for kind in kinds}


def assumed_event(kind: str, bar: int, ahead: Ahead, inputs: EventInputs) -> Event:
    """An event at the open of a bar of the horizon, public by the end of the last known bar.

    Args:
        kind: One of `kinds_to_add`.
        bar: From 1 to the horizon.
        ahead: The bars of the horizon.
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
        name=f"Assumed: {KINDS[kind]}",
        source="assumed",
    )
    last = pd.Timestamp(ahead.known.frame.index[-1])
    return replace(event, announced=min(event.announced_time, last))


def surprise_mark(surprise: Surprise, known: Candles) -> Event:
    """The event that marks an assumed outcome on the last known bar."""
    return Event(
        surprise.kind,
        pd.Timestamp(known.frame.index[-1]),
        "US",
        name=f"Assumed: {KINDS[surprise.kind]}, {surprise.score:+g} {surprise.unit}",
        source="assumed",
    )


def first_changed(
    ahead: Ahead,
    inputs: EventInputs,
    edits: Edits,
    *,
    alignments: Sequence[Alignment] = ("bar",),
    at_once: bool = False,
) -> int | None:
    """The first bar that the edits can change, from 1; None where the model reads no difference.

    Args:
        ahead: The bars of the horizon.
        inputs: Event inputs as scheduled.
        edits: The edits.
        alignments: Those of the event rows of the model.
        at_once: Whether the model reads the events of all bars before it forecasts any.
    """
    if not edits:
        return None
    known = ahead.known.slice(-MOST_READ)
    before, after = (
        one.rows(known, ahead.future, alignments) for one in (inputs, edits.apply(inputs))
    )
    if at_once:
        return 1 if (before != after).any() else None
    return first_changed_bar(before, after, len(ahead.future))


def first_changed_bar(before: np.ndarray, after: np.ndarray, horizon: int) -> int | None:
    """The first bar of the horizon, from 1, that other channels can change in a Kronos model.

    The model reads the row of a bar together with the bar, so the row changes the bars after it
    and not the bar itself. The row of the last bar has no effect. Rows that hold the schedule of
    the next bar change that bar.

    Args:
        before: (T + H, C) channels.
        after: (T + H, C) channels with the edits.
        horizon: H.

    Returns:
        None if the model reads equal rows.
    """
    rows = np.flatnonzero((before != after)[:-1].any(axis=1))
    if not len(rows):
        return None
    n_context = len(before) - horizon
    return max(1, int(rows[0]) - n_context + 2)
