"""Hostile answers, through the real clients: each ends in time, in bounds, with a typed error."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pandas as pd
import pytest

from data_sources.exchange.source import Exchange
from data_sources.http import raise_for_redirect
from kronos.errors import SourceDown, SourceError, SourceNonsense
from tests.loopback_hostile import CASES, FAULTS, SOURCES, Hostile, fetch, order, repeated
from tests.loopback_markets import LoopbackMarkets
from tests.source_tree import ROOT


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


def lines() -> dict[str, tuple[list[str], list[str]]]:
    """Errors and what the user reads, by fault, as the table of the docs says it."""
    text = (ROOT / "docs" / "data-sources.md").read_text(encoding="utf-8")
    rows = (
        text.split("## Hostile answers")[1].split("\n| --- ")[1].split("\n\n")[0].splitlines()[1:]
    )
    cells = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]
    return {fault: (errors.split(" or "), reads.split(" // ")) for fault, errors, reads in cells}


LINES = lines()


def test_the_table_and_the_faults_are_the_same() -> None:
    assert set(LINES) == set(FAULTS)


@pytest.mark.parametrize(("fault", "source"), CASES)
def test_a_hostile_answer_ends_as_the_table_says(server: Hostile, fault: str, source: str) -> None:
    order(server, fault, source)
    before = server.n_bytes
    most = 32 if fault.endswith(" bars") else 8
    errors, reads = LINES[fault]
    seconds = 0.3 if "did not answer within" in reads[0] else 20.0  # a busy machine takes its time
    with pytest.raises(SourceError) as caught:
        fetch(source, server.url, seconds=seconds, most_bytes=most << 20)
    message = str(caught.value)
    assert message.startswith(source.removesuffix(" candles"))
    assert type(caught.value).__name__ in errors, message
    assert server.n_bytes - before < 100 << 20, (
        "nobody reads on for long after the last useful byte"
    )
    patterns = [re.escape(text).replace("…", ".+") for text in reads]
    assert any(re.fullmatch(pattern, message, re.DOTALL) for pattern in patterns), message


@pytest.mark.parametrize("source", SOURCES)
def test_a_server_whose_name_is_unknown_is_named(source: str) -> None:
    with pytest.raises(SourceDown) as caught:
        fetch(source, "http://source.invalid", seconds=5.0, most_bytes=1 << 20)
    assert "no address is known for the name source.invalid; this machine" in str(caught.value)


def test_all_pages_of_one_request_share_a_deadline(
    markets: LoopbackMarkets, binance: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    binance.suggest("")
    monkeypatch.setattr("data_sources.exchange.client._ALL_PAGES_SECONDS", 0.2)
    markets.faults.short_page = 1
    start = markets.clock() - pd.Timedelta(days=2000)
    with pytest.raises(SourceDown, match=r"Binance needs more than 0 s|did not answer within"):
        binance.fetch("BTC/USDT", interval="1h", start=start)
    assert 0 < markets.n_requests("/klines") < 5_000


@pytest.mark.parametrize(
    ("address", "target", "is_followed"),
    [
        ("https://a.example/x", "https://a.example/y", True),
        ("http://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "http://a.example/y", False),
        ("https://a.example/x", "https://b.example/y", False),
        ("https://a.example/x", "https://a.example:8443/y", False),
        ("https://a.example/x", "https://a.example@b.example/y", False),
        ("https://a.example/x", "file:///etc/passwd", False),
        ("https://a.example/x", "https://[", False),
    ],
)
def test_redirects_stay_on_the_host_and_encrypted(
    address: str, target: str, *, is_followed: bool
) -> None:
    if is_followed:
        raise_for_redirect("Source", address, target)
    else:
        with pytest.raises(SourceNonsense, match="redirects to another address"):
            raise_for_redirect("Source", address, target)


def test_pieces_that_repeat_are_one_gzip_stream() -> None:
    text = b'{"a":[' + b"1," * 20_000 + b"1]}"
    assert gzip.decompress(repeated(b'{"a":[', b"1," * 10_000, 2, b"1]}")) == text
