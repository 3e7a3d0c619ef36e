"""Binance's market data, spot and perpetual, as the loopback markets speak it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tests.market_prices import bars

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# Weeks begin on Monday; the first of January 1970 was a Thursday.
_MONDAY = 4 * 86400
# Close time, amount, number of trades and three more, which nobody here reads.
_FURTHER = [0, "0", 10, "0", "0", "0"]
_MOST = {"api": 1000, "fapi": 1500}


@dataclass
class Pair:
    """One market.

    Attributes:
        base: What is traded.
        quote: What it is priced in.
        tick: Smallest step of the price, as text.
        listed: First day.
        venue: "api" for spot, "fapi" for perpetuals.
    """

    base: str
    quote: str
    tick: str
    listed: str = "2020-01-01"
    venue: str = "api"


class Binance:
    """What Binance lists, and its answers."""

    def __init__(self) -> None:
        self.pairs = [
            Pair("BTC", "USDT", "0.01000000"),
            Pair("ETH", "USDT", "0.01000000"),
            Pair("ETH", "BTC", "0.00001000"),
            Pair("NEW", "USDT", "0.00010000", listed="2026-11-10"),
            Pair("BTC", "USDT", "0.10", venue="fapi"),
        ]

    def answer(
        self, venue: str, method: str, query: dict[str, str], now: pd.Timestamp, faults: Any
    ) -> tuple[int, Any]:
        """Status and document for one request."""
        if method == "exchangeInfo":
            listed = [_market(pair) for pair in self.pairs if pair.venue == venue]
            clock = int(now.timestamp() * 1000)
            return 200, {
                "timezone": "UTC", "serverTime": clock, "rateLimits": [], "exchangeFilters": [],
                "symbols": listed,
            }  # fmt: skip
        if method != "klines":
            return 404, {"code": -1, "msg": "no such method"}
        for pair in self.pairs:
            if pair.venue == venue and pair.base + pair.quote == query.get("symbol"):
                return 200, _klines(pair, query, now.timestamp(), faults)
        return 400, {"code": -1121, "msg": "Invalid symbol."}


def _market(pair: Pair) -> dict[str, Any]:
    market: dict[str, Any] = {
        "symbol": pair.base + pair.quote,
        "status": "TRADING",
        "baseAsset": pair.base,
        "quoteAsset": pair.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": pair.tick,
                "maxPrice": "1000000",
                "tickSize": pair.tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00001",
                "maxQty": "9000",
                "stepSize": "0.00001",
            },
        ],
    }
    if pair.venue == "api":
        spot = {"isSpotTradingAllowed": True, "isMarginTradingAllowed": False}
        return {**market, **spot, "permissions": ["SPOT"], "permissionSets": [["SPOT"]]}
    perpetual = {"pair": market["symbol"], "contractType": "PERPETUAL", "marginAsset": pair.quote}
    dates = {"deliveryDate": 4133404800000, "onboardDate": 1569398400000}
    return {**market, **perpetual, **dates, "pricePrecision": 2, "quantityPrecision": 3}


def _klines(pair: Pair, query: dict[str, str], now: float, faults: Any) -> list[list[Any]]:
    interval = query["interval"]
    width = int(interval[:-1]) * _UNITS[interval[-1]]
    phase = _MONDAY % width
    limit = min(int(query.get("limit", 500)), _MOST[pair.venue])
    listed = pd.Timestamp(pair.listed, tz="UTC").timestamp()
    stop = min(now, int(query.get("endTime", 10**14)) / 1000)
    newest = (stop - phase) // width * width + phase
    start = newest - (limit - 1) * width
    if "startTime" in query:
        start = int(query["startTime"]) / 1000
    start = max(start, listed)
    start = -(-(start - phase) // width) * width + phase
    opens = np.arange(start, newest + 1, width)[: faults.short_page or limit]
    name = f"{pair.base}/{pair.quote} {pair.venue}"
    values = bars(name, opens, opens + width, now)
    rows = [
        [int(opened * 1000), *(f"{value:.8f}" for value in row), *_FURTHER]
        for opened, row in zip(opens, values, strict=True)
    ]
    if faults.nulls and len(rows) > 1:
        rows[1][1:6] = [None] * 5
    if faults.disorder:
        rows = [*rows[2:], *rows[:4]]
    return rows
