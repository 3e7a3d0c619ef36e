"""Regions of events: their clocks and currencies, and the regions of an instrument."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kronos.calendars import ALWAYS_OPEN, FX, METALS, WEEKDAYS

__all__ = ["REGIONS", "Region", "region_zone", "regions_of"]


@dataclass(frozen=True, slots=True)
class Region:
    """A country or currency area.

    Attributes:
        title: Name for display.
        zone: IANA name of the clock of its releases.
        currency: ISO code.
        calendars: Exchanges in it.
    """

    title: str
    zone: str
    currency: str
    calendars: tuple[str, ...] = ()


REGIONS: dict[str, Region] = {
    "US": Region("United States", "America/New_York", "USD", ("XNYS", "CMES")),
    "EU": Region(
        "Euro area", "Europe/Berlin", "EUR",
        (
            "XETR", "XPAR", "XAMS", "XBRU", "XLIS", "XMIL", "XMAD", "XHEL", "XWBO", "XDUB",
        ),
    ),
    "GB": Region("United Kingdom", "Europe/London", "GBP", ("XLON",)),
    "JP": Region("Japan", "Asia/Tokyo", "JPY", ("XTKS",)),
    "CH": Region("Switzerland", "Europe/Zurich", "CHF", ("XSWX",)),
    "CA": Region("Canada", "America/Toronto", "CAD", ("XTSE",)),
    "AU": Region("Australia", "Australia/Sydney", "AUD", ("XASX",)),
    "NZ": Region("New Zealand", "Pacific/Auckland", "NZD", ("XNZE",)),
    "CN": Region("China", "Asia/Shanghai", "CNY", ("XSHG",)),
    "HK": Region("Hong Kong", "Asia/Hong_Kong", "HKD", ("XHKG",)),
    "IN": Region("India", "Asia/Kolkata", "INR", ("XBOM",)),
    "KR": Region("South Korea", "Asia/Seoul", "KRW", ("XKRX",)),
    "SE": Region("Sweden", "Europe/Stockholm", "SEK", ("XSTO",)),
    "NO": Region("Norway", "Europe/Oslo", "NOK", ("XOSL",)),
    "DK": Region("Denmark", "Europe/Copenhagen", "DKK", ("XCSE",)),
    "PL": Region("Poland", "Europe/Warsaw", "PLN", ("XWAR",)),
    "TR": Region("Turkey", "Europe/Istanbul", "TRY", ("XIST",)),
    "SG": Region("Singapore", "Asia/Singapore", "SGD", ("XSES",)),
    "TW": Region("Taiwan", "Asia/Taipei", "TWD", ("XTAI",)),
    "ID": Region("Indonesia", "Asia/Jakarta", "IDR", ("XIDX",)),
    "MY": Region("Malaysia", "Asia/Kuala_Lumpur", "MYR", ("XKLS",)),
    "TH": Region("Thailand", "Asia/Bangkok", "THB", ("XBKK",)),
    "SA": Region("Saudi Arabia", "Asia/Riyadh", "SAR", ("XSAU",)),
    "ZA": Region("South Africa", "Africa/Johannesburg", "ZAR", ("XJSE",)),
    "BR": Region("Brazil", "America/Sao_Paulo", "BRL", ("BVMF",)),
    "MX": Region("Mexico", "America/Mexico_City", "MXN", ("XMEX",)),
}  # fmt: skip
"""Every region by its two letters: ISO 3166 codes, and EU for the euro area."""

_OF_CALENDAR = {code: name for name, region in REGIONS.items() for code in region.calendars}
_OF_CURRENCY = {region.currency: name for name, region in REGIONS.items()} | {"CNH": "CN"}
# Crypto pairs, metals and the like are quoted in dollars and move with releases of the US.
_DEFAULT = "US"


def region_zone(region: str) -> str:
    """IANA name of a region's clock; New York's for events without a region.

    Such events are of symbols, which vendors time on New York's clock.
    """
    return REGIONS[region or _DEFAULT].zone


def regions_of(calendar: str, symbol: str = "", currency: str = "") -> tuple[str, ...]:
    """Regions whose releases matter to an instrument, the closest first.

    For an exchange its own region; for a currency pair those of its two currencies, the base
    first; otherwise that of the quote currency, or of the dollar where it is unknown.

    Args:
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        symbol: Ticker.
        currency: ISO code of the quote, where known.
    """
    if calendar in _OF_CALENDAR:
        return (_OF_CALENDAR[calendar],)
    if calendar in (FX, METALS, WEEKDAYS, ALWAYS_OPEN):
        pair = _currencies_of(symbol)
        if len(pair) == 2 or (pair and calendar in (FX, METALS)):
            return tuple(dict.fromkeys(_OF_CURRENCY[code] for code in pair))
    return (_OF_CURRENCY.get(currency.strip().upper(), _DEFAULT),)


def _currencies_of(symbol: str) -> list[str]:
    """The known currencies of a pair such as EURUSD, EUR/USD, EURUSD=X or XAUUSD."""
    letters = re.sub(r"[^A-Z]", "", re.sub(r"=X$|\.[A-Z]+$", "", symbol.strip().upper()))
    if len(letters) != 6:
        return []
    return [code for code in (letters[:3], letters[3:]) if code in _OF_CURRENCY]
