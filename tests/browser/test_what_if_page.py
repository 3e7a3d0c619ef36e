"""The what-if page as a visitor meets it: a model that reads no events, then one that does."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, wait_until_idle
from tests.browser.test_forecast_page import GOOGLE
from tests.event_adapter import NAME, WITHOUT_EVENTS, write_event_adapter

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
expect.set_options(timeout=PATIENCE_MS)

READS_NONE = re.compile("does not read events")


@pytest.fixture
def reader(server):
    """A model that reads events, on the machine of the shared server; it goes with the test."""
    folder = server.log.parent / "data" / "kronos-fan" / "adapters"
    folder.mkdir(parents=True, exist_ok=True)
    path = write_event_adapter(folder, WITHOUT_EVENTS)
    yield NAME
    path.unlink()


def open_until_it_reads(page: Page) -> None:
    """Which models there are is looked up again every few seconds."""
    for _ in range(20):
        scheduled = page.get_by_text("Scheduled within the horizon")
        page.get_by_text(READS_NONE).or_(scheduled).first.wait_for()
        if not page.get_by_text(READS_NONE).count():
            return
        page.wait_for_timeout(1000)
        page.reload()
    raise AssertionError(f"The adapter never came: {page.inner_text('body')}")


def wait_for_charts(page: Page, n: int) -> None:
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(n)
    wait_until_idle(page)


def test_a_meeting_is_taken_off_and_the_two_fans_compared(server, visit, reader, screenshots):
    link = f"{server.url}/what_if?data={GOOGLE}&horizon=16&paths=20"
    seen = visit(link, width=1400, height=1600)
    page = seen.page
    open_until_it_reads(page)
    page.get_by_text("next 16 bars").wait_for()
    wait_for_charts(page, 1)

    # The tick is drawn over the box itself, so that people click the label.
    page.locator("label").filter(has_text="20 Mar 2013").click()
    page.get_by_text("Settings changed: press Run.").wait_for()
    expect(page).to_have_url(re.compile("on_fomc_us_2013-03-20=false"))
    page.get_by_text("The fan can change from bar").wait_for()
    page.get_by_role("button", name="Run").click()
    page.get_by_text(re.compile("of 20 paths differ")).wait_for()
    wait_for_charts(page, 2)
    titles = page.locator(".js-plotly-plot").first.locator(".annotation-text")
    expect(titles.filter(has_text="As scheduled")).to_have_count(1)
    expect(titles.filter(has_text="What if")).to_have_count(1)
    page.get_by_text("A: as scheduled. B: what if.").wait_for()
    page.screenshot(path=screenshots / "what_if_light.png")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not seen.complaints
