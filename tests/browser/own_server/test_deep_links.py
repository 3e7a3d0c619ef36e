"""Every page as the first that anybody opens.

What needs a server of its own lies in this folder: another process runs it (tests/conftest.py).
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

# What is opened, and what its title says at once or later.
DEEP_LINKS = {
    "forecast": "BTCUSD",
    "compare": "BTCUSD",
    "watchlist": "Watchlist",
    "models": "Models",
    "what_if": "BTCUSD",
    "training": "Training",
    "track_record": "Track record",
    "backtest": "Backtest",
    "synthetic": "Synthetic candles",
}


@pytest.mark.parametrize("path", DEEP_LINKS)
def test_every_page_is_reached_by_a_cold_deep_link(cold_server, visit, path):
    seen = visit(f"{cold_server.url}/{path}")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text(DEEP_LINKS[path])
    expect(seen.page.get_by_role("link", name="Forecast")).to_be_visible()
    assert seen.page.get_by_text("Page not found").count() == 0
    assert not seen.complaints
