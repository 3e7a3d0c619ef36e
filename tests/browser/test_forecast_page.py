"""The forecast page as a visitor meets it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from data_sources.samples import SAMPLES
from kronos.system import asset_path
from pages.ui.inputs.candles import UPLOAD
from tests.browser.conftest import PATIENCE_MS, wait_for_fan

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

GOOGLE = list(SAMPLES.values())[3].title.replace(" ", "+").replace(",", "%2C")


# Whether the page's width and the chart's place are those of 400 ms ago.
IS_STILL = """() => {
    const { x, y, width, height } =
        document.querySelector(".js-plotly-plot").getBoundingClientRect();
    const layout = [document.documentElement.scrollWidth, x, y, width, height].join();
    if (window.seen?.layout !== layout) window.seen = { layout, since: performance.now() };
    return performance.now() - window.seen.since >= 400;
}"""


def wait_until_still(page: Page) -> None:
    """Until nothing on the page moves any more."""
    page.wait_for_function(IS_STILL, polling=100)


def set_number(page: Page, label: str, value: int, chip: str = "") -> None:
    """Write a number; the chip is the one whose controls hold it."""
    if chip:
        page.locator(f".st-key-chip_{chip} button").click()
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")
    if chip:
        page.keyboard.press("Escape")


def press_run(page: Page) -> None:
    page.get_by_role("button", name="Run").click()


def test_the_longest_strip_fits_and_the_facts_take_one_line(server, visit):
    """A past origin with a wide bar of an event has more to say than any other."""
    link = "data=Ether+/+US+dollar,+1+hour,+2019&origin=2019-09-18&origin_time=15:00"
    page = visit(f"{server.url}/?{link}&horizon=24&paths=300", width=1400, height=900).page
    wait_for_fan(page)
    expect(page.locator(".st-key-strip")).to_contain_text("FOMC decision, 18 Sep 18:00")
    expect(page.locator(".st-key-strip")).to_contain_text("on record")
    wait_until_still(page)
    strip = page.locator(".st-key-strip").evaluate("each => [each.scrollWidth, each.clientWidth]")
    assert strip[0] <= strip[1]
    assert page.locator(".st-key-facts").bounding_box()["height"] < 30


@pytest.mark.parametrize("width", [1024, 1150])
def test_the_choice_of_fan_is_in_sight_on_a_narrow_screen(server, visit, width):
    page = visit(f"{server.url}/?horizon=24&paths=20", width=width, height=900).page
    wait_for_fan(page)
    wait_until_still(page)
    strip = page.locator(".st-key-strip").evaluate("each => [each.scrollWidth, each.clientWidth]")
    assert strip[0] <= strip[1]
    expect(page.get_by_role("radio", name="Calibrated fan")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
def test_verdict_and_chart_are_on_the_first_screen(server, visit, width, height):
    page = visit(f"{server.url}/?horizon=24&paths=20", width=width, height=height).page
    wait_for_fan(page)
    wait_until_still(page)
    page.get_by_text("P(up) at bar 24").wait_for()
    plot = page.locator(".js-plotly-plot").first
    parts = {name: page.locator(f".st-key-{name}").bounding_box() for name in ("run", "strip")}
    parts["chart"] = plot.bounding_box()
    parts["volume"] = plot.locator(".xy3, .xy2, .x3y3").last.bounding_box()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    for name, box in parts.items():
        assert 0 <= box["y"] <= box["y"] + box["height"] <= height, (name, box)
    assert parts["run"]["x"] + parts["run"]["width"] <= width
    assert parts["chart"]["width"] > 0.65 * width
    bars = plot.locator(".nsewdrag").first.bounding_box()
    assert bars["y"] - parts["chart"]["y"] < 110, "above the bars is room for the title alone"


def assert_shows_the_first_forecast(seen) -> None:
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(
        re.compile(r"BTCUSD: next 24 bars of 30m")
    )
    assert seen.page.get_by_text("Page not found").count() == 0
    assert not seen.complaints


def test_a_cold_first_visit_shows_a_forecast_without_a_click(first_visit):
    _, seen = first_visit
    assert_shows_the_first_forecast(seen)


@pytest.mark.slow
def test_a_ticker_is_found_by_its_name_and_forecast(market_server, visit):
    seen = visit(f"{market_server.url}/forecast?data=Ticker&horizon=5&paths=20")
    page = seen.page
    page.get_by_text("Choose a symbol or type one.").wait_for()
    page.locator(".st-key-chip_data button").click()
    page.get_by_role("combobox", name="Symbol").fill("vodafone")
    page.get_by_role("option", name="VOD.L").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("VOD.L")
    press_run(page)
    wait_for_fan(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("VOD.L: next 5 bars of 1d")
    assert "symbol=VOD.L" in page.url
    assert not seen.complaints


def test_the_forecast_is_taken_away(first_visit):
    page = first_visit[1].page
    page.get_by_role("tab", name="Download").click()
    found = {}
    for label in ("Chart (PNG)", "Chart (HTML)", "Quantiles (CSV)", "Everything (JSON)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        found[label] = Path(download.value.path()).read_bytes()
    picture = found["Chart (PNG)"]
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    chart = page.locator(".js-plotly-plot").first.bounding_box()
    assert (width, height) == (round(chart["width"] * 2), round((chart["height"] + 26) * 2))
    assert b"Plotly.newPlot" in found["Chart (HTML)"]
    assert found["Quantiles (CSV)"].count(b"\n") == 25
    assert json.loads(found["Everything (JSON)"])["parameters"]["sample_count"] == 300


def upload(page: Page, name: str, data: bytes) -> None:
    page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": data}
    )


def test_a_bad_file_is_explained_and_a_good_one_forecast(server, visit):
    seen = visit(f"{server.url}/?data={UPLOAD.replace(' ', '+')}&horizon=5&paths=20")
    page = seen.page
    page.get_by_text("Upload a file of candles").wait_for()
    page.locator(".st-key-chip_data button").click()
    rows = "\n".join(f"2024-01-{day:02d},10,11,9,what,1" for day in range(1, 31))
    upload(page, "bad.csv", f"date,open,high,low,close,volume\n{rows}".encode())
    message = page.get_by_test_id("stAlert")
    expect(message).to_contain_text("These candles cannot be used")
    expect(message).to_contain_text("close")

    lines = asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(keepends=True)
    upload(page, "ETHUSD.csv", b"".join(lines[:400]))
    page.get_by_text("Press Run to forecast these candles.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("How the file was read").click()
    page.get_by_text("399 of 399 rows kept").wait_for()
    press_run(page)
    wait_for_fan(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("next 5 bars of 1h")
    assert not seen.complaints


def test_settings_are_changed_run_and_cancelled(first_visit):
    seen = first_visit[1]
    page = seen.page
    set_number(page, "Horizon (bars)", 6, "horizon")
    page.get_by_text("Settings changed: press Run.").wait_for()
    press_run(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("next 6 bars")
    wait_for_fan(page)
    assert "horizon=6" in page.url

    set_number(page, "Horizon (bars)", 240, "horizon")
    set_number(page, "Paths", 500, "paths")
    press_run(page)
    page.get_by_role("button", name="Cancel").click()
    cancelled = page.get_by_text("Cancelled. Press Run to start again.")
    cancelled.wait_for()
    page.wait_for_timeout(1500)
    assert cancelled.is_visible(), "a cancelled forecast stays cancelled"
    assert page.get_by_role("button", name="Cancel").count() == 0
    expect(page.get_by_role("heading", level=1)).to_contain_text("next 6 bars")
    assert not seen.complaints


def test_two_sessions_with_one_request_compute_once(server, visit):
    link = f"{server.url}/?seed={time.time_ns() % 2**31}&horizon=8"
    visits = [visit(link), visit(link)]
    times = []
    for seen in visits:
        wait_for_fan(seen.page)
        seen.page.get_by_role("tab", name="How it was made").click()
        fact = seen.page.get_by_text(re.compile(r"^\d+\.\d\d s$"))
        times.append(fact.first.inner_text())
        assert not seen.complaints
    assert times[0] == times[1]

    page = visits[0].page
    plot = page.locator(".js-plotly-plot").first
    plot.evaluate("plot => { plot.dataset.mark = 'kept'; }")
    page.get_by_role("textbox", name="Levels on the chart").fill("90000")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"90,000\.00 · .* · P\(touch\)")).first.wait_for()
    page.wait_for_timeout(500)
    assert plot.get_attribute("data-mark") == "kept", "the figure was mounted anew"


@pytest.mark.slow
def test_a_model_that_cannot_be_fetched_says_so(server, visit):
    seen = visit(f"{server.url}/?model=Kronos-mini")
    page = seen.page
    page.get_by_text("Press Run to forecast these candles.").wait_for()
    press_run(page)
    page.get_by_text("The model could not be downloaded.").wait_for()
    assert not seen.complaints


@pytest.mark.slow
def test_the_past_is_compared_with_what_came(server, visit, screenshots):
    seen = visit(f"{server.url}/forecast?data={GOOGLE}&origin=2010-06-01")
    wait_for_fan(seen.page)
    seen.page.get_by_text(re.compile("inside the 80% band")).wait_for()
    wait_until_still(seen.page)
    seen.page.screenshot(path=screenshots / "past_wide_light.png")
    assert not seen.complaints


@pytest.mark.parametrize("address", ["", "compare", "what_if"])
def test_every_setting_is_in_sight_on_a_phone(server, visit, address):
    page = visit(f"{server.url}/{address}", width=390, height=844).page
    chips = page.locator(".st-key-chips")
    expect(chips.get_by_role("button", name="Own events")).to_be_visible()
    if not address:
        wait_for_fan(page)
        wait_until_still(page)
    for row in ("chips", "live", "strip", "look"):
        inside = page.locator(f".st-key-{row}")
        for part in inside.locator("button:visible, p:visible").all():
            box = part.bounding_box()
            assert 0 <= box["x"] <= 390 - box["width"], part.inner_text()


def test_verdicts_and_chart_are_on_the_first_screen_of_a_phone(server, visit):
    page = visit(server.url, width=390, height=844).page
    wait_for_fan(page)
    wait_until_still(page)
    expect(page.locator(".st-key-live")).to_be_visible()
    verdicts = page.locator(".st-key-strip").bounding_box()
    assert verdicts["y"] > 0
    chart = page.locator(".desk-chart").bounding_box()
    assert chart["y"] >= verdicts["y"] + verdicts["height"]
    assert chart["y"] + chart["height"] <= 844


@pytest.mark.parametrize("key", ["Escape", "Enter"])
def test_a_typed_date_is_taken_with_the_key_that_ends_it(server, visit, key):
    page = visit(server.url).page
    wait_for_fan(page)
    page.locator(".st-key-chip_horizon button").click()
    page.get_by_test_id("stDateInput").get_by_role("spinbutton").first.click()
    page.keyboard.type("20190920", delay=20)
    page.keyboard.press(key)
    expect(page.locator(".st-key-chip_horizon button")).to_contain_text("24 bars from 2019-09-20")


def test_a_number_is_taken_with_escape_and_a_refused_one_keeps_its_popover_with_the_reason(
    server, visit
):
    page = visit(server.url).page
    wait_for_fan(page)
    chip = page.locator(".st-key-chip_paths button").first
    chip.click()
    field = page.get_by_label("Paths", exact=True)
    field.fill("5000")
    field.press("Escape")
    reason = page.get_by_text("enter a value between 10 and 1000")
    expect(reason).to_be_visible()
    assert reason.bounding_box()["height"] > 10
    field.fill("500")
    field.press("Escape")
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)
    expect(chip).to_contain_text("500 paths")


def test_no_key_reaches_what_a_closed_sidebar_hides(server, visit):
    page = visit(server.url).page
    wait_for_fan(page)
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getBoundingClientRect().x"))
    assert min(reached) >= 0, reached


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1150, 800), (1400, 900)])
def test_run_is_in_the_line_of_the_title_and_the_time_axis_on_the_first_screen(
    server, stranger, width, height
):
    page = stranger(server.url, width=width, height=height).page
    wait_for_fan(page)
    wait_until_still(page)
    title = page.get_by_role("heading", level=1).bounding_box()
    run = page.get_by_role("button", name="Run").bounding_box()
    assert abs(title["y"] + title["height"] / 2 - run["y"] - run["height"] / 2) < 20
    chart = page.locator(".desk-chart").bounding_box()
    assert chart["y"] + chart["height"] <= height


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_focus_is_in_sight_on_the_links_of_the_pages(server, visit, scheme):
    page = visit(server.url, scheme=scheme).page
    wait_for_fan(page)
    link = page.get_by_role("link", name="Watchlist", exact=True)
    for _ in range(12):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    style = link.evaluate("link => getComputedStyle(link).outline")
    assert "solid 2px" in style, style
