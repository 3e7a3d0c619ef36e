"""The what-if page as a visitor meets it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, Server
from tests.browser.test_compare_page import assert_sound
from tests.event_adapter import NAME, write_event_adapter

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

LINK = "what_if?data=Google%2C+daily%2C+2004+to+2013&horizon=16&paths=20&told_model="
LOOKED_UP_AGAIN = 5.5
"""Seconds after which the server has surely looked for models again."""


@pytest.fixture
def reader(server: Server) -> Iterator[str]:
    """A model that reads events, where the server keeps what it is given."""
    folder = server.log.parent / "data" / "kronos-fan" / "adapters"
    path = write_event_adapter(folder, "bundled", strength=0.05)
    time.sleep(LOOKED_UP_AGAIN)
    yield NAME
    path.unlink()


def test_an_event_is_switched_off_by_keyboard(server, reader, visit, screenshots):
    seen = visit(f"{server.url}/{LINK}{reader}", width=1400, height=2300)
    page = seen.page
    switch = page.get_by_role("checkbox", name=re.compile("20 Mar 2013: FOMC decision"))
    expect(switch).to_be_checked()
    page.locator(".js-plotly-plot .annotation-text", has_text="p50").first.wait_for()
    switch.focus()
    switch.press("Space")
    page.get_by_text("Settings changed: press Run.").wait_for()
    expect(page).to_have_url(re.compile("on_fomc_us_2013-03-20=false"))
    page.get_by_role("button", name="Run").first.press("Enter")
    page.get_by_text(re.compile("of 20 paths differ|are the same in both fans")).wait_for()
    titles = page.locator(".js-plotly-plot").first.locator(".annotation-text")
    expect(titles).to_have_text(["A · As scheduled", "B · What if"])
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    page.locator('[data-test-script-state="notRunning"]').first.wait_for()
    page.screenshot(path=screenshots / "what_if_light.png")
    seen.complaints[:] = [text for text in seen.complaints if "/what_if/_stcore/" not in text]
    assert_sound(seen, 1400)


@pytest.mark.slow
def test_a_narrow_dark_screen_shows_the_one_fan_of_a_model_that_reads_none(
    server, visit, screenshots
):
    seen = visit(f"{server.url}/{LINK}Bundled", width=390, height=1900, scheme="dark")
    page = seen.page
    page.get_by_text("was never trained with events.").wait_for()
    page.get_by_text("over the next 16 bars").first.wait_for()
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    page.screenshot(path=screenshots / "what_if_dark_narrow.png")
    seen.complaints[:] = [text for text in seen.complaints if "/what_if/_stcore/" not in text]
    assert_sound(seen, 390)
