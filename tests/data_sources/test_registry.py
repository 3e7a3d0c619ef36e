"""Sources by name."""

import subprocess
import sys

import ccxt
import pytest

from data_sources import registry
from data_sources.cache.cache import CachedBars
from data_sources.registry import exchange_titles, open_source, register_source, source_titles
from data_sources.samples import SampleBars
from data_sources.source import DataSource
from kronos.errors import InvalidRequest
from tests.source_tree import ROOT, imports, python_files


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_makers", {})
    monkeypatch.setattr(registry, "_opened", {})


def test_the_titles_of_well_known_sources_load_no_clients():
    script = (
        "import sys; from data_sources.registry import source_titles; "
        "from data_sources.yahoo.source import Yahoo; "
        "Yahoo().suggest('apple'); assert [*source_titles()][0] == 'yahoo'\n"
        "print({'ccxt', 'yfinance', 'curl_cffi', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", source_titles())
def test_each_well_known_source_opens_under_its_title(name):
    source = open_source(name)
    assert isinstance(source, DataSource)
    assert (source.name, source.title) == (name, source_titles()[name])
    assert {"5m", "1h", "1d"} <= set(source.intervals)
    assert open_source(name) is source


def test_every_exchange_of_ccxt_with_candles_is_listed():
    titles = exchange_titles()
    assert [*titles][:2] == ["binance", "bybit"]
    assert set(titles) <= set(ccxt.exchanges)
    assert len(titles) > 80
    assert all(titles.values())


def test_the_samples_are_a_source_that_needs_no_cache():
    assert isinstance(open_source("samples"), SampleBars)


@pytest.mark.parametrize("name", ["", "nosuchexchange", "../yahoo", "Exchange", "binance; drop"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InvalidRequest, match=r"no (source|exchange)"):
        open_source(name)


def test_another_source_can_be_registered_under_a_name(yahoo):
    before = open_source("yahoo")
    register_source("yahoo", lambda: yahoo)
    after = open_source("yahoo")
    assert isinstance(after, CachedBars)
    assert after is not before
    assert after.source is yahoo


def test_the_earlier_import_path_opens_the_same_sources():
    from data_sources import markets

    assert markets.open_source("samples") is open_source("samples")
    assert set(markets.__all__) == set(registry.__all__)


def test_only_the_registry_and_the_calendar_join_vendors_and_cache():
    rooms = {"cache", "exchange", "fred", "yahoo"}
    broken = [
        found
        for file in python_files("data_sources")
        if file.name not in {"registry.py", "calendar.py"}
        for found in imports(file)
        if found.name.startswith("data_sources.")
        and (room := found.name.split(".")[1]) in rooms
        and file.parent.name != room
    ]
    assert not broken, "\n".join(map(str, broken))
