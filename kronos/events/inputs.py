"""The events that a forecast reads: which ones, and the rows of channels they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from kronos.calendars.spans import bar_spans
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.events.channels import (
    CHANNELS,
    SURPRISES,
    Alignment,
    event_channels,
    sets_a_channel,
)
from kronos.events.event import Event
from kronos.events.leaders import Leaders
from kronos.events.regions import regions_of

__all__ = ["EventInputs", "Surprise", "event_inputs", "last_close"]


@dataclass(frozen=True, slots=True)
class Surprise:
    """A supposed outcome on the last known bar, in place of the real one.

    Attributes:
        kind: One of `SURPRISES`.
        score: In sigmas, or for the FOMC in steps of 0.25 percentage points.

    Raises:
        InvalidRequest: On construction, where no channel takes it.
    """

    kind: str
    score: float

    def __post_init__(self) -> None:
        scored = SURPRISES.get(self.kind)
        if scored is None:
            raise InvalidRequest(
                f"Surprises of {', '.join(SURPRISES)} have a channel, those of {self.kind} have "
                "none."
            )
        if not abs(self.score) <= scored.most:
            raise InvalidRequest(
                f"A surprise of {self.kind} is from {-scored.most:g} to {scored.most:g} "
                f"{scored.unit}, found {self.score:g}."
            )

    @property
    def unit(self) -> str:
        """Unit of the score."""
        return SURPRISES[self.kind].unit

    def write(self, rows: np.ndarray, bar: int, alignment: Alignment) -> None:
        """Enter the release and its score at a bar.

        Args:
            rows: (L, 20) channels, which are changed.
            bar: Position of the bar of the release.
            alignment: That of the rows.
        """
        scored = SURPRISES[self.kind]
        rows[bar, CHANNELS.index(scored.channel)] = self.score
        scheduled = bar - 1 if alignment == "ahead" else bar
        if scheduled < 0:
            return
        row = rows[scheduled]
        row[CHANNELS.index(f"is_{self.kind}")] = 1.0
        if alignment == "ahead":
            row[CHANNELS.index("is_release_bar")] = 1.0
        if scored.days:  # 0 days on the bar of the event
            sine = CHANNELS.index(scored.days)
            row[sine : sine + 2] = 0.0, 1.0


@dataclass(frozen=True)
class EventInputs:
    """The events of one instrument that set a channel of its event rows.

    Attributes:
        events: By time.
        symbol: The instrument's ticker.
        regions: Its regions.
        surprise: An outcome supposed on the last known bar.
        leaders: Leading markets; None for none.
    """

    events: tuple[Event, ...]
    symbol: str
    regions: tuple[str, ...]
    surprise: Surprise | None = None
    leaders: Leaders | None = field(default=None, compare=False)
    _leaders_digest: str = field(init=False, repr=False)  # leaders compare by their bars

    def __post_init__(self) -> None:
        digest = "" if self.leaders is None else self.leaders.digest
        object.__setattr__(self, "_leaders_digest", digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the rows depend on."""
        facts = [
            [
                event.kind, event.time.value, event.region, event.symbol,
                event.actual, event.consensus, event.previous,
                event.announced_time.value, event.is_time_exact,
            ]
            for event in self.events
        ]  # fmt: skip
        supposed = None if self.surprise is None else [self.surprise.kind, self.surprise.score]
        leaders = [self._leaders_digest] if self._leaders_digest else []
        text = json.dumps([facts, self.symbol, self.regions, supposed, *leaders])
        return hashlib.sha256(text.encode()).hexdigest()

    def rows(
        self,
        known: Candles,
        future: pd.DatetimeIndex,
        alignments: Sequence[Alignment] = ("bar",),
    ) -> np.ndarray:
        """Event rows of the bars that are known and of those to forecast.

        Args:
            known: The T bars up to the origin.
            future: (H,) open times of the bars to forecast.
            alignments: A of the model, as in `ModelFacts.event_alignments`.

        Returns:
            (T + H, 20 A) channels, alignment after alignment; nothing in them became public after
            the origin.
        """
        return np.hstack([self._rows(known, future, each) for each in alignments])

    def _rows(self, known: Candles, future: pd.DatetimeIndex, alignment: Alignment) -> np.ndarray:
        rows = event_channels(
            pd.DatetimeIndex(known.frame.index.append(future.tz_convert("UTC"))),
            interval=known.interval,
            calendar=known.calendar,
            zone=known.zone,
            n_context=len(known),
            events=self.events,
            leaders=self.leaders,
            symbol=self.symbol,
            regions=self.regions,
            alignment=alignment,
        )
        if self.surprise is not None:
            self.surprise.write(rows, len(known) - 1, alignment)
        return rows


def event_inputs(
    events: Iterable[Event],
    candles: Candles,
    *,
    currency: str = "",
    leaders: Leaders | None = None,
) -> EventInputs:
    """The events that set a channel for an instrument, and the leading markets.

    Args:
        events: In any number, of any instrument.
        candles: Bars of the instrument.
        currency: Currency it is quoted in, where the source says.
        leaders: Leading markets; None for none.
    """
    regions = regions_of(candles.calendar, candles.symbol, currency)
    read = (event.as_read for event in events)
    chosen = tuple(event for event in read if sets_a_channel(event, candles.symbol, regions))
    if leaders is not None:
        leaders = leaders.until(last_close(candles))
    return EventInputs(chosen, candles.symbol, regions, leaders=leaders)


def last_close(candles: Candles) -> pd.Timestamp:
    """When the last bar is complete, UTC."""
    spans = bar_spans(
        pd.DatetimeIndex(candles.frame.index[-1:]),
        interval=candles.interval,
        calendar=candles.calendar,
        zone=candles.zone,
    )
    return pd.Timestamp(spans.end[0], tz="UTC")
