"""What every source of candles offers, whether a file, a vendor or an exchange."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import pandas as pd

from kronos.candles import Candles

__all__ = ["DataSource"]


@runtime_checkable
class DataSource(Protocol):
    """A place that candles come from.

    Attributes:
        name: Short name, unique among sources.
        intervals: Intervals it can give, narrowest first.
    """

    @property
    def name(self) -> str: ...

    @property
    def intervals(self) -> tuple[str, ...]: ...

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Candles:
        """Bars of one instrument, oldest first.

        Args:
            symbol: Ticker as the source spells it.
            interval: One of `intervals`.
            start: Earliest open time (aware), or as far back as the source goes.
            end: Latest open time (aware), or up to now. The unfinished bar is never included.

        Raises:
            InvalidCandles: The source's data cannot be used.
            InvalidRequest: The symbol or interval is not one it has.
        """
        ...
