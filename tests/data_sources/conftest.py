"""The real clients, pointed at markets on loopback."""

from collections.abc import Iterator

import pytest

from data_sources.exchange.source import Exchange
from data_sources.yahoo.source import Yahoo
from tests.loopback_markets import LoopbackMarkets, redirect, yahoo_session


@pytest.fixture(scope="module")
def served() -> Iterator[LoopbackMarkets]:
    with LoopbackMarkets() as markets:
        yield markets


@pytest.fixture
def markets(served: LoopbackMarkets) -> LoopbackMarkets:
    """The markets, without faults; shared, so that only the first test waits for them."""
    served.reset()
    return served


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that sources made between attempts, none of which are waited for."""
    return []


@pytest.fixture
def yahoo(markets: LoopbackMarkets, pauses: list[float]) -> Yahoo:
    session = yahoo_session(markets.url, chart_seconds=5.0)
    return Yahoo(session, clock=markets.clock, sleep=pauses.append)


@pytest.fixture
def binance(markets: LoopbackMarkets, pauses: list[float]) -> Exchange:
    return Exchange(
        "binance",
        configure=redirect(markets.url),
        request_seconds=5.0,
        clock=markets.clock,
        sleep=pauses.append,
    )
