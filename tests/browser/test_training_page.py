"""A fine-tune from the page: upload, train, keep, compare; and what a stopped server leaves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import (
    PATIENCE_MS,
    start_server,
    stop_server,
    wait_for_fan,
    wait_until_idle,
)
from tests.browser.test_compare_page import wait_for_comparison
from tests.training.conftest import made_up_bars

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
expect.set_options(timeout=PATIENCE_MS)


def upload(page: Page, *, n_bars: int, steps: int) -> None:
    """Gives the page a file, and settings of seconds."""
    page.get_by_role("radio", name="My own files").click()
    content = made_up_bars(n_bars, seed=5).to_csv(index=False).encode()
    page.locator('input[type="file"]').set_input_files(
        {"name": "MINE.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_text("How the files were read").wait_for()
    page.get_by_text("Optimization").click()
    for label, value in (
        ("Context (bars)", 32),
        ("Horizon (bars)", 4),
        ("Steps", steps),
        ("Windows per step", 4),
    ):
        field = page.get_by_label(label, exact=True)
        field.fill(str(value))
        field.press("Enter")
    page.get_by_text("Windows of 32 + 4 bars").first.wait_for()
    wait_until_idle(page)


def test_from_a_file_to_a_comparison(server, visit, stranger, screenshots):
    seen = visit(f"{server.url}/training", width=1400, height=1100)
    page = seen.page
    upload(page, n_bars=400, steps=6)
    page.screenshot(path=screenshots / "training_setup.png")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    assert "run=" in page.url
    other = stranger(f"{server.url}/training").page
    other.get_by_role("button", name="Start training").click()
    other.get_by_text("Another training is under way").wait_for()
    assert "MINE" not in other.inner_text("body")

    page.reload()
    name = page.get_by_label("Name", exact=True)
    name.wait_for(timeout=500_000)
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.screenshot(path=screenshots / "training_done.png")
    name.fill("mine")
    name.press("Enter")
    page.get_by_role("button", name="Save as a model").click()
    page.get_by_role("button", name="Compare with its base").click()
    wait_for_comparison(page)
    titles = page.locator(".js-plotly-plot .annotation-text")
    expect(titles).to_have_text(["A · Bundled", "B · mine"])
    page.get_by_text("From the Training page").wait_for()
    page.screenshot(path=screenshots / "training_compared.png")
    page.get_by_test_id("stTopNavSection").click()
    page.get_by_role("menuitem", name="Training").click()
    page.get_by_role("button", name="Forecast", exact=True).click()
    wait_for_fan(page)


def test_a_server_that_is_stopped_leaves_a_run_to_be_resumed(tmp_path, visit):
    server, process = start_server(tmp_path)
    try:
        page = visit(f"{server.url}/training").page
        upload(page, n_bars=400, steps=4000)
        page.get_by_role("button", name="Start training").click()
        page.get_by_text("Step 4").first.wait_for(timeout=300_000)
        query = page.url.partition("?")[2]
    finally:
        stop_server(process)
    server, process = start_server(tmp_path)
    try:
        page = visit(f"{server.url}/training?{query}").page
        # Found under way while it is still saving, then as what it is.
        page.get_by_text("Stopped and saved").wait_for(timeout=300_000)
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped and saved").wait_for(timeout=300_000)
    finally:
        stop_server(process)
