"""ForecastRequest: everything that a forecast depends on, as data.

Pages, commands, watchlists, walks and backtests all build it by `ForecastRequest.of_candles`. It
holds the bars that the model reads and no others, so that equal questions are equal requests. Its
digest is the key of the queue, of caches and of the store. It travels as bytes (`to_bytes`,
pickle) and comes back bit for bit.

Axes: T bars held, H bars to forecast.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from kronos.calendars import asset_class
from kronos.candles import Candles
from kronos.context import (
    Context,
    Stamps,
    as_times,
    calendar_fields,
    event_rows,
    future_times,
    read_bars,
    require_positive_prices,
    rows_sha256,
)
from kronos.errors import InvalidRequest
from kronos.events.channels import ALIGNMENTS, CHANNELS, Alignment
from kronos.events.inputs import EventInputs
from kronos.events.leaders import LEADERS
from kronos.forecast import COLUMNS, SamplingParameters, whole_number
from kronos.frames import Table, as_frame

__all__ = ["EngineRequest", "ForecastRequest", "Market", "ModelFacts", "market_of"]

_MAGIC = b"KFR1"
_ROW_SHAPES = [(len(CHANNELS) * (i + 1),) for i in range(len(ALIGNMENTS))]
_FIRST_LEADER = CHANNELS.index("btc_log_return_1h")  # the others follow
_MAX_BYTES = 64 << 20
"""Most bytes that the arrays of a request may unpack to."""


@dataclass(frozen=True, slots=True)
class Market:
    """What bars are of.

    Attributes:
        instrument: Ticker.
        interval: Width of a bar.
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        zone: The exchange's own clock.
        source: Where the bars come from.
    """

    instrument: str
    interval: str
    calendar: str
    zone: str
    source: str = ""

    @property
    def asset_class(self) -> str:
        return asset_class(self.calendar, self.instrument)


def market_of(candles: Candles) -> Market:
    """The market of some candles."""
    return Market(candles.symbol, candles.interval, candles.calendar, candles.zone, candles.source)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a request needs to know of a model; found without loading it.

    Attributes:
        model: What the model is loaded by.
        name: Name shown with its forecasts.
        revision: Revision of its weights, or of a baseline's methods.
        least: Fewest bars that a lookback may name.
        most: Most bars that a lookback may name.
        advised: Bars read where no lookback is given; None for all that fit.
        shares_window: Whether context and horizon share the window of `most` bars.
        reads_events: Whether it reads event rows.
        event_alignment: Which schedule such a row holds; see `kronos.events.channels`.
        history: Bars up to the origin that it needs besides those it reads, for a volatility.
        members: Facts of the members of an ensemble.
    """

    model: str
    name: str
    revision: str
    least: int
    most: int
    advised: int | None = None
    shares_window: bool = False
    reads_events: bool = False
    event_alignment: Alignment = ALIGNMENTS[0]
    history: int = 0
    members: tuple[ModelFacts, ...] = ()

    @property
    def event_alignments(self) -> tuple[Alignment, ...]:
        """Alignments of the event rows of a request: those of all members, none without events."""
        if not self.reads_events:
            return ()
        if not self.members:
            return (self.event_alignment,)
        found = {each for one in self.members for each in one.event_alignments}
        return tuple(each for each in ALIGNMENTS if each in found)

    def context_length(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Bars that the model reads of `n_bars`.

        Args:
            n_bars: Bars up to the origin.
            horizon: Bars to forecast.
            lookback: Bars wanted; None for what suits the model.

        Raises:
            InvalidRequest: The lookback is no whole number from `least` to `most`.
        """
        if lookback is not None:
            lookback = whole_number(lookback, "lookback")
        if self.members:
            read = max(each.context_length(n_bars, horizon) for each in self.members)
            return read if lookback is None else min(read, lookback)
        if lookback is None:
            room = max(2, self.most - horizon) if self.shares_window else self.most
            lookback = min(self.advised or room, room)
        if not self.least <= lookback <= self.most:
            raise InvalidRequest(
                f"lookback must be from {self.least} to {self.most:,} bars for {self.name}, "
                f"found {lookback}."
            )
        return min(lookback, n_bars)

    def needed_lookback(self, n_held: int, horizon: int, lookback: int | None) -> int | None:
        """The lookback of a request that holds `n_held` bars; None where the bars say as much."""
        if lookback is None:
            return None
        read = self.context_length(n_held, horizon, lookback)
        return None if read == self.context_length(n_held, horizon) else int(lookback)

    def no_events(self) -> InvalidRequest:
        """The error for event rows that are given to a model that reads none."""
        return InvalidRequest(
            f"{self.name} was never trained with events and reads no event rows. Leave events out, "
            "or choose a model that was fine-tuned with them."
        )

    def n_held(self, n_bars: int, horizon: int, lookback: int | None = None) -> int:
        """Bars that a request holds of `n_bars`: those read, or more where history is needed."""
        read = self.context_length(n_bars, horizon, lookback)
        return min(n_bars, max(read, self.history))


class EngineRequest(ABC):
    """A question to the engine, as data that any process can answer.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights that must answer; "" for whichever is there.
    """

    model: str
    revision: str

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of everything that the answer depends on."""


@dataclass(frozen=True, eq=False)
class ForecastRequest(EngineRequest):
    """One forecast to be made.

    Attributes:
        model: What the model is loaded by.
        revision: Revision of the weights; "" for whichever is there.
        name: Name shown with the model's forecasts.
        bars: (T, 6) float64 candles up to the origin, columns as in `COLUMNS`.
        times: (T,) times of the bars, on the exchange's clock.
        future: (H,) times of the bars to forecast, on the same clock.
        sampling: How futures are drawn.
        lookback: Bars read as context; None for what suits the model, or for all that are held.
        events: (T + H, 20) float32 event rows of the bars and of those to forecast; None where
            the model reads none, or is given none. An ensemble whose members read rows of several
            alignments gets them side by side, in the order of `ModelFacts.event_alignments`.
        market: What the bars are of; None where that is not known.
        anchor: Whether the fan starts at the last close; see `Forecaster.forecast`.

    Raises:
        InvalidRequest: On construction, if shapes or clocks do not fit together.
    """

    model: str
    revision: str
    name: str
    bars: np.ndarray
    times: pd.DatetimeIndex
    future: pd.DatetimeIndex
    sampling: SamplingParameters
    lookback: int | None = None
    events: np.ndarray | None = None
    market: Market | None = None
    anchor: bool = True

    def __post_init__(self) -> None:
        n_bars, horizon = len(self.times), len(self.future)
        if self.bars.shape != (n_bars, len(COLUMNS)) or self.bars.dtype != np.float64:
            raise InvalidRequest(
                f"bars must be float64 of ({n_bars}, {len(COLUMNS)}), found {self.bars.dtype} of "
                f"{self.bars.shape}."
            )
        if not n_bars or not horizon or not np.isfinite(self.bars).all():
            raise InvalidRequest(
                "A request needs bars of finite numbers and times to forecast, found "
                f"{n_bars} bars and {horizon} times."
            )
        if self.events is not None and (
            len(self.events) != n_bars + horizon
            or self.events.shape[1:] not in _ROW_SHAPES
            or self.events.dtype != np.float32
            or not np.isfinite(self.events).all()
        ):
            raise InvalidRequest(
                f"events must be float32 rows of {n_bars} bars and {horizon} to forecast, "
                f"{len(CHANNELS)} finite numbers each, found {self.events.dtype} of "
                f"{self.events.shape}."
            )
        if _zone_of(self.times) != _zone_of(self.future):
            raise InvalidRequest(
                f"The bars are on the clock {_zone_of(self.times)}, those to forecast on "
                f"{_zone_of(self.future)}."
            )

    @classmethod
    def of_candles(
        cls,
        candles: Candles,
        facts: ModelFacts,
        *,
        horizon: int,
        sampling: SamplingParameters,
        origin: pd.Timestamp | int = -1,
        lookback: int | None = None,
        events: EventInputs | None = None,
    ) -> ForecastRequest:
        """The request for a forecast of candles.

        Args:
            candles: Bars of the instrument; those after the origin are not read.
            facts: What is known of the model, as from `ForecastService.facts`.
            horizon: Bars to forecast, H.
            sampling: How futures are drawn.
            origin: The last bar that is known; see `Candles.at_origin`.
            lookback: Bars read; None for what suits the model.
            events: Events of the instrument; left out for models that read none.

        Raises:
            InvalidCandles: The candles cannot be used, or none lies at or before the origin.
            InvalidRequest: A number is out of range.
        """
        known = candles.at_origin(origin, n_actuals=0).history
        future = known.future(horizon)
        held = known.slice(-facts.n_held(len(known), horizon, lookback))
        rows = None
        if events is not None and facts.reads_events:
            rows = events.rows(held, future, facts.event_alignments)
        return cls.of_frame(
            held.frame,
            facts,
            x_timestamp=held.local_index,
            y_timestamp=future.tz_convert(candles.zone),
            sampling=sampling,
            lookback=lookback,
            events=rows,
            market=market_of(candles),
        )

    @classmethod
    def of_frame(
        cls,
        df: Table,
        facts: ModelFacts,
        *,
        y_timestamp: Stamps,
        x_timestamp: Stamps | None = None,
        sampling: SamplingParameters,
        lookback: int | None = None,
        anchor: bool = True,
        events: Any = None,
        market: Market | None = None,
    ) -> ForecastRequest:
        """The request for a forecast of a table of bars; arguments as for `Forecaster.forecast`.

        Raises:
            InvalidCandles: The candles or times cannot be used.
            InvalidRequest: A parameter is out of range, or there is nothing to forecast.
        """
        df = as_frame(df)
        times = as_times(df.index if x_timestamp is None else x_timestamp, "x_timestamp")
        future = future_times(y_timestamp, after=times)
        n_held = facts.n_held(len(df), len(future), lookback)
        bars = read_bars(df, times, n_held)
        rows = None
        if events is not None:
            if not facts.reads_events:
                raise facts.no_events()
            rows = event_rows(
                events,
                n_bars=len(df),
                n_read=len(bars),
                horizon=len(future),
                n_alignments=len(facts.event_alignments),
            )
        request = cls(
            facts.model, facts.revision, facts.name, bars, times[-len(bars) :].rename(None),
            future, sampling,
            facts.needed_lookback(len(bars), len(future), lookback), rows, market, bool(anchor),
        )  # fmt: skip
        require_positive_prices(request.read(facts))
        return request

    @property
    def horizon(self) -> int:
        return len(self.future)

    @property
    def origin(self) -> pd.Timestamp:
        """Time of the last bar."""
        return self.times[-1]

    def read(self, facts: ModelFacts) -> np.ndarray:
        """The bars that the model reads: (T', 6) with T' at most T."""
        return self.bars[-facts.context_length(len(self.bars), self.horizon, self.lookback) :]

    def context(self, facts: ModelFacts) -> Context:
        """The bars that the model reads, with the fields of their times."""
        bars = self.read(facts)
        return Context(bars, calendar_fields(self.times[-len(bars) :]))

    def context_events(self, n_read: int) -> np.ndarray | None:
        """(n_read + H, 20) event rows of the bars that are read and of those to forecast."""
        return None if self.events is None else self.events[-(n_read + self.horizon) :]

    def leaders_in(self, n_read: int | None = None) -> dict[str, str | None] | None:
        """The leading markets in the event rows, as in `Forecast.leaders`; None without rows.

        Args:
            n_read: Bars that are read; default: all that are held.
        """
        n = len(self.times) if n_read is None else n_read
        rows = self.context_events(n)
        if rows is None:
            return None
        known = rows[:n, _FIRST_LEADER : _FIRST_LEADER + len(LEADERS)] != 0
        times = self.times[-n:]
        return {
            name: times[np.flatnonzero(known[:, i])[-1]].isoformat() if known[:, i].any() else None
            for i, name in enumerate(LEADERS)
        }

    def for_member(self, facts: ModelFacts, ensemble: ModelFacts) -> ForecastRequest:
        """The request that a member of an ensemble would get if it were asked alone."""
        lookback = self.lookback
        if lookback is not None:
            lookback = min(lookback, facts.context_length(len(self.bars), self.horizon))
        n = facts.n_held(len(self.bars), self.horizon, lookback)
        lookback = facts.needed_lookback(n, self.horizon, lookback)
        return replace(
            self,
            model=facts.model,
            revision=facts.revision,
            name=facts.name,
            bars=self.bars[-n:],
            times=self.times[-n:],
            lookback=lookback,
            events=self._member_events(n, facts, ensemble),
        )

    def _member_events(
        self, n_read: int, facts: ModelFacts, ensemble: ModelFacts
    ) -> np.ndarray | None:
        rows = self.context_events(n_read)
        if rows is None or not facts.reads_events:
            return None
        (own,) = facts.event_alignments
        start = len(CHANNELS) * ensemble.event_alignments.index(own)
        return rows[:, start : start + len(CHANNELS)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the forecast depends on, the same in every process.

        The model counts by its name and the revision of its weights, and by what it is loaded by
        only where the revision is not known.
        """
        sampling = asdict(self.sampling) | {
            "T": float(self.sampling.T), "top_p": float(self.sampling.top_p),
        }  # fmt: skip
        facts = self._facts() | {"sampling": sampling, "model": "" if self.revision else self.model}
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(b"kronos request 1\n" + text.encode())
        for part in self._arrays():
            digest.update(part)
        return digest.hexdigest()

    @cached_property
    def events_sha256(self) -> str | None:
        """Digest of the event rows; None without any."""
        return None if self.events is None else rows_sha256(self.events)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ForecastRequest) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_bytes(self) -> bytes:
        """The request as bytes, about 8 kB for 128 bars; see `from_bytes`."""
        head = json.dumps(self._facts(), default=float).encode()  # numbers of NumPy
        # Times and sparse rows shrink; most of what is left are the prices.
        return _MAGIC + struct.pack("<I", len(head)) + head + zlib.compress(
            b"".join(self._arrays()), 6
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> ForecastRequest:
        """The request that `to_bytes` wrote, bit for bit.

        Raises:
            InvalidRequest: The bytes are none of a request.
        """
        try:
            if data[: len(_MAGIC)] != _MAGIC:
                raise ValueError("they begin with other bytes")
            (size,) = struct.unpack_from("<I", data, len(_MAGIC))
            start = len(_MAGIC) + 4
            facts = json.loads(data[start : start + size])
            unpacker = zlib.decompressobj()
            body = unpacker.decompress(data[start + size :], _MAX_BYTES)
            if not unpacker.eof:
                raise ValueError("they end too early, or hold too much")
            return cls._of_parts(facts, body)
        # Whatever the bytes hold: numbers of any size, lists of any depth, clocks of any name.
        except (
            struct.error, zlib.error, ValueError, TypeError, AttributeError, LookupError,
            OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise InvalidRequest(f"These bytes are no forecast request: {error}.") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return ForecastRequest.from_bytes, (self.to_bytes(),)

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "revision": self.revision,
            "name": self.name,
            "shape": [len(self.bars), self.horizon],
            "units": [self.times.unit, self.future.unit],
            "zone": _zone_of(self.times),
            "future_name": self.future.name,
            "sampling": asdict(self.sampling),
            "lookback": self.lookback,
            "n_channels": None if self.events is None else self.events.shape[1],
            "market": None if self.market is None else asdict(self.market),
            "anchor": self.anchor,
        }

    def _arrays(self) -> tuple[bytes, ...]:
        # Steps between times instead of times: equal ones, which shrink to nothing.
        times = np.diff(self.times.asi8, prepend=0).astype("<i8").tobytes()
        future = np.diff(self.future.asi8, prepend=0).astype("<i8").tobytes()
        bars = np.ascontiguousarray(self.bars, dtype="<f8").tobytes()
        events = b"" if self.events is None else np.ascontiguousarray(self.events, "<f4").tobytes()
        return times, future, bars, events

    @classmethod
    def _of_parts(cls, facts: dict[str, Any], body: bytes) -> ForecastRequest:
        texts = [facts[each] for each in ("model", "revision", "name")]
        if not all(isinstance(each, str) for each in (*texts, *(facts["market"] or {}).values())):
            raise TypeError("names must be texts")
        n_bars, horizon = facts["shape"]
        n_channels = facts["n_channels"]
        rows = 0 if n_channels is None else (n_bars + horizon) * n_channels
        sizes = [8 * n_bars, 8 * horizon, 8 * n_bars * len(COLUMNS), 4 * rows]
        if min(sizes) < 0 or sum(sizes) != len(body):
            raise ValueError(f"{len(body)} bytes of arrays do not make {n_bars} bars")
        ends = np.cumsum(sizes).tolist()
        parts = [body[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        times, future = (
            _index(np.cumsum(np.frombuffer(part, "<i8")), unit, facts["zone"])
            for part, unit in zip(parts[:2], facts["units"], strict=True)
        )
        market = facts["market"]
        return cls(
            model=facts["model"],
            revision=facts["revision"],
            name=facts["name"],
            bars=np.frombuffer(parts[2], "<f8").reshape(n_bars, len(COLUMNS)),
            times=times,
            future=future.rename(facts["future_name"]),
            sampling=SamplingParameters(**facts["sampling"]),
            lookback=facts["lookback"],
            events=None
            if n_channels is None
            else np.frombuffer(parts[3], "<f4").reshape(-1, n_channels),
            market=None if market is None else Market(**market),
            anchor=facts["anchor"],
        )


def _zone_of(times: pd.DatetimeIndex) -> str | None:
    return None if times.tz is None else str(times.tz)


def _index(ticks: np.ndarray, unit: str, zone: str | None) -> pd.DatetimeIndex:
    index = pd.DatetimeIndex(ticks.view(f"M8[{unit}]"))
    return index if zone is None else index.tz_localize("UTC").tz_convert(zone)
