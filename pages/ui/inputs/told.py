"""What a model is told of events, and the channels that tell it. Pure: no page in here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.events import CHANNELS, Event, event_channels, regions_of

__all__ = ["SURPRISES", "Surprise", "ToldEvents", "sets_a_channel", "told_by", "told_channels"]

US_KINDS = ("fomc", "cpi", "nfp", "gdp", "pce")
"""Releases of the United States, which every instrument is told of."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """The channels of a kind of event that has a score.

    Attributes:
        score: Channel of the score.
        days: Channel of the sine of the days until; "" for a kind without.
        most: Largest score that a model is ever told.
        unit: What the score is measured in.
    """

    score: str
    days: str
    most: float
    unit: str


SURPRISES: dict[str, _Scored] = {
    "cpi": _Scored("cpi_surprise_z", "days_to_cpi_sin", 3.0, "sigmas"),
    "nfp": _Scored("nfp_surprise_z", "", 3.0, "sigmas"),
    "fomc": _Scored("fomc_hawkish_score", "days_to_fomc_sin", 2.0, "steps of 0.25 points"),
}
"""Kinds of events whose outcome a model is told."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """An outcome on the last known bar, whatever really came there.

    Attributes:
        kind: One of `SURPRISES`.
        score: In sigmas, or for the FOMC in steps of 0.25 percentage points.

    Raises:
        InvalidRequest: On construction, where no model could be told so.
    """

    kind: str
    score: float

    def __post_init__(self) -> None:
        scored = SURPRISES.get(self.kind)
        if scored is None:
            raise InvalidRequest(
                f"Models are told of surprises of {', '.join(SURPRISES)}, not of {self.kind}."
            )
        if not abs(self.score) <= scored.most:
            raise InvalidRequest(
                f"A surprise of {self.kind} is told from {-scored.most:g} to {scored.most:g} "
                f"{scored.unit}, found {self.score:g}."
            )

    @property
    def unit(self) -> str:
        """What the score is measured in."""
        return SURPRISES[self.kind].unit

    def write(self, row: np.ndarray) -> None:
        """Enters the release and its score into the channels (20,) of the bar."""
        scored = SURPRISES[self.kind]
        row[CHANNELS.index(f"is_{self.kind}")] = 1.0
        row[CHANNELS.index(scored.score)] = self.score
        if scored.days:  # 0 days on the bar of the event
            sine = CHANNELS.index(scored.days)
            row[sine : sine + 2] = 0.0, 1.0


@dataclass(frozen=True)
class ToldEvents:
    """The events that a forecast tells its model of.

    Attributes:
        events: Those that set a channel for the instrument, by time.
        symbol: The instrument's ticker.
        regions: Its regions.
        surprise: An outcome to be told in the place of what came on the last known bar.
    """

    events: tuple[Event, ...]
    symbol: str
    regions: tuple[str, ...]
    surprise: Surprise | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the channels depend on."""
        facts = [
            [
                event.kind, event.time.value, event.region, event.symbol,
                event.actual, event.consensus, event.previous,
                event.announced_time.value, event.is_time_exact,
            ]
            for event in self.events
        ]  # fmt: skip
        supposed = None if self.surprise is None else [self.surprise.kind, self.surprise.score]
        told = json.dumps([facts, self.symbol, self.regions, supposed])
        return hashlib.sha256(told.encode()).hexdigest()


def told_by(events: Iterable[Event], candles: Candles, *, currency: str = "") -> ToldEvents:
    """What a model that forecasts these candles is told of some events."""
    regions = regions_of(candles.calendar, candles.symbol, currency)
    told = tuple(event for event in events if sets_a_channel(event, candles.symbol, regions))
    return ToldEvents(told, candles.symbol, regions)


def sets_a_channel(event: Event, symbol: str, regions: tuple[str, ...]) -> bool:
    """Whether a model of an instrument could hear of an event; charts show others too."""
    if event.kind == "earnings":
        ticker = symbol.strip().upper()
        return bool(ticker) and event.symbol.strip().upper() == ticker
    if event.kind == "rate_decision":
        return event.region in regions
    return event.kind in US_KINDS and event.region == "US"


def told_channels(known: Candles, future: pd.DatetimeIndex, told: ToldEvents) -> np.ndarray:
    """(T + H, 20) channels of the bars that are known and of those to forecast.

    Channels of leading markets are 0: adapters learn without them, too.

    Args:
        known: The T bars up to the origin.
        future: (H,) open times of the bars to forecast.
        told: The events.
    """
    rows = event_channels(
        pd.DatetimeIndex(known.frame.index.append(future.tz_convert("UTC"))),
        interval=known.interval,
        calendar=known.calendar,
        zone=known.zone,
        n_context=len(known),
        events=told.events,
        symbol=told.symbol,
        regions=told.regions,
    )
    if told.surprise is not None:
        told.surprise.write(rows[len(known) - 1])
    return rows
