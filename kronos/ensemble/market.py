"""What the weights must know of an instrument besides its bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kronos.calendars import asset_class
from kronos.candles import Candles

__all__ = ["Market", "market_for", "market_of"]


@dataclass(frozen=True, slots=True)
class Market:
    """An instrument's place.

    Attributes:
        instrument: Ticker.
        interval: Width of a bar.
        calendar: "24/7", "fx", "weekdays" or an exchange code.
        zone: The exchange's own clock.
    """

    instrument: str
    interval: str
    calendar: str
    zone: str

    @property
    def asset_class(self) -> str:
        return asset_class(self.calendar, self.instrument)


def market_of(candles: Candles) -> Market:
    """The market of some candles."""
    return Market(candles.symbol, candles.interval, candles.calendar, candles.zone)


def market_for(predictor: Any, market: Market | None) -> dict[str, Any]:
    """The argument by which a predictor is told of the market; none for one that has no use for it.

    Args:
        predictor: A loaded model, baseline or ensemble.
        market: What its bars are of.
    """
    if market is None or not getattr(predictor, "reads_market", False):
        return {}
    return {"market": market}
