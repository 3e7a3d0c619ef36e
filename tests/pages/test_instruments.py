"""Pasted symbols: whatever is pasted, what is taken is bounded, and what is not is said."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pages.ui.inputs.instruments import (
    MAX_SYMBOL_LENGTH,
    MAX_SYMBOLS,
    Entry,
    is_symbol,
    list_line,
    read_symbols,
    uploaded_bars,
)


@pytest.mark.parametrize(
    "text",
    [
        "AAPL MSFT ^GSPC",
        "AAPL,MSFT;^GSPC",
        "\n AAPL\r\n\tMSFT\n\n^GSPC ",
        '"AAPL", "MSFT", "^GSPC"',
        "aapl | msft | ^gspc",
        "AAPL, AAPL, MSFT, aapl, ^GSPC, MSFT",
    ],
)
def test_any_usual_separator_will_do(text):
    assert read_symbols(text).symbols == ("AAPL", "MSFT", "^GSPC")


@pytest.mark.parametrize(
    "symbol",
    [
        "BRK-B",
        "^GSPC",
        "EURUSD=X",
        "GC=F",
        "0700.HK",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "M&M.NS",
        "7203.T",
    ],
)
def test_real_tickers_are_symbols(symbol):
    assert read_symbols(symbol).symbols == (symbol,)


def test_mixed_letters_stay_as_an_exchange_spells_them():
    assert read_symbols("kPEPE/USDC:USDC btc/usdt").symbols == ("kPEPE/USDC:USDC", "BTC/USDT")


@pytest.mark.parametrize(
    "word",
    [
        "<script>alert(1)</script>",
        "\U0001f600",
        "A" * 41,
        "=1+1",
        "-",
        "@x",
        "../../etc",
        "a{b}",
        "$",
    ],
)
def test_what_is_no_symbol_is_left_out_and_named(word):
    found = read_symbols(f"AAPL {word}")
    assert found.symbols == ("AAPL",)
    assert word[:10] in found.notes[0]


def test_ten_thousand_symbols_are_cut_to_the_first_two_hundred():
    found = read_symbols("\n".join(f"S{n}" for n in range(10_000)))
    assert found.symbols == tuple(f"S{n}" for n in range(MAX_SYMBOLS))
    assert found.notes == ("Skipped 9,800 of 10,000 symbols: the limit is 200.",)


def test_a_clean_list_has_no_notes_and_nothing_is_no_list():
    assert read_symbols("AAPL, MSFT").notes == ()
    assert read_symbols(" ,;\n").symbols == ()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120))
def test_whatever_is_pasted_reads_back_as_the_same_list(text):
    found = read_symbols(text)
    assert len(found.symbols) == len(set(found.symbols)) <= MAX_SYMBOLS
    assert all(is_symbol(symbol) for symbol in found.symbols)
    assert all(len(symbol) <= MAX_SYMBOL_LENGTH for symbol in found.symbols)
    again = read_symbols(list_line(found.symbols))
    assert again.symbols == found.symbols
    assert again.notes == ()


def test_a_file_is_read_on_the_clock_of_its_entry_and_else_says_what_is_assumed():
    hours = pd.date_range("2024-01-16 03:00", periods=48, freq="h")
    rows = [f"{hour:%Y-%m-%d %H:%M},1.09,1.1,1.08,1.095" for hour in hours]
    content = "\n".join(["time,open,high,low,close", *rows]).encode()
    assumed = uploaded_bars(Entry("EURUSD.csv", digest="a"), content)
    assert "read as UTC, but the bars fit these clocks as well" in assumed.notes[0]
    chosen = uploaded_bars(Entry("EURUSD.csv", digest="a", clock="Asia/Tokyo"), content)
    assert chosen.notes == ()
    first = chosen.candles.frame.index[0]
    assert first == pd.Timestamp("2024-01-15 18:00", tz="UTC")
