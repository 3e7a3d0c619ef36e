"""The models page as a visitor meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)


@pytest.mark.slow
def test_the_bundled_model_is_tested_and_a_hub_out_of_reach_is_told(server, visit, screenshots):
    seen = visit(f"{server.url}/models")
    page = seen.page
    page.get_by_role("button", name="Self-test").click()
    page.get_by_text(re.compile("Self-test passed: 6 of 6 steps")).click()
    expect(page.get_by_text("Passed.")).to_have_count(6)
    expect(page.get_by_text("float32 on cpu")).to_be_visible()
    expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    page.screenshot(path=screenshots / "models_tested.png", full_page=True)

    page.get_by_role("button", name="Download 32 MB").click()
    message = page.get_by_test_id("stAlert")
    expect(message).to_contain_text("The model could not be downloaded.")
    expect(message).to_contain_text("cannot be reached")
    assert page.get_by_role("button", name="Download 32 MB").is_visible(), "it can be tried again"
    assert not seen.complaints
