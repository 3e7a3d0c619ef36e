"""What Yahoo says about an instrument beside its bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from data_sources.source import Instrument
from kronos.calendars.symbols import calendar_of_symbol

__all__ = ["calendar_of", "instrument_of", "last_trade_of", "opening_of"]

_KINDS = {
    "EQUITY": "stock",
    "ETF": "etf",
    "MUTUALFUND": "fund",
    "INDEX": "index",
    "CURRENCY": "currency",
    "CRYPTOCURRENCY": "crypto",
    "FUTURE": "future",
}
_CALENDARS = {"CRYPTOCURRENCY": "24/7", "CURRENCY": "fx", "FUTURE": "CMES"}
_NEW_YORK = frozenset(
    ("ASE", "BTS", "CBO", "DJI", "NAS", "NCM", "NGM", "NIM", "NMS", "NYQ", "NYS", "PCX", "SNP")
)


def calendar_of(ticker: str, facts: Mapping[str, Any]) -> str | None:
    """Calendar that Yahoo's description points to; None where the bars must tell."""
    kind = str(facts.get("instrumentType") or "")
    if kind in _CALENDARS:
        return _CALENDARS[kind]
    if hint := calendar_of_symbol(ticker):
        return hint[0]
    return "XNYS" if facts.get("exchangeName") in _NEW_YORK else None


def opening_of(facts: Mapping[str, Any]) -> pd.Timestamp | None:
    """When a session opened; None where Yahoo does not say."""
    periods = facts.get("tradingPeriods")
    if isinstance(periods, pd.DataFrame) and len(periods):
        return pd.Timestamp(periods["start"].iloc[0])
    return None


def last_trade_of(facts: Mapping[str, Any]) -> pd.Timestamp | None:
    """When the latest trade that Yahoo knows was made."""
    moment = facts.get("regularMarketTime")
    return moment.tz_convert("UTC") if isinstance(moment, pd.Timestamp) else None


def instrument_of(ticker: str, facts: Mapping[str, Any]) -> Instrument:
    """What is traded, as Yahoo describes it."""
    kind, hint = str(facts.get("instrumentType") or ""), facts.get("priceHint")
    return Instrument(
        source="yahoo",
        symbol=ticker,
        name=str(facts.get("longName") or facts.get("shortName") or ""),
        kind=_KINDS.get(kind, kind.lower()),
        currency=str(facts.get("currency") or ""),
        decimals=hint if isinstance(hint, int) and 0 <= hint <= 12 else None,
    )
