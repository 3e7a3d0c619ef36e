"""A workspace as a visitor meets it: saved in one window, opened in another, moved as a file."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)


def open_list(page: Page) -> None:
    page.get_by_role("button", name="Workspaces").click()
    page.get_by_text("It stays in this browser").wait_for()


def test_a_workspace_opens_on_the_page_that_is_open_already(server, stranger):
    seen = stranger(f"{server.url}/watchlist?list_horizon=8")
    page = seen.page
    open_list(page)
    page.get_by_label("Workspace name", exact=True).fill("Eight bars")
    page.get_by_label("Workspace name", exact=True).press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Eight bars is saved.").wait_for()
    # Its address names nothing: every control has its default, and is bound to the address.
    page.goto(f"{server.url}/watchlist")
    open_list(page)
    page.get_by_role("button", name="Open workspace", exact=True).click()
    expect(page.get_by_label("Horizon (bars)", exact=True)).to_have_value("8")
    page.wait_for_url("**/watchlist?list_horizon=8")
    expect(page.get_by_text("It stays in this browser")).to_have_count(0)  # the list is closed
    assert not seen.complaints


def test_a_workspace_is_saved_opened_exported_and_imported(server, visit, stranger, tmp_path):
    seen = visit(f"{server.url}/backtest?bt_every=3&bt_seed=3")
    page = seen.page
    page.get_by_role("link", name="Forecasts", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Forecasts")
    open_list(page)
    page.get_by_label("Workspace name", exact=True).fill("Morning <b>desk")
    page.get_by_label("Workspace name", exact=True).press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Morning <b>desk is saved.").wait_for()

    again = page.context.new_page()
    again.set_default_timeout(PATIENCE_MS)
    again.goto(f"{server.url}/track_record")
    open_list(again)
    with again.expect_download() as download:
        again.get_by_role("button", name="Export", exact=True).click()
    file = tmp_path / "workspace.json"
    download.value.save_as(file)
    fields = json.loads(file.read_text())
    assert fields["page"] == "forecasts"
    assert fields["pages"]["backtest"] == {"bt_every": "3", "bt_seed": "3"}
    # From a page whose own settings are in the address, too.
    again.goto(f"{server.url}/watchlist?list_horizon=8")
    open_list(again)
    expect(again.get_by_label("Horizon (bars)", exact=True)).to_have_value("8")
    again.get_by_role("button", name="Open workspace", exact=True).click()
    expect(again).to_have_title("Forecasts · Kronos Fan")
    again.get_by_role("link", name="Backtest", exact=True).click()
    again.wait_for_url("**/backtest?bt_every=3&bt_seed=3")

    # In another browser the list is empty until the file is imported.
    other = stranger(f"{server.url}/track_record").page
    open_list(other)
    assert other.get_by_role("button", name="Open workspace", exact=True).count() == 0
    upload = other.get_by_test_id("stFileUploader").locator("input[type=file]")
    upload.set_input_files(
        {"name": "w.json", "mimeType": "application/json", "buffer": b'{"format": "other"}'}
    )
    other.get_by_text("The file holds no workspace.").wait_for()
    fields["pages"]["backtest"]["warp"] = "9"
    upload.set_input_files(
        {
            "name": "w.json",
            "mimeType": "application/json",
            "buffer": json.dumps(fields).encode(),
        }
    )
    other.get_by_text("Left out: warp of backtest.").wait_for()
    other.get_by_role("button", name="Delete", exact=True).click()
    expect(other.get_by_role("button", name="Open workspace", exact=True)).to_have_count(0)
    assert other.evaluate("localStorage.getItem('kronos-fan.workspaces')") == "{}"
    assert not seen.complaints
