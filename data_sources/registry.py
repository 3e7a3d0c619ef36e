"""The sources of market data by name: Yahoo, the exchanges, the samples."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cache

from data_sources.samples import SampleBars
from data_sources.source import DataSource
from kronos.errors import InvalidRequest
from kronos.extras import require

__all__ = ["exchange_titles", "open_source", "register_source", "source_titles"]

# ccxt's own names, written down because loading it takes a second.
_WELL_KNOWN = {
    "binance": "Binance",
    "bybit": "Bybit",
    "okx": "OKX",
    "coinbase": "Coinbase Advanced",
    "kraken": "Kraken",
    "bitfinex": "Bitfinex",
    "kucoin": "KuCoin",
    "gate": "Gate",
    "bitstamp": "Bitstamp",
    "hyperliquid": "Hyperliquid",
}
_EXCHANGE_ID = re.compile(r"[a-z0-9]{2,30}")
_lock = threading.RLock()
_makers: dict[str, Callable[[], DataSource]] = {}
_opened: dict[str, DataSource] = {}


def source_titles() -> dict[str, str]:
    """Titles by name of the most used sources, in the order to show; no client is loaded."""
    return {"yahoo": "Yahoo Finance", **_WELL_KNOWN}


@cache
def exchange_titles() -> dict[str, str]:
    """Titles by name of every exchange with candles, the well-known ones first.

    Loads ccxt, which takes a second or two the first time.
    """
    ccxt = require("ccxt", "markets", "The list of exchanges")

    titles = dict(_WELL_KNOWN)
    for name in ccxt.exchanges:
        client = None if name in titles else getattr(ccxt, name)()
        if client is not None and client.has.get("fetchOHLCV"):
            titles[name] = str(client.name)
    return titles


def open_source(name: str) -> DataSource:
    """The source of a name, behind the bar cache: one object for the whole process.

    Args:
        name: "yahoo", "samples", or the id of an exchange in ccxt.

    Raises:
        InvalidRequest: No source has that name.
    """
    with _lock:
        if name not in _opened:
            _opened[name] = _make(name)
        return _opened[name]


def register_source(name: str, make: Callable[[], DataSource]) -> None:
    """Let `open_source` return another source for a name, new or known.

    Args:
        name: The name.
        make: Creates the source; called at the first `open_source` of the name.
    """
    with _lock:
        _makers[name] = make
        _opened.pop(name, None)


def _make(name: str) -> DataSource:
    if name in _makers:
        return _cached(_makers[name]())
    if name == SampleBars.name:
        return SampleBars()
    if name == "yahoo":
        from data_sources.yahoo.source import Yahoo

        return _cached(Yahoo())
    if _EXCHANGE_ID.fullmatch(name):
        from data_sources.exchange.source import Exchange

        return _cached(Exchange(name))
    raise InvalidRequest(
        f"There is no source {name[:40]!r}. There are samples, yahoo and the exchanges of ccxt, "
        "such as binance."
    )


def _cached(source: DataSource) -> DataSource:
    from data_sources.cache.cache import CachedBars

    return CachedBars(source)
