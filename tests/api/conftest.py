"""An API over the engine of this process, and bars to order forecasts of."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from data_sources.samples import load_sample
from kronos.api.app import create_api
from kronos.api.feeds import FeedBars
from kronos.api.keys import Keys
from kronos.api.spool import Spool
from kronos.cli.feeds import SourceFeeds
from kronos.errors import UnknownSymbol
from kronos.events import Leaders
from kronos.serving.service import LocalService

LOCAL = ("127.0.0.1", 50_000)
ELSEWHERE = ("192.0.2.7", 50_000)


class SampleFeeds:
    """The bundled samples as a source, without a calendar to fetch."""

    def bars(self, source, symbol, interval):
        if (source, symbol) != ("samples", "GOOG"):
            raise UnknownSymbol(f"There is no {symbol} here.")
        return FeedBars(load_sample("GOOG_1d"), "USD", ("A note.",))

    def file(self, path):
        return SourceFeeds().file(path)

    def page(self, source, symbol, interval):
        return SourceFeeds().page(source, symbol, interval)

    def prepare_events(self, candles, horizon):
        pass

    def leaders(self, candles):
        return Leaders()

    def faults(self):
        return Counter({"SourceDown": 2})


@pytest.fixture(scope="session")
def service():
    made = LocalService()
    yield made
    made.close()


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def serve(service, keys, tmp_path):
    """Starts a server of its own over the same engine and the same file of orders."""
    with ExitStack() as stack:

        def start(client=LOCAL, base_url="http://localhost:8600", engine=service):
            spool = Spool(tmp_path / "orders.sqlite3")
            api = create_api(lambda: engine, SampleFeeds(), keys=keys, spool=spool)
            return stack.enter_context(
                TestClient(api, base_url=base_url, client=client, raise_server_exceptions=False)
            )

        yield start


@pytest.fixture
def api(serve):
    return serve()


def columns(candles, n=60):
    """The last bars as an order has them."""
    frame = candles.frame.iloc[-n:]
    bars = {name: frame[name].tolist() for name in frame.columns}
    return bars | {"timestamp": [at.isoformat() for at in frame.index]}


@pytest.fixture
def bars():
    candles = load_sample("GOOG_1d")
    facts = {"symbol": "GOOG", "interval": "1d", "zone": candles.zone, "calendar": candles.calendar}
    return columns(candles) | facts


@pytest.fixture
def order(bars):
    """An order that takes a moment."""
    return {"candles": bars, "model": "ewma", "horizon": 3, "paths": 30, "seed": 7}
