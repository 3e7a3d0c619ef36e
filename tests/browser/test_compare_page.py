"""The comparison page as a visitor meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, wait_until_idle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

SMALL = "horizon=8&paths=20&origin=2019-09-20"


def wait_for_comparison(page: Page) -> None:
    page.get_by_text("forecasts of the next").first.wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.get_by_text("Quantiles by bar").wait_for()
    wait_until_idle(page)


def assert_sound(seen, width: int) -> None:
    """Nothing overflows, nothing complains."""
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    chart = page.locator(".js-plotly-plot").first.bounding_box()
    assert chart["x"] >= 0
    assert chart["x"] + chart["width"] <= width
    assert not seen.complaints


def test_two_temperatures_and_a_baseline_by_keyboard(server, visit, screenshots):
    link = f"{server.url}/compare?{SMALL}&models=3&b=Bundled&Tb=0.5&c=EWMA+cone"
    seen = visit(link, width=1400, height=1400)
    page = seen.page
    wait_for_comparison(page)
    titles = page.locator(".js-plotly-plot .annotation-text")
    expect(titles).to_have_text(["A · Bundled", "B · Bundled, T 0.5", "C · EWMA cone"])
    page.screenshot(path=screenshots / "compare_panels_light.png")
    assert_sound(seen, 1400)

    overlay = page.get_by_role("radio", name="Overlay")
    overlay.focus()
    overlay.press("Enter")
    page.get_by_text("Thick lines: medians.").wait_for()
    expect(page).to_have_url(re.compile("arrangement=Overlay"))
    page.screenshot(path=screenshots / "compare_overlay_light.png")


@pytest.mark.slow
def test_an_overlay_on_a_dark_narrow_screen_comes_with_the_link(server, visit, screenshots):
    link = f"{server.url}/compare?{SMALL}&models=4&arrangement=Overlay&view=%25+from+origin"
    seen = visit(link, width=390, height=1900, scheme="dark")
    page = seen.page
    wait_for_comparison(page)
    page.get_by_text("Thick lines: medians.").wait_for()
    legend = page.locator(".js-plotly-plot .legendtext")
    expect(legend.first).to_have_text("A · Bundled")
    page.screenshot(path=screenshots / "compare_overlay_dark_narrow.png")
    assert_sound(seen, 390)
