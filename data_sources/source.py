"""The interface of every source of candles: a file, a vendor or an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest, UnknownSymbol

__all__ = ["Bars", "DataSource", "Instrument", "RequestedRange"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded.

    Attributes:
        source: Name of the source that has it.
        symbol: Ticker as that source spells it.
        name: Name to show, such as "Apple Inc."; empty where the source gives none.
        kind: stock, etf, index, currency, future, spot, perpetual, ...; empty where unknown.
        currency: Unit of its prices, such as USD or USDT; empty where unknown.
        decimals: Digits after the point of a price; None where unknown.
    """

    source: str
    symbol: str
    name: str = ""
    kind: str = ""
    currency: str = ""
    decimals: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Candles from a source.

    Attributes:
        candles: The bars, all of them finished.
        instrument: Their instrument.
        fetched_at: When the source sent them, UTC.
        notes: What a reader must know, as plain text: bars that were left out or changed.
        stale: Why the source sent nothing now, where older bars are given instead; empty
            otherwise.
    """

    candles: Candles
    instrument: Instrument
    fetched_at: pd.Timestamp
    notes: tuple[str, ...] = ()
    stale: str = ""


@runtime_checkable
class DataSource(Protocol):
    """A source of candles. Any thread may call its methods.

    Attributes:
        name: Short name, unique among sources.
        title: Name to show.
        intervals: Intervals it has, narrowest first.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def intervals(self) -> tuple[str, ...]: ...

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        """Instruments whose symbol or name matches what was typed so far, the likeliest first."""
        ...

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        """Bars of one instrument, oldest first.

        Args:
            symbol: Ticker as the source spells it.
            interval: One of `intervals`.
            adjusted: Whether prices before splits and dividends are rescaled to today's; without
                effect where a source does not adjust prices.
            start: Earliest open time (aware); None for as far back as is useful.
            end: Latest open time (aware); None for now. The unfinished bar is never included.

        Raises:
            InvalidRequest: The source has no such interval, or the range is empty.
            InvalidCandles: The bars break the schema beyond repair.
            SourceError: The source could not give them; the kinds are in `kronos.errors`.
        """
        ...


class RequestedRange:
    """The interval and the times of a request, checked.

    Args:
        source: The source of the bars.
        interval: Width of the bars.
        start: Earliest open time, aware; None for an open start.
        end: Latest open time, aware; None for an open end.

    Attributes:
        interval: Width of the bars.
        start: Earliest open time, UTC, or None.
        end: Latest open time, UTC, or None.

    Raises:
        InvalidRequest: The source has no such interval, or the range is empty or without a time
            zone.
    """

    __slots__ = ("_title", "end", "interval", "start")

    def __init__(
        self,
        source: DataSource,
        interval: str,
        start: pd.Timestamp | None,
        end: pd.Timestamp | None,
    ) -> None:
        if interval not in source.intervals:
            raise InvalidRequest(
                f"{source.title} has no {interval} bars; its intervals are "
                f"{', '.join(source.intervals)}."
            )
        for name, moment in (("start", start), ("end", end)):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest(f"The {name} {moment} needs a time zone.")
        if start is not None and end is not None and start > end:
            raise InvalidRequest(f"The start {start} lies behind the end {end}.")
        self._title = source.title
        self.interval = interval
        self.start = None if start is None else start.tz_convert("UTC")
        self.end = None if end is None else end.tz_convert("UTC")

    def cut(self, bars: pd.DataFrame, symbol: str) -> pd.DataFrame:
        """The bars that open within the range, indexed in nanoseconds.

        Raises:
            UnknownSymbol: There are none.
        """
        inside = bars
        if self.start is not None:
            inside = inside[inside.index >= self.start]
        if self.end is not None:
            inside = inside[inside.index <= self.end]
        if inside.empty:
            raise UnknownSymbol(
                f"{self._title} has no usable {self.interval} bars of {symbol} there. Ask for "
                "another range, or check the symbol."
            )
        return inside.set_axis(pd.DatetimeIndex(inside.index).as_unit("ns"))
