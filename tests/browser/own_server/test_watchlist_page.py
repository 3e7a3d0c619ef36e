"""The watchlist as a visitor meets it, with Yahoo's real client and one symbol that is none."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from kronos.system import asset_path
from tests.browser.conftest import PATIENCE_MS, Server, Visit, wait_for_fan

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

SMALL = "list_horizon=3&list_paths=10"
YAHOO = f"{SMALL}&list_source=Yahoo+Finance"
# Rows of the accessible table inside the canvas, each a list of the cells' texts. The first grid
# is the list, the next one the weights of its portfolio.
CELLS = """() => [...document.querySelector("[data-testid=stDataFrame]")
    .querySelectorAll("canvas tr")].map(row => [...row.children].map(cell => cell.textContent))"""
SETTLED = f"""() => {{
    const cells = ({CELLS})().flat();
    return cells.length && !cells.some(text => /^(Waiting|Fetching|Forecasting)/.test(text));
}}"""
HEADER, ROW = 36, 44
OPEN_COLUMN = 88 + 37
"""Where the middle of the button's column lies, in pixels."""


def table(page: Page) -> dict[str, dict[str, str]]:
    """Cells by symbol and column, in the order shown."""
    head, *rows = page.evaluate(CELLS) or [[]]
    names = [re.sub(r"^[↑↓] ", "", name) for name in head]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def press_run(page: Page) -> None:
    page.get_by_role("button", name="Run").click()


def wait_for_end(page: Page) -> None:
    page.get_by_test_id("stDataFrame").first.wait_for()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.get_by_role("button", name="Table (CSV)")).to_be_visible()
    page.locator('[data-test-script-state="notRunning"]').first.wait_for()
    # The grid's cells are drawn after the page has come to rest.
    page.wait_for_function(SETTLED)


def click_cell(page: Page, x: int, row: int) -> None:
    """Clicks into the grid: row 0 is the header."""
    y = HEADER // 2 if row == 0 else HEADER + ROW * row - ROW // 2
    page.locator("[data-testid=stDataFrame] .dvn-scroller").first.click(position={"x": x, "y": y})


def test_a_list_with_one_bad_symbol(market_server: Server, visit: Callable[..., Visit]):
    seen = visit(f"{market_server.url}/watchlist?{YAHOO}")
    page = seen.page
    page.get_by_label("Symbols", exact=True).fill("spy\nNOPE; AAPL <b>x</b> AAPL")
    page.get_by_label("Symbols", exact=True).blur()
    page.get_by_text("not a symbol: '<b>x</b>'").wait_for()
    press_run(page)
    page.get_by_text("1 line failed").wait_for()
    wait_for_end(page)
    found = table(page)
    assert list(found) == ["SPY", "NOPE", "AAPL"]
    assert found["NOPE"]["Status"].startswith("Failed: Yahoo Finance has no such symbol")
    assert found["NOPE"]["P(up)"] == ""
    # While New York trades, the bar of today is left out, which the line says.
    states = {found[name]["Status"] for name in ("SPY", "AAPL")}
    assert len(states) == 1
    assert states.pop().endswith(("Done", "is not finished and was left out."))
    for name in ("SPY", "AAPL"):
        assert 0 <= float(found[name]["P(up)"]) <= 100
        assert found[name]["Next 3 bars"].startswith("data:image/svg+xml")
    assert "symbols=SPY%2C+NOPE%2C+AAPL" in page.url

    with page.expect_download() as download:
        page.get_by_role("button", name="Table (CSV)").click()
    with open(download.value.path(), encoding="utf-8", newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [line["state"] for line in lines] == ["done", "failed", "done"]
    assert lines[2]["name"] == "Apple Inc."

    click_cell(page, 30, 0)  # sorted by symbol: AAPL comes first
    page.wait_for_function(f"() => ({CELLS})()[1][0] === 'AAPL'")
    click_cell(page, OPEN_COLUMN, 1)
    # By its name: while pages change, the heading of the run before may still stand there.
    page.get_by_role("heading", level=1, name="AAPL: next 3 bars of 1d").wait_for()
    assert "symbol=AAPL" in page.url
    wait_for_fan(page)
    page.get_by_role("link", name="Watchlist").click()
    wait_for_end(page)
    assert set(table(page)) == {"SPY", "NOPE", "AAPL"}, "coming back loses nothing"
    assert page.get_by_text("press Run").count() == 0
    assert not seen.complaints


@pytest.mark.slow
def test_partial_results_come_and_cancel_keeps_them(server: Server, visit: Callable[..., Visit]):
    link = f"{server.url}/watchlist?list_horizon=240&list_paths=500&samples=IBM"
    seen = visit(link)
    page = seen.page
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled: 0 of 1 done.").wait_for()
    wait_for_end(page)
    assert table(page)["IBM"]["Status"] == "Stopped"
    page.wait_for_timeout(1500)
    assert page.get_by_role("button", name="Cancel").count() == 0, "it does not start again"
    assert not seen.complaints


@pytest.mark.slow
def test_files_are_lines_of_their_own(server: Server, visit: Callable[..., Visit]):
    seen = visit(f"{server.url}/watchlist?{SMALL}&samples=GOOG")
    page = seen.page
    wait_for_end(page)
    good = b"".join(asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(True)[:200])
    page.get_by_text("My own files").click()
    page.locator('input[type="file"]').first.set_input_files(
        [
            {"name": "good.csv", "mimeType": "text/csv", "buffer": good},
            {"name": "<i>bad.csv", "mimeType": "text/csv", "buffer": b"date,open\n1,2\n"},
        ]
    )
    page.get_by_text("changed: press Run").wait_for()
    press_run(page)
    page.get_by_text("1 line failed").click()
    wait_for_end(page)
    assert list(table(page)) == ["GOOG", "good.csv", "<i>bad.csv"]
    assert [line["Forecast"] for line in table(page).values()] == ["Open", "", ""]
    expect(page.get_by_text("<i>bad.csv: ")).to_be_visible()
    assert not seen.complaints


@pytest.mark.slow
def test_a_saved_list_stays_in_its_browser(
    server: Server, visit: Callable[..., Visit], stranger: Callable[..., Visit]
):
    seen = visit(f"{server.url}/watchlist?{SMALL}&samples=IBM")
    page = seen.page
    page.get_by_text("Saved watchlists").click()
    page.get_by_label("Name", exact=True).fill("Old <b>giants")
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Load", exact=True).wait_for()

    again = page.context.new_page()
    again.set_default_timeout(PATIENCE_MS)
    again.goto(f"{server.url}/watchlist?{SMALL}")
    again.get_by_text("Saved watchlists").click()
    again.get_by_role("button", name="Load", exact=True).click()
    again.wait_for_url(re.compile("samples=IBM"))
    expect(again.get_by_role("combobox", name="Saved list")).to_have_value("Old <b>giants")

    other = stranger(f"{server.url}/watchlist?{SMALL}").page
    other.get_by_text("Saved watchlists").click()
    other.get_by_text("Saved lists stay in this browser").wait_for()
    assert other.get_by_role("button", name="Load", exact=True).count() == 0

    again.get_by_role("button", name="Delete", exact=True).click()
    expect(again.get_by_role("button", name="Load", exact=True)).to_have_count(0)
    assert page.evaluate("localStorage.getItem('kronos-fan.watchlists')") == "{}"
    assert not seen.complaints


@pytest.mark.slow
def test_a_line_is_opened_without_a_mouse(server, visit, screenshots):
    seen = visit(f"{server.url}/watchlist?{SMALL}", width=390, height=900, scheme="dark")
    page = seen.page
    wait_for_end(page)
    page.wait_for_timeout(500)  # the small fans are decoded after the grid is drawn
    page.screenshot(path=screenshots / "watchlist_narrow_dark.png")
    page.get_by_role("button", name="Open in Forecast").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("BTCUSD: next 3 bars")
    assert not seen.complaints
