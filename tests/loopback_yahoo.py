"""Yahoo's chart API as the loopback markets speak it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kronos.calendars.sessions import schedule
from tests.market_prices import bars

_DAY = 86400
_WIDTHS = {
    "1m": 60, "2m": 120, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "60m": 3600, "90m": 5400,
    "1d": _DAY, "1wk": 7 * _DAY,
}  # fmt: skip
_REACH_DAYS = {"1m": 30, "2m": 60, "5m": 60, "15m": 60, "90m": 60, "1h": 730, "60m": 730}


@dataclass
class Listing:
    """One instrument of Yahoo.

    Attributes:
        kind: Yahoo's instrumentType.
        exchange: Yahoo's exchangeName.
        zone: Clock of the exchange.
        currency: What prices are quoted in.
        decimals: Yahoo's priceHint.
        name: Yahoo's longName.
        calendar: Code of exchange_calendars; "" trades round the clock, "fx" on weekdays, and
            futures on the days of theirs from midnight to midnight.
        listed: First day.
        delay: Seconds by which quotes are late.
        dividends: Ex-dates (at the opening) and amounts.
    """

    kind: str
    exchange: str
    zone: str
    currency: str
    decimals: int
    name: str
    calendar: str
    listed: str = "2023-01-03"
    delay: int = 0
    dividends: dict[pd.Timestamp, float] = field(default_factory=dict)


def _listings() -> dict[str, Listing]:
    new_york, london = "America/New_York", "Europe/London"
    return {
        "AAPL": Listing("EQUITY", "NMS", new_york, "USD", 2, "Apple Inc.", "XNYS"),
        "SPY": Listing("ETF", "PCX", new_york, "USD", 2, "SPDR S&P 500", "XNYS"),
        "^GSPC": Listing("INDEX", "SNP", new_york, "USD", 2, "S&P 500", "XNYS"),
        "VOD.L": Listing("EQUITY", "LSE", london, "GBp", 3, "Vodafone Group", "XLON", delay=900),
        "EURUSD=X": Listing("CURRENCY", "CCY", london, "USD", 4, "EUR/USD", "fx"),
        "ES=F": Listing("FUTURE", "CME", new_york, "USD", 2, "E-Mini S&P 500", "CMES"),
        "DX-Y.NYB": Listing("INDEX", "NYB", new_york, "USD", 2, "US Dollar Index", "CMES"),
        "^VIX": Listing("INDEX", "WCB", "America/Chicago", "USD", 2, "CBOE Volatility", "XNYS"),
        "BTC-USD": Listing("CRYPTOCURRENCY", "CCC", "UTC", "USD", 2, "Bitcoin USD", ""),
    }


class YahooCharts:
    """What Yahoo lists, and its answers."""

    def __init__(self) -> None:
        self.listings = _listings()

    def answer(
        self, ticker: str, query: dict[str, str], now: pd.Timestamp, faults: Any
    ) -> tuple[int, Any]:
        """Status and document for one chart."""
        listing, interval = self.listings.get(ticker), query.get("interval", "1d")
        if listing is None:
            return 404, _error("Not Found", "No data found, symbol may be delisted")
        if interval not in _WIDTHS:
            return 400, _error("Bad Request", f"Invalid input - interval={interval} is not valid")
        clock = now.timestamp()
        first = int(query.get("period1", clock - 5 * _DAY))
        stop = int(query.get("period2", clock + 1))
        if refusal := _too_far(interval, first, stop, clock):
            return 422, refusal
        spans = _spans(listing, interval, first, min(stop, clock - listing.delay), now)
        if len(spans) == 0:
            dates = f"startDate = {first}, endDate = {stop}"
            return 400, _error("Bad Request", f"Data doesn't exist for {dates}")
        document = _chart(ticker, listing, interval, spans, clock - listing.delay)
        _spoil(document, faults)
        return 200, {"chart": {"result": [document], "error": None}}


def _error(code: str, description: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}


def _too_far(interval: str, first: int, stop: int, clock: float) -> dict[str, Any] | None:
    if interval == "1m" and stop - first > 12 * _DAY:
        said = "Only 8 days worth of 1m granularity data are allowed to be fetched per request."
        return _error("Unprocessable Entity", f"1m data not available for startTime. {said}")
    days = _REACH_DAYS.get(interval)
    if days is None or first >= clock - days * _DAY:
        return None
    return _error(
        "Unprocessable Entity",
        f"{interval} data not available for startTime={first} and endTime={stop}. The requested "
        f"range must be within the last {days} days.",
    )


def _sessions(listing: Listing, first: float, stop: float) -> np.ndarray:
    """(S, 2) openings and closes."""
    zone = listing.zone
    days = [pd.Timestamp(moment, unit="s", tz="UTC").tz_convert(zone) for moment in (first, stop)]
    begin, end = (day.tz_localize(None).normalize() for day in days)
    begin = max(begin, pd.Timestamp(listing.listed))
    if end < begin:
        return np.empty((0, 2), int)
    if listing.calendar in ("", "fx", "CMES"):
        if listing.calendar == "CMES":
            dates = pd.DatetimeIndex(schedule("CMES", begin, end, zone=zone).index)
        else:
            dates = pd.date_range(begin, end, freq="B" if listing.calendar else "D")
        nights = [date.tz_localize(zone) for date in dates.union(dates + pd.Timedelta(days=1))]
        midnight = {night.tz_localize(None): int(night.timestamp()) for night in nights}
        return np.array(
            [(midnight[date], midnight[date + pd.Timedelta(days=1)]) for date in dates]
        ).reshape(-1, 2)
    rows = schedule(listing.calendar, begin, end, zone=zone)
    return np.column_stack(
        [rows[name].map(lambda moment: int(moment.timestamp())) for name in ("open", "close")]
    ).reshape(-1, 2)


def _spans(
    listing: Listing, interval: str, first: float, stop: float, now: pd.Timestamp
) -> np.ndarray:
    """(T, 2) openings and ends of the bars that open within two times."""
    sessions = _sessions(listing, first, stop)
    width = _WIDTHS[interval]
    if width >= _DAY:
        spans = sessions
    else:
        pieces = []
        for opening, close in sessions:
            opens = np.arange(opening, close, width)
            pieces.append(np.column_stack([opens, np.minimum(opens + width, close)]))
        spans = np.concatenate(pieces) if pieces else np.empty((0, 2), int)
    return spans[(spans[:, 0] >= first) & (spans[:, 0] < stop)]


def _chart(
    ticker: str, listing: Listing, interval: str, spans: np.ndarray, clock: float
) -> dict[str, Any]:
    opens, ends = spans.astype(float).T
    values = bars(ticker, opens, ends, clock).round(listing.decimals + 4)
    stamps = spans[:, 0].tolist()
    last_trade = int(min(clock, ends[-1]))
    # The bar of a day that still trades is stamped with its last trade.
    if interval == "1d" and ends[-1] > clock:
        stamps[-1] = last_trade
    quote = dict(zip(("open", "high", "low", "close", "volume"), values.T.tolist(), strict=True))
    quote["volume"] = [int(volume) for volume in quote["volume"]]
    indicators: dict[str, Any] = {"quote": [quote]}
    if _WIDTHS[interval] >= _DAY:
        factors = _factors(listing, opens, values[:, 3], clock)
        indicators["adjclose"] = [{"adjclose": (values[:, 3] * factors).tolist()}]
    document = {
        "meta": _meta(ticker, listing, interval, last_trade, spans),
        "timestamp": stamps,
        "indicators": indicators,
    }
    paid = {
        str(int(moment.timestamp())): {"amount": amount, "date": int(moment.timestamp())}
        for moment, amount in listing.dividends.items()
        if opens[0] <= moment.timestamp() <= clock
    }
    return {**document, "events": {"dividends": paid}} if paid else document


def _factors(listing: Listing, opens: np.ndarray, close: np.ndarray, clock: float) -> np.ndarray:
    """By what earlier closes are multiplied, for dividends that have gone ex."""
    factors = np.ones(len(opens))
    for moment, amount in listing.dividends.items():
        before = opens < moment.timestamp()
        if before.any() and moment.timestamp() <= clock:
            factors[before] *= 1 - amount / close[before][-1]
    return factors


def _meta(
    ticker: str, listing: Listing, interval: str, last_trade: int, spans: np.ndarray
) -> dict[str, Any]:
    zone = listing.zone
    day = pd.Timestamp(last_trade, unit="s", tz="UTC")
    offset = int(day.tz_convert(zone).utcoffset().total_seconds())  # type: ignore[union-attr]

    def period(opening: int, close: int) -> dict[str, Any]:
        return {"timezone": "ZZZ", "start": opening, "end": close, "gmtoffset": offset}

    sessions = _sessions(listing, float(spans[0, 0]), float(spans[-1, 0]))
    latest = period(int(sessions[-1, 0]), int(sessions[-1, 1]))
    meta = {
        "currency": listing.currency,
        "symbol": ticker,
        "exchangeName": listing.exchange,
        "fullExchangeName": listing.exchange,
        "instrumentType": listing.kind,
        "firstTradeDate": int(pd.Timestamp(listing.listed, tz="UTC").timestamp()),
        "regularMarketTime": last_trade,
        "hasPrePostMarketData": listing.kind == "EQUITY",
        "gmtoffset": offset,
        "timezone": "ZZZ",
        "exchangeTimezoneName": zone,
        "longName": listing.name,
        "shortName": listing.name,
        "priceHint": listing.decimals,
        "currentTradingPeriod": {"pre": latest, "regular": latest, "post": latest},
        "dataGranularity": interval,
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }
    if _WIDTHS[interval] < _DAY:
        meta["tradingPeriods"] = [[period(int(start), int(end))] for start, end in sessions]
    return meta


def _spoil(document: dict[str, Any], faults: Any) -> None:
    """What vendors do to good bars."""
    quote = document["indicators"]["quote"][0]
    columns = [
        *quote.values(),
        *(x["adjclose"] for x in document["indicators"].get("adjclose", [])),
    ]
    if faults.nulls:
        for column in columns:
            column[1] = None
    if faults.disorder:
        stamps = document["timestamp"]
        for column in (stamps, *columns):
            column[:] = [*column[2:], *column[:4]]
    if faults.short_page:
        for column in (document["timestamp"], *columns):
            del column[faults.short_page :]
