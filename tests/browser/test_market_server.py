"""The server that pages with market data are tested on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_it_serves_the_application(market_server, visit):
    seen = visit(market_server.url)
    seen.page.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert not seen.complaints


@pytest.mark.slow
def test_its_sources_ask_the_loopback_markets_and_nobody_else(markets, tmp_path: Path):
    script = (
        "import sys\n"
        "from tests.browser.market_server import point_sources_at\n"
        "from data_sources.registry import open_source\n"
        "point_sources_at(sys.argv[1])\n"
        "for name, symbol in (('yahoo', 'AAPL'), ('binance', 'BTC/USDT:USDT')):\n"
        "    bars = open_source(name).fetch(symbol, interval='1d')\n"
        "    print(bars.candles.symbol, len(bars.candles) > 500, bars.stale)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, markets.url],
        cwd=ROOT,
        env={"XDG_CACHE_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n") == ["AAPL True ", "BTC/USDT:USDT True ", ""]
    assert markets.n_requests("/v8/finance/chart/AAPL", "interval=1d") >= 1
    assert markets.n_requests("/fapi/v1/klines") >= 1
