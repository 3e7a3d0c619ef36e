"""Every page as the first that anybody opens.

What needs a server of its own lies in this folder: another process runs it (tests/conftest.py).
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, START_SECONDS, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

# What is opened, the page's name, and what its heading says at once or later.
DEEP_LINKS = {
    "forecast": ("Forecast", "BTCUSD"),
    "compare": ("Compare", "BTCUSD"),
    "watchlist": ("Watchlist", "Watchlist"),
    "models": ("Models", "Models"),
    "what_if": ("What if", "BTCUSD"),
    "training": ("Training", "Training"),
    "forecasts": ("Forecasts", "Forecasts"),
    "track_record": ("Track record", "Track record"),
    "backtest": ("Backtest", "Backtest"),
    "synthetic": ("Synthetic", "Synthetic candles"),
}


@pytest.mark.parametrize("path", DEEP_LINKS)
def test_every_page_is_reached_by_a_cold_deep_link(cold_server, visit, path):
    name, heading = DEEP_LINKS[path]
    seen = visit(f"{cold_server.url}/{path}")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text(heading)
    expect(seen.page).to_have_title(f"{name} · Kronos Fan")
    expect(seen.page.get_by_role("link", name="Forecast", exact=True)).to_be_visible()
    assert seen.page.get_by_text("Page not found").count() == 0
    assert not seen.complaints


def test_a_server_that_is_told_to_stop_ends_in_order(tmp_path):
    _, process = start_server(tmp_path)
    process.terminate()
    assert process.wait(START_SECONDS) == 0


def test_the_first_forecast_is_prepared_before_anybody_comes(cold_server, tmp_path):
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not list(tmp_path.glob("cache/kronos-fan/forecasts/*/*.safetensors")):
        assert time.monotonic() < deadline, cold_server.log.read_text()
        time.sleep(0.2)
