"""Typed text finds the instrument that is meant."""

import re
from collections import Counter

import pytest

from data_sources.source import Instrument
from data_sources.symbol_search import bundled_symbols, rank
from data_sources.yahoo.source import Yahoo
from kronos.calendars.symbols import calendar_of_symbol


def symbols(text: str, limit: int = 5) -> list[str]:
    return [found.symbol for found in Yahoo().suggest(text, limit)]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("AAPL", "AAPL"),
        ("apple", "AAPL"),
        ("  tes", "TSLA"),
        ("V", "V"),
        ("f", "F"),
        ("brk b", "BRK-B"),
        ("brk.b", "BRK-B"),
        ("s&p 500", "^GSPC"),
        ("sp500", "^GSPC"),
        ("dax", "^GDAXI"),
        ("eurusd", "EURUSD=X"),
        ("eur/usd", "EURUSD=X"),
        ("yen dollar", "USDJPY=X"),
        ("gold", "GC=F"),
        ("bitcoin", "BTC-USD"),
        ("btc", "BTC-USD"),
        ("toyota", "TM"),
        ("7203", "7203.T"),
        ("nikkei", "^N225"),
        ("vodafone", "VOD.L"),
    ],
)
def test_the_likeliest_comes_first(typed, first):
    assert symbols(typed)[0] == first


def test_a_symbol_goes_before_its_beginning_before_a_name_before_the_middle():
    listed = [
        Instrument("s", "XAB", "middle"),
        Instrument("s", "C", "Abacus"),
        Instrument("s", "ABX", "beginning"),
        Instrument("s", "AB", "itself"),
        Instrument("s", "D", "nothing"),
    ]
    assert [found.symbol for found in rank("ab", listed, 9)] == ["AB", "ABX", "C", "XAB"]


def test_the_limit_holds_and_nothing_typed_gives_the_best_known():
    assert len(symbols("a", 7)) == 7
    assert symbols("", 2) == ["AAPL", "MSFT"]
    assert symbols("zzzzzz") == []
    assert symbols("?!") == []


def test_the_bundled_list_is_sound():
    listed = bundled_symbols()
    assert len(listed) >= 300
    assert max(Counter(found.symbol for found in listed).values()) == 1
    kinds = {"stock", "etf", "index", "currency", "future", "crypto"}
    assert {found.kind for found in listed} == kinds
    for found in listed:
        assert re.fullmatch(r"[A-Z0-9.\-=^]{1,15}", found.symbol), found
        assert found.name == found.name.strip() != ""


def test_symbols_of_other_countries_lead_to_a_calendar():
    for found in bundled_symbols():
        if "." in found.symbol and found.symbol != "DX-Y.NYB":
            assert calendar_of_symbol(found.symbol) is not None, found
