"""Yahoo Finance through yfinance: stocks, funds, indices, currencies, futures, coins."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_sources.cleaning import as_half_hours, as_weeks, clean_bars, finished_bars
from data_sources.http import UNREADABLE, Retry
from data_sources.source import Bars, Instrument, RequestedRange
from data_sources.symbol_search import bundled_symbols, rank
from data_sources.yahoo.client import TITLE, yfinance_with
from kronos.calendars import METALS
from kronos.calendars.intervals import interval_width
from kronos.calendars.symbols import calendar_of_symbol
from kronos.candles import Candles
from kronos.errors import (
    IntervalUnavailable,
    InvalidRequest,
    KronosError,
    SourceNonsense,
    UnknownSymbol,
)
from kronos.extras import require

if TYPE_CHECKING:
    from data_sources.yahoo.session import ChartSession

__all__ = ["Yahoo"]

_INTERVALS = ("1m", "2m", "5m", "15m", "30m", "1h", "90m", "1d", "1w")
# How far back intraday bars go.
_REACH = {
    "1m": pd.Timedelta(days=8),
    **dict.fromkeys(("2m", "5m", "15m", "30m", "90m"), pd.Timedelta(days=60)),
    "1h": pd.Timedelta(days=730),
}
# The request takes a while, and Yahoo's clock may differ from this machine's.
_MARGIN = pd.Timedelta(minutes=10)
_FIRST_DAY = pd.Timestamp("1927-12-30", tz="UTC")  # of the S&P 500, the longest series
_DAY = pd.Timedelta(days=1)
_SYMBOL = re.compile(r"[A-Za-z0-9.\-=^&_]{1,32}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
# Yahoo's own bars of these widths are wrong: its half-hours are hours, and its weeks are adjusted
# wrongly.
_RESAMPLED_FROM = {"30m": "15m", "1w": "1d"}
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


class Yahoo:
    """Yahoo Finance as a `DataSource`.

    Weeks are resampled from days, Monday to Sunday on the exchange's clock, and half-hours from
    quarters, counted from the opening. Quotes of some exchanges are delayed; a bar counts as
    finished once a later trade is known, or half an hour after its end.

    Args:
        session: The connection; default: one of its own.
        clock: Time of this machine, aware; only to know how far back a request may go.
        sleep: Sleeps so many seconds.
    """

    name = "yahoo"
    title = TITLE
    intervals = _INTERVALS

    def __init__(
        self,
        session: ChartSession | None = None,
        *,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._opening = threading.Lock()
        self._clock = clock
        self._retry = Retry(TITLE, sleep=sleep)

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        """See `DataSource.suggest`."""
        return rank(text, bundled_symbols(), limit)

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        """See `DataSource.fetch`.

        Without a start: all days and weeks there are, and intraday bars as far back as Yahoo
        has them (8 days of 1m, 60 days up to 90m, 730 days of 1h).
        """
        ticker = _checked_symbol(symbol)
        requested = RequestedRange(self, interval, start, end)
        first, stop = self._span(requested)
        options = {
            "interval": _RESAMPLED_FROM.get(interval, interval),
            "auto_adjust": adjusted,
            "start": first.to_pydatetime(),
            "end": stop.to_pydatetime(),
        }
        session = self._connected()

        def request(seconds: float) -> tuple[pd.DataFrame, Mapping[str, Any], pd.Timestamp]:
            with yfinance_with(session, seconds=seconds) as client:
                table, facts = _history(client.Ticker(ticker, session=session), options)
                return table, facts, session.clock or self._clock()

        table, facts, now = self._retry.run(request)
        try:
            return _as_bars(table, facts, ticker, requested, now)
        except KronosError:
            raise
        except UNREADABLE as exc:
            raise _unreadable(ticker, exc) from exc

    def _span(self, requested: RequestedRange) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The times of the request to Yahoo: from the first up to, but without, the second."""
        now, interval = self._clock().tz_convert("UTC"), requested.interval
        start, last = requested.start, requested.end
        if last is not None and interval == "1w":
            last += 7 * _DAY  # A week is complete only with all its days.
        stop = min(last or now, now) + 2 * _DAY
        reach = _REACH.get(interval)
        if reach is None:
            first = _FIRST_DAY if start is None else start - 7 * _DAY
            return max(first, _FIRST_DAY), stop
        oldest = now - reach
        wanted = start or requested.end
        if wanted is not None and wanted < oldest:
            raise IntervalUnavailable(
                f"{TITLE} has {interval} bars of the last {reach.days} days only, from "
                f"{oldest:%Y-%m-%d %H:%M} UTC on; asked for {wanted:%Y-%m-%d %H:%M} UTC. Ask for "
                "a later start, or for wider bars."
            )
        # One bar more, which a resampled bar may need.
        first = start - interval_width(interval) if start else oldest
        return max(first, oldest + _MARGIN), stop

    def _connected(self) -> ChartSession:
        with self._opening:
            if self._session is None:
                # Loaded on first use: with its client it takes a second.
                require("curl_cffi", "markets", TITLE)
                from data_sources.yahoo.session import ChartSession

                self._session = ChartSession()
            return self._session


def _checked_symbol(symbol: str) -> str:
    ticker = symbol.strip().upper()
    if _ISIN.fullmatch(ticker):
        raise UnknownSymbol(
            f"{TITLE} knows tickers, such as AAPL or VOD.L; {ticker} is an ISIN. Search for the "
            "name of the instrument."
        )
    if not _SYMBOL.fullmatch(ticker):
        raise InvalidRequest(
            f"{symbol[:40]!r} is no ticker of {TITLE}; they look like AAPL, VOD.L, ^GSPC, "
            "EURUSD=X or ES=F."
        )
    return ticker


def _history(instrument: Any, options: Mapping[str, Any]) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """yfinance's table of bars, and what Yahoo says about the instrument."""
    from yfinance.exceptions import YFException, YFPricesMissingError

    ticker = instrument.ticker
    try:
        table = instrument.history(actions=False, keepna=True, **options)
        return table, instrument.get_history_metadata()
    except YFPricesMissingError as exc:
        raise UnknownSymbol(
            f"{TITLE} has no bars of {ticker} there. Ask for another range, or check the symbol."
        ) from exc
    except KronosError:
        raise
    except (YFException, *UNREADABLE) as exc:
        raise _unreadable(ticker, exc) from exc


def _unreadable(ticker: str, error: Exception) -> SourceNonsense:
    said = f"{type(error).__name__}: {error}"[:200]
    return SourceNonsense(
        f"{TITLE} sent a chart of {ticker} that cannot be read ({said}). "
        "It may have changed its format: update the application, or choose another source."
    )


def _as_bars(
    table: pd.DataFrame,
    facts: Mapping[str, Any],
    ticker: str,
    requested: RequestedRange,
    now: pd.Timestamp,
) -> Bars:
    bars = table.rename(columns=str.lower)[["open", "high", "low", "close", "volume"]]
    bars, notes = clean_bars(bars)
    if requested.interval == "1w":
        bars = as_weeks(bars)
    elif requested.interval == "30m":
        bars = as_half_hours(bars, _opening(facts) or pd.Timestamp(bars.index[0]).floor("30min"))
    bars = requested.cut(bars, ticker)
    zone = str(facts.get("exchangeTimezoneName") or pd.DatetimeIndex(bars.index).tz)
    candles = Candles.from_frame(
        bars.tz_convert(zone),
        symbol=ticker,
        interval=requested.interval,
        zone=zone,
        calendar=_calendar(ticker, facts),
        source=TITLE,
    )
    candles, open_note = finished_bars(candles, now, last_trade=_last_trade(facts))
    return Bars(candles, _instrument(ticker, facts), now, (*notes, *open_note))


# What Yahoo says about an instrument beside its bars.


def _calendar(ticker: str, facts: Mapping[str, Any]) -> str | None:
    """Calendar that Yahoo's description points to; None where only the bars can tell."""
    kind, hint = str(facts.get("instrumentType") or ""), calendar_of_symbol(ticker)
    if kind in _CALENDARS and not (hint and hint[0] == METALS):
        return _CALENDARS[kind]
    if hint:
        return hint[0]
    return "XNYS" if facts.get("exchangeName") in _NEW_YORK else None


def _opening(facts: Mapping[str, Any]) -> pd.Timestamp | None:
    """When a session opened; None where Yahoo does not say."""
    periods = facts.get("tradingPeriods")
    if isinstance(periods, pd.DataFrame) and len(periods):
        return pd.Timestamp(periods["start"].iloc[0])
    return None


def _last_trade(facts: Mapping[str, Any]) -> pd.Timestamp | None:
    """Time of the latest trade that Yahoo knows."""
    moment = facts.get("regularMarketTime")
    return moment.tz_convert("UTC") if isinstance(moment, pd.Timestamp) else None


def _instrument(ticker: str, facts: Mapping[str, Any]) -> Instrument:
    kind, hint = str(facts.get("instrumentType") or ""), facts.get("priceHint")
    return Instrument(
        source="yahoo",
        symbol=ticker,
        name=str(facts.get("longName") or facts.get("shortName") or ""),
        kind=_KINDS.get(kind, kind.lower()),
        currency=str(facts.get("currency") or ""),
        decimals=hint if isinstance(hint, int) and 0 <= hint <= 12 else None,
    )
