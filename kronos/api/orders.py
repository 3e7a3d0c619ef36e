"""What a program orders, and the request that it makes.

An order is JSON with the options of the Forecast page. Its bars are in it, or named by source and
symbol. `read_order` checks it and makes the `ForecastRequest` that every other part of the program
would make of the same bars and settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from kronos import models
from kronos.api.feeds import FeedBars, Feeds
from kronos.calendars.future import MAX_HORIZON
from kronos.candles import COLUMNS, Candles
from kronos.errors import CheckpointUnavailable, InvalidCandles, InvalidRequest
from kronos.evaluation.cone import VOLATILITY_BARS
from kronos.events import Event, EventTable, event_inputs, load_events, merge_events
from kronos.forecast import SamplingParameters
from kronos.forecasters.baselines import BASELINES
from kronos.request import ForecastRequest
from kronos.serving.service import ForecastService

__all__ = [
    "CandlesIn",
    "EventIn",
    "ForecastOrder",
    "Ordered",
    "known_models",
    "read_moment",
    "read_order",
]

MAX_BARS = 20_000
"""Bars of one order; a model reads 2,048 at most."""
MAX_DRAWS = 1_000_000
"""Paths times horizon of one order: 48 MB of paths."""
_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$")
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Time = Annotated[str, StringConstraints(min_length=4, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CandlesIn(_Strict):
    """Bars as columns, the oldest first."""

    timestamp: list[Time | int] = Field(
        min_length=2, max_length=MAX_BARS,
        description="Open times: ISO 8601 with an offset, or on the clock of `zone`; or "
        "milliseconds since 1970, UTC.",
    )  # fmt: skip
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float] | None = None
    amount: list[float] | None = None
    symbol: Name = "series"
    interval: Name | None = Field(None, description="Width of a bar; default: as the bars say.")
    zone: Name | None = Field(None, description="Clock of the exchange; default: of the calendar.")
    calendar: Name | None = Field(
        None, description="24/7, fx, metals, weekdays or an exchange code such as XNYS."
    )

    @model_validator(mode="after")
    def _have_one_length(self) -> Self:
        for name in COLUMNS:
            column = getattr(self, name)
            if column is not None and len(column) != len(self.timestamp):
                raise ValueError(
                    f"{name} has {len(column)} values for {len(self.timestamp)} timestamps"
                )
        return self

    def read(self) -> Candles:
        """The candles.

        Raises:
            InvalidCandles: They cannot be used; the message names the row and column.
        """
        columns = {name: getattr(self, name) for name in COLUMNS}
        table = pd.DataFrame({k: v for k, v in columns.items() if v is not None}, dtype=float)
        table.insert(0, "timestamp", _moments(self.timestamp))
        return Candles.from_frame(
            table, symbol=self.symbol, interval=self.interval, zone=self.zone,
            calendar=self.calendar, source="api",
        )  # fmt: skip


class EventIn(_Strict):
    """An event of the caller's own, beside those of the calendar."""

    kind: Name
    time: Time = Field(description="ISO 8601 with an offset.")
    region: str = Field("", max_length=8)
    symbol: str = Field("", max_length=64)
    name: str = Field("", max_length=100)
    actual: float | None = None
    consensus: float | None = None
    previous: float | None = None
    unit: str = Field("", max_length=16)
    reads_as: str = Field("", max_length=32)

    def read(self) -> Event:
        """The event.

        Raises:
            InvalidEvents: A field cannot be used.
            InvalidRequest: The time cannot be read.
        """
        facts = self.model_dump()
        moment = _moment(self.time, "The time of an event")
        if moment.tzinfo is None:
            raise InvalidRequest(f"The time of an event needs an offset, found {self.time!r}.")
        return Event(**facts | {"time": moment.tz_convert("UTC").as_unit("ns"), "source": "own"})


class ForecastOrder(_Strict):
    """One forecast. Give `candles`, or `source` and `symbol`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "source": "samples", "symbol": "GOOG", "interval": "1d", "horizon": 12,
                    "paths": 100, "seed": 7,
                }
            ]
        },
    )  # fmt: skip

    candles: CandlesIn | None = None
    source: Name | None = Field(None, description="samples, yahoo, or an exchange: binance, ...")
    symbol: Name | None = None
    interval: Name = "1d"
    origin: Time | None = Field(
        None, description="Forecast as if the last bar were the one at or before this time."
    )
    model: Name = "bundled"
    horizon: int = Field(24, ge=1, le=MAX_HORIZON)
    lookback: int | None = Field(None, ge=1, le=MAX_BARS)
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    top_k: int = Field(0, ge=0, le=2**20)
    paths: int = Field(100, ge=1, le=10_000)
    seed: int = Field(0, ge=0, lt=2**63)
    events: Literal["calendar", "none"] = Field(
        "calendar", description="What a model that reads events is given."
    )
    own_events: list[EventIn] = Field(default_factory=list, max_length=200)
    priority: Literal["normal", "batch"] = "normal"
    deadline: float | None = Field(
        None, gt=0.0, le=86_400.0, description="Seconds after which the result is worthless."
    )
    save: bool = Field(False, description="Keep the forecast in the store, to be scored later.")

    @model_validator(mode="after")
    def _name_bars_once(self) -> Self:
        if (self.candles is None) == (self.source is None and self.symbol is None):
            raise ValueError("give candles, or source and symbol")
        if self.candles is None and (self.source is None or self.symbol is None):
            raise ValueError("give both source and symbol")
        if self.paths * self.horizon > MAX_DRAWS:
            raise ValueError(
                f"paths times horizon is at most {MAX_DRAWS:,}, found {self.paths * self.horizon:,}"
            )
        return self

    @property
    def sampling(self) -> SamplingParameters:
        return SamplingParameters(self.temperature, self.top_p, self.top_k, self.paths, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """An order that was read.

    Attributes:
        request: What the engine is asked.
        candles: The bars that figures of the result are made of: those before the origin that a
            calibration reads, and those after it that are known.
        notes: Remarks on the bars.
    """

    request: ForecastRequest
    candles: Candles
    notes: tuple[str, ...] = ()


def known_models() -> dict[str, str]:
    """Title of every model that may be ordered, by name: no folder of the server is one."""
    found = {entry.name: entry.title for entry in models.available() if entry.is_here}
    found |= {name: baseline.title for name, baseline in BASELINES.items()}
    return found | {models.ENSEMBLE: "Ensemble"}


def read_order(order: ForecastOrder, service: ForecastService, feeds: Feeds) -> Ordered:
    """The request that an order makes; may fetch, which takes seconds.

    Raises:
        KronosError: Something of the order cannot be used, or its bars cannot be had.
    """
    if order.model not in known_models():
        raise CheckpointUnavailable(
            f"There is no model {order.model!r} on this server; GET /v1/models lists those that "
            f"are there. A published one is downloaded with: kronos models download NAME."
        )
    found = _bars(order, feeds)
    candles = found.candles
    n_known = _n_known(order.origin, candles)
    facts = service.facts(order.model)
    known = candles.slice(None, n_known)
    events = None
    if facts.reads_events and order.events == "calendar":
        feeds.prepare_events(known, order.horizon)
        own = EventTable("own", tuple(each.read() for each in order.own_events))
        events = event_inputs(
            merge_events([EventTable("known", load_events()), own]),
            candles, currency=found.currency, leaders=feeds.leaders(known),
        )  # fmt: skip
    request = ForecastRequest.of_candles(
        known, facts, horizon=order.horizon, sampling=order.sampling, lookback=order.lookback,
        events=events,
    )  # fmt: skip
    first = max(n_known - max(VOLATILITY_BARS, len(request.bars)), 0)
    shown = candles.slice(first, min(n_known + order.horizon, len(candles)))
    return Ordered(request, shown, found.notes)


def _bars(order: ForecastOrder, feeds: Feeds) -> FeedBars:
    if order.candles is not None:
        return FeedBars(order.candles.read())
    return feeds.bars(str(order.source), str(order.symbol), order.interval)


def _n_known(origin: str | None, candles: Candles) -> int:
    """Bars up to the origin."""
    if origin is None:
        return len(candles)
    moment = _moment(origin, "origin")
    if moment.tzinfo is None:
        moment = moment.tz_localize(candles.zone, ambiguous=False, nonexistent="shift_forward")
    stamps = pd.DatetimeIndex(candles.frame.index)
    n_known = int((stamps <= moment).sum())
    if n_known < 2 or moment > stamps[-1]:
        raise InvalidRequest(
            f"origin must lie from the second to the last bar, {candles.local_index[1]} to "
            f"{candles.local_index[-1]}, found {origin}. Leave it out to forecast from the last."
        )
    return n_known


def _moment(text: str, what: str) -> pd.Timestamp:
    moment = read_moment(text)
    if moment is None:
        raise InvalidRequest(
            f"{what} must be a time such as 2024-11-01T15:30:00+00:00, found {text!r}."
        )
    return moment


def read_moment(text: str) -> pd.Timestamp | None:
    """A time that a caller wrote; None for a text that is none."""
    try:
        moment = pd.Timestamp(text)
    except (ValueError, OverflowError):
        return None
    return None if pd.isna(moment) else moment


def _moments(given: list[str | int]) -> pd.DatetimeIndex:
    """Times of bars: all with an offset, all without one, or all milliseconds."""
    texts = [each for each in given if isinstance(each, str)]
    n_offsets = sum(bool(_OFFSET.search(each)) for each in texts)
    if len(texts) not in (0, len(given)) or n_offsets not in (0, len(texts)):
        raise InvalidCandles(
            "timestamp must have an offset in every row or in none, found both kinds. Add the "
            "offset, such as +00:00, everywhere."
        )
    try:
        if texts:
            times = pd.to_datetime(texts, format="ISO8601", utc=n_offsets > 0)
        else:
            times = pd.to_datetime(np.array(given, dtype=np.int64), unit="ms", utc=True)
        return pd.DatetimeIndex(times).as_unit("ns")
    except (ValueError, OverflowError) as error:
        raise InvalidCandles(f"timestamp cannot be read as times: {error}.") from None
