"""Exchanges through ccxt: coins, spot and perpetual."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

from data_sources.cleaning import clean_bars, finished_bars
from data_sources.exchange.client import ATTEMPT_SECONDS, ExchangeClient, read_pages
from data_sources.http import MOST_BYTES, UNREADABLE
from data_sources.source import Bars, Instrument, RequestedRange
from data_sources.symbol_search import rank
from kronos.calendars.intervals import INTERVALS, interval_width, is_intraday
from kronos.candles import Candles
from kronos.errors import KronosError, SourceError, UnknownSymbol

__all__ = ["RECENT_BARS", "Exchange"]

RECENT_BARS = 2_000
"""Number of bars of a request without a start."""
_MARKETS_SECONDS = 3600.0
_DAY = pd.Timedelta(days=1)
_KINDS = {"spot": "spot", "swap": "perpetual", "future": "future"}
# Pairs against these are what most people look for, in this order.
_QUOTES = ("USDT", "USD", "USDC", "EUR", "BTC")
_MAJORS = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "TRX", "LINK", "AVAX", "LTC", "DOT")


class Exchange:
    """One exchange as a `DataSource`.

    Symbols are ccxt's: BTC/USDT is spot, BTC/USDT:USDT the perpetual that is settled in USDT.
    Adjustment has no effect. On most exchanges an interval in which nothing was traded has no bar.

    Args:
        exchange_id: Its id in ccxt, such as binance.
        configure: Called once with ccxt's client before its first request.
        request_seconds: How long one attempt at a request may take.
        clock: Time of this machine, aware.
        sleep: Sleeps so many seconds.
        most_bytes: Most bytes of an answer.

    Raises:
        InvalidRequest: ccxt has no such exchange.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        configure: Callable[[Any], None] | None = None,
        request_seconds: float = ATTEMPT_SECONDS,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
        sleep: Callable[[float], None] = time.sleep,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.name = exchange_id
        self._client = ExchangeClient(
            exchange_id,
            configure=configure,
            request_seconds=request_seconds,
            clock=clock,
            sleep=sleep,
            most_bytes=most_bytes,
        )
        self.title = self._client.title
        widths = self._client.ccxt.timeframes or {}
        self.intervals = tuple(name for name in INTERVALS if name in widths)
        self._loaded = -_MARKETS_SECONDS
        self._listing = threading.Lock()
        self._listed: tuple[Any, list[Instrument]] = (None, [])

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        """See `DataSource.suggest`; from the exchange's own markets.

        Raises:
            SourceError: The exchange does not say which markets it has.
        """
        with self._client.turn():
            markets = self._markets()
        with self._listing:
            if self._listed[0] is not markets:
                try:
                    self._listed = (markets, self._tradable(markets))
                except UNREADABLE as exc:
                    raise self._client.nonsense(f"{type(exc).__name__}: {exc}") from exc
            listed = self._listed[1]
        return rank(text, listed, limit)

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        """See `DataSource.fetch`. Without a start: the last 2,000 bars up to the end."""
        requested = RequestedRange(self, interval, start, end)
        width = interval_width(interval)
        with self._client.turn():
            market = self._market(symbol)
            now = self._client.now()
            last = min(requested.end or now, now)
            # One more, for the last one may be unfinished.
            first = requested.start or last - (RECENT_BARS + 1) * width
            rows = read_pages(self._client, market["symbol"], interval, first, last)
            now = self._client.now()
        try:
            return self._as_bars(rows, market, requested, now)
        except KronosError:
            raise
        except UNREADABLE as exc:
            raise self._client.nonsense(f"{type(exc).__name__}: {exc}") from exc

    def _as_bars(
        self,
        rows: list[list[Any]],
        market: dict[str, Any],
        requested: RequestedRange,
        now: pd.Timestamp,
    ) -> Bars:
        interval, width = requested.interval, interval_width(requested.interval)
        bars, notes = clean_bars(_table(rows))
        bars = requested.cut(bars, market["symbol"])
        # An exchange keeps some intervals only for a while, and gives what it has.
        if requested.start is not None and bars.index[0] > requested.start + max(width, _DAY):
            notes.append(f"There are no bars before {bars.index[0]:%Y-%m-%d %H:%M} UTC.")
        candles = Candles.from_frame(
            bars,
            symbol=market["symbol"],
            interval=interval,
            zone="UTC" if is_intraday(interval) else _zone_of_days(bars),
            calendar="24/7",
            source=self.title,
        )
        candles, open_note = finished_bars(candles, now)
        if requested.start is None:
            candles = candles.slice(-RECENT_BARS)
        return Bars(candles, self._instrument(market), now, (*notes, *open_note))

    def _markets(self) -> dict[str, Any]:
        """Markets by symbol, loaded again after an hour."""
        client = self._client
        if time.monotonic() - self._loaded >= _MARKETS_SECONDS:
            try:
                client.request("load_markets", True)
                if not client.ccxt.markets:
                    raise client.nonsense("an empty list of markets")
                self._loaded = time.monotonic()
            except SourceError:
                # Markets change rarely, so the old ones stand in.
                if not client.ccxt.markets:
                    raise
        markets: dict[str, Any] = client.ccxt.markets
        return markets

    def _market(self, symbol: str) -> dict[str, Any]:
        markets = self._markets()
        typed = symbol.strip()
        for name in (typed, typed.upper()):
            if name in markets:
                return dict(markets[name])
        # BTCUSDT is what the exchange itself calls BTC/USDT, and its perpetual, too.
        same_id = self._client.ccxt.markets_by_id.get(typed.upper(), [])
        if same_id:
            return dict(sorted(same_id, key=lambda market: market["type"] != "spot")[0])
        close = [found.symbol for found in rank(typed, self._tradable(markets), 3)]
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise UnknownSymbol(
            f"{self.title} has no market {typed[:40]!r}. Its symbols look like BTC/USDT, or "
            f"BTC/USDT:USDT for a perpetual.{hint}"
        )

    def _tradable(self, markets: dict[str, Any]) -> list[Instrument]:
        """Markets that can be traded now, the best known first."""
        chosen = [
            market
            for market in markets.values()
            if market.get("type") in _KINDS and market.get("active") is not False
        ]
        return [self._instrument(market) for market in sorted(chosen, key=_prominence)]

    def _instrument(self, market: dict[str, Any]) -> Instrument:
        kind = _KINDS.get(str(market.get("type")), "")
        base, quote = str(market.get("base") or ""), str(market.get("quote") or "")
        return Instrument(
            source=self.name,
            symbol=market["symbol"],
            name=f"{base} / {quote}, {kind}" if base and quote and kind else "",
            kind=kind,
            currency=quote,
            decimals=_decimals(market, self._client.ccxt.precisionMode),
        )


def _prominence(market: dict[str, Any]) -> tuple[int, int, int, str]:
    def place(name: object, known: tuple[str, ...]) -> int:
        return known.index(name) if name in known else len(known)

    return (
        place(market.get("quote"), _QUOTES),
        place(market.get("base"), _MAJORS),
        list(_KINDS).index(market["type"]),
        str(market["symbol"]),
    )


def _decimals(market: dict[str, Any], mode: int) -> int | None:
    """Digits after the point of a price; None where the exchange counts significant digits."""
    import ccxt

    said = (market.get("precision") or {}).get("price")
    try:
        step = Decimal(str(said))
    except InvalidOperation:
        return None
    if mode == ccxt.TICK_SIZE and step > 0:
        exponent = step.normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else None
    if mode == ccxt.DECIMAL_PLACES and 0 <= step <= 18:
        return int(step)
    return None


def _table(rows: list[list[Any]]) -> pd.DataFrame:
    values = np.array([row[1:6] for row in rows], dtype=float).reshape(-1, 5)
    stamps = pd.to_datetime(np.array([row[0] for row in rows], dtype=np.int64), unit="ms", utc=True)
    columns = ["open", "high", "low", "close", "volume"]
    return pd.DataFrame(values, index=pd.DatetimeIndex(stamps), columns=columns)


def _zone_of_days(bars: pd.DataFrame) -> str:
    """The clock on which an exchange's days begin at midnight: UTC on most, not on all."""
    hours = pd.DatetimeIndex(bars.index).hour.unique()
    if len(hours) != 1 or hours[0] == 0:
        return "UTC"
    east = (24 - int(hours[0])) % 24
    east = east - 24 if east > 14 else east
    # In these names the sign says how far west.
    return f"Etc/GMT{-east:+d}"
