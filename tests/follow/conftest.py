"""Real clients behind bar caches, pointed at markets on loopback whose time the test moves."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future

import pandas as pd
import pytest

from data_sources.cache.cache import CachedBars
from data_sources.cache.store import BarStore
from data_sources.exchange.source import Exchange
from data_sources.yahoo.source import Yahoo
from kronos.follow import Follower, Line
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService
from tests.loopback_markets import LoopbackMarkets, redirect, yahoo_session


class Inline(Executor):
    """Runs work where it is submitted, so that one poll starts it and the next reports it."""

    def submit(self, call, /, *args, **options):
        future = Future()
        future.set_result(call(*args, **options))
        return future


class Desk:
    """A follower of loopback markets on their time.

    Attributes:
        markets: The markets.
        follower: The follower.
        events: Everything it reported.
    """

    def __init__(self, markets: LoopbackMarkets, service: LocalService, folder) -> None:
        self.markets = markets
        clock = markets.clock
        exchange = Exchange(
            "binance", configure=redirect(markets.url), clock=clock, sleep=lambda _: None
        )
        yahoo = Yahoo(yahoo_session(markets.url), clock=clock, sleep=lambda _: None)
        store = BarStore(folder / "bars.sqlite")
        self.sources = {
            source.name: CachedBars(source, store, clock=clock) for source in (exchange, yahoo)
        }
        self.service = service
        self.follower = Follower(service, Inline(), clock=clock)
        self.events = []

    def line(self, symbol, interval="1m", *, source="binance", name="", seed=0, rules=()) -> Line:
        def fetch():
            return self.sources[source].fetch(symbol, interval=interval)

        def request(bars):
            return ForecastRequest.of_candles(
                bars.candles,
                self.service.facts("ewma"),
                horizon=3,
                sampling=SamplingParameters(sample_count=50, seed=seed),
            )

        return Line(name or symbol, fetch, request, rules)

    def look(self) -> list:
        """What a poll starts and the next one reports, at the markets' time."""
        found = self.follower.poll() + self.follower.poll()
        self.events += found
        return found

    def move_to(self, moment, *, least=None) -> list:
        """Go to each moment when something is due, up to this one; returns what was reported."""
        found, end = [], pd.Timestamp(moment)
        while (due := self.follower.next_look()) is not None and due <= end:
            self.markets.now = max(due, self.markets.now)
            if least is not None:
                self.markets.now = max(self.markets.now, self.markets.now.ceil(least))
            found += self.look()
        self.markets.now = max(end, self.markets.now)
        return found


@pytest.fixture(scope="module")
def served() -> Iterator[LoopbackMarkets]:
    with LoopbackMarkets() as markets:
        yield markets


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    service = LocalService()
    yield service
    service.close()


@pytest.fixture
def desk(served, service, tmp_path) -> Desk:
    served.reset()
    return Desk(served, service, tmp_path)
