"""Search for an instrument by a part of its symbol or of its name."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from data_sources.source import Instrument

__all__ = ["bundled_symbols", "rank"]

_WORD = re.compile(r"[^\W_]+")


@cache
def bundled_symbols() -> tuple[Instrument, ...]:
    """Well-known symbols of Yahoo Finance, the best known first; any other can be typed."""
    path = Path(__file__).with_name("symbols.csv")
    with path.open(encoding="utf-8", newline="") as opened:
        return tuple(
            Instrument("yahoo", row["symbol"], row["name"], row["kind"])
            for row in csv.DictReader(opened)
        )


def rank(text: str, instruments: Iterable[Instrument], limit: int) -> list[Instrument]:
    """Instruments that match, the likeliest first.

    In this order: the symbol itself, symbols that begin with the text, names in which each word
    of the text begins a word, symbols that contain it, names that contain it. Punctuation does
    not count: sp500, btcusdt and brk b find S&P 500, BTC/USDT and BRK-B. Among equals the given
    order stays.

    Args:
        text: What the user typed; if nothing, the first instruments are returned.
        instruments: All there are, the best known first.
        limit: Most to return.
    """
    words = _WORD.findall(text.casefold())
    plain = "".join(words)
    if not plain:
        return [] if text.strip() else [*instruments][:limit]
    typed = text.strip().casefold()
    placed = ((_place(plain, words, typed, item), item) for item in instruments)
    found = [(place, item) for place, item in placed if place is not None]
    return [item for _, item in sorted(found, key=lambda pair: pair[0])[:limit]]


def _place(plain: str, words: list[str], typed: str, instrument: Instrument) -> int | None:
    symbol = "".join(_WORD.findall(instrument.symbol.casefold()))
    if instrument.symbol.casefold() == typed:
        return 0
    if symbol == plain:
        return 1
    if symbol.startswith(plain):
        return 2
    name_words = _WORD.findall(instrument.name.casefold())
    if name_words and all(any(part.startswith(word) for part in name_words) for word in words):
        return 3
    if plain in symbol:
        return 4
    return 5 if plain in "".join(name_words) else None
