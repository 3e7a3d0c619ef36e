"""The class of an instrument, by its calendar and its ticker."""

from __future__ import annotations

from typing import Literal

from kronos.calendars.exchanges import ALWAYS_OPEN, FX

__all__ = ["ASSET_CLASSES", "AssetClass", "asset_class"]

AssetClass = Literal["crypto", "equity", "future", "fx"]

ASSET_CLASSES: dict[AssetClass, str] = {
    "crypto": "Crypto",
    "equity": "Shares, funds and indices",
    "future": "Futures",
    "fx": "Currencies and metals",
}
"""Every class, and what to call it."""


def asset_class(calendar: str, symbol: str = "") -> AssetClass:
    """The class that decides how an instrument's bars behave.

    Args:
        calendar: "24/7", "fx", "weekdays" or an exchange code.
        symbol: Ticker; ES=F is a future whatever its calendar.
    """
    if symbol.strip().upper().endswith("=F") or calendar == "CMES":
        return "future"
    if calendar == ALWAYS_OPEN:
        return "crypto"
    return "fx" if calendar == FX else "equity"
