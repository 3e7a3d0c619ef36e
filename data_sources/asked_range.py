"""The interval and the times a caller asks a source for, checked once for all sources."""

from __future__ import annotations

import pandas as pd

from data_sources.source import DataSource
from kronos.errors import InvalidRequest, UnknownSymbol

__all__ = ["AskedRange"]


class AskedRange:
    """What is asked for.

    Attributes:
        interval: Width of the bars, one that the source has.
        start: Earliest open time, UTC, or None.
        end: Latest open time, UTC, or None.

    Raises:
        InvalidRequest: On construction, if the source has no such interval, or the range is empty
            or without a time zone.
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
        """The bars that lie in the range, their times in nanoseconds whatever they were in.

        Raises:
            UnknownSymbol: None does.
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
