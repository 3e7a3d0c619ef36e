"""The calendar and the asset class of an instrument, from its ticker."""

from __future__ import annotations

import re
from typing import Literal

from kronos.calendars.exchanges import ALWAYS_OPEN, FX, METALS

__all__ = ["ASSET_CLASSES", "AssetClass", "asset_class", "calendar_of_symbol"]

AssetClass = Literal["crypto", "equity", "future", "fx"]

ASSET_CLASSES: dict[AssetClass, str] = {
    "crypto": "Crypto",
    "equity": "Shares, funds and indices",
    "future": "Futures",
    "fx": "Currencies and metals",
}
"""Every class and its title."""

_SUFFIXES = {
    "L": "XLON", "IL": "XLON", "DE": "XETR", "F": "XETR", "PA": "XPAR", "AS": "XAMS",
    "BR": "XBRU", "LS": "XLIS", "MI": "XMIL", "MC": "XMAD", "SW": "XSWX", "ST": "XSTO",
    "CO": "XCSE", "HE": "XHEL", "OL": "XOSL", "WA": "XWAR", "VI": "XWBO", "IR": "XDUB",
    "IS": "XIST", "T": "XTKS", "HK": "XHKG", "SS": "XSHG", "SH": "XSHG", "SZ": "XSHG",
    "NS": "XBOM", "BO": "XBOM", "AX": "XASX", "TO": "XTSE", "V": "XTSE", "KS": "XKRX",
    "KQ": "XKRX", "SI": "XSES", "TW": "XTAI", "JK": "XIDX", "KL": "XKLS", "BK": "XBKK",
    "SR": "XSAU", "NZ": "XNZE", "JO": "XJSE", "SA": "BVMF", "MX": "XMEX", "US": "XNYS",
}  # fmt: skip

_INDICES = {
    **dict.fromkeys(("GSPC", "SPX", "DJI", "IXIC", "NDX", "RUT", "VIX", "NYA"), "XNYS"),
    **dict.fromkeys(("FTSE", "UKX", "FTMC"), "XLON"),
    **dict.fromkeys(("GDAXI", "DAX", "MDAXI"), "XETR"),
    "FCHI": "XPAR", "CAC40": "XPAR", "AEX": "XAMS", "SSMI": "XSWX", "IBEX": "XMAD",
    "STOXX50E": "XETR", "N225": "XTKS", "NI225": "XTKS", "HSI": "XHKG", "HSCE": "XHKG",
    "SSEC": "XSHG", "CSI300": "XSHG", "KS11": "XKRX", "KOSPI": "XKRX", "NSEI": "XBOM",
    "BSESN": "XBOM", "AXJO": "XASX", "GSPTSE": "XTSE", "BVSP": "BVMF", "TWII": "XTAI",
    "STI": "XSES", "MXX": "XMEX",
}  # fmt: skip

_CURRENCIES = frozenset((
    "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD", "SEK", "NOK", "DKK", "PLN", "HUF",
    "CZK", "TRY", "ZAR", "MXN", "SGD", "HKD", "CNH", "CNY", "INR", "KRW", "BRL", "ILS", "THB",
    "RON", "XAU", "XAG", "XPT", "XPD",
))  # fmt: skip
_METALS = frozenset(["XAU", "XAG", "XPT", "XPD"])
_COINS = frozenset((
    "BTC", "XBT", "ETH", "SOL", "XRP", "ADA", "DOGE", "DOT", "LTC", "BCH", "BNB", "AVAX",
    "LINK", "MATIC", "POL", "TRX", "ATOM", "UNI", "XLM", "ETC", "EOS", "XMR", "DASH", "ZEC",
    "NEO", "IOTA", "AAVE", "ALGO", "FIL", "NEAR", "APT", "ARB", "OP", "SUI", "TON", "SHIB",
    "PEPE", "INJ", "ICP", "HBAR", "VET", "XTZ", "MKR", "SAND", "MANA", "AXS", "FTM", "RUNE",
    "GRT", "CRV", "SNX", "COMP",
))  # fmt: skip
_STABLE = frozenset(["USDT", "USDC", "BUSD", "FDUSD", "TUSD", "DAI", "UST", "USDE"])
_QUOTES = (*sorted(_STABLE | _CURRENCIES | {"BTC", "XBT", "ETH", "BNB"}, key=len, reverse=True),)


def asset_class(calendar: str, symbol: str = "") -> AssetClass:
    """Asset class of an instrument.

    Args:
        calendar: "24/7", "fx", "metals", "weekdays" or an exchange code.
        symbol: Ticker; ES=F is a future on any calendar.
    """
    if symbol.strip().upper().endswith("=F") or calendar == "CMES":
        return "future"
    if calendar == ALWAYS_OPEN:
        return "crypto"
    return "fx" if calendar in (FX, METALS) else "equity"


def calendar_of_symbol(symbol: str) -> tuple[str, str] | None:
    """Calendar of a ticker, and the reason; None where the ticker alone does not decide.

    Understands exchange suffixes (VOD.L, 7203.T), crypto and currency pairs (BTCUSDT, BTC-USD,
    EUR/USD, EURUSD=X), futures (ES=F), indices (^GSPC) and six-digit Chinese codes. For a
    bare name such as AAPL the bars decide.
    """
    ticker = symbol.strip().upper()
    if ticker.startswith("^") and ticker[1:] in _INDICES:
        return _INDICES[ticker[1:]], f"{symbol} is an index of that market"
    if ticker in _INDICES:
        return _INDICES[ticker], f"{symbol} is an index of that market"
    if ticker.endswith("=F"):
        return "CMES", f"{symbol} is a futures symbol"
    pair = _pair(ticker)
    if pair is not None:
        return pair[0], pair[1].format(symbol=symbol)
    stem, dot, suffix = ticker.rpartition(".")
    if dot and stem and suffix in _SUFFIXES:
        return _SUFFIXES[suffix], f"the suffix .{suffix} of {symbol}"
    if re.fullmatch(r"(SH|SZ)?[0369]\d{5}", ticker):
        return "XSHG", f"{symbol} looks like a Shanghai or Shenzhen code"
    return None


def _pair(ticker: str) -> tuple[str, str] | None:
    """Calendar of a currency or crypto pair; None if it is neither."""
    name = re.sub(r"(=X|\.P|-PERP|_PERP|PERP|-SWAP|\.S)$", "", ticker)
    letters = re.sub(r"[/_:\-]", "", name)
    if letters in _COINS and name == letters and letters in {"BTC", "XBT", "ETH"}:
        return ALWAYS_OPEN, "{symbol} is a cryptocurrency"
    for quote in _QUOTES:
        base = letters.removesuffix(quote)
        if base == letters or not base:
            continue
        is_split = name != letters and name.endswith(quote)
        if base in _COINS or quote in _STABLE or (is_split and base in _STABLE):
            return ALWAYS_OPEN, "{symbol} is a crypto pair"
        if base in _CURRENCIES and quote in _CURRENCIES:
            if base in _METALS:
                return METALS, "{symbol} is a metal"
            return FX, "{symbol} is a currency pair"
    return None
