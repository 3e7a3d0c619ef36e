"""What the address says comes back: by Back and Forward, and in another browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.browser.conftest import PATIENCE_MS, wait_for_fan

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

LINK = (
    "horizon=12&paths=20&seed=5&T=0.9&shape=line&view=log&window=3m&layers=bands&levels=8200"
    "&studies=SMA+20&details=Quantiles&quantiles=5"
)
# What the chart draws: names of its traces, its notes, the section that is seen.
DRAWN = """() => {
    const plot = document.querySelector(".st-key-fan .js-plotly-plot");
    return {
        traces: plot._fullData.map((trace) => trace.name),
        notes: plot._fullLayout.annotations.map((note) => note.text),
        title: plot._fullLayout.title.text,
        section: [plot._fullLayout.xaxis, plot._fullLayout.yaxis].flatMap(
            (axis) => axis.range.map((end) => end.toFixed(2))),
    };
}"""

# Sends the server `late` right after the next message, as a clock of the page may.
SEND_LATE = """(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        send.call(this, data);
        if (!window.late) return;
        send.call(this, new Uint8Array(window.late));
        window.late = null;
    };
})()"""


def seen(page: Page) -> dict[str, Any]:
    """What a visitor sees: the title, the settings, the options, the chart."""
    wait_for_fan(page)
    drawn, before = page.evaluate(DRAWN), None
    while drawn != before:
        page.wait_for_timeout(250)
        drawn, before = page.evaluate(DRAWN), drawn
    return {
        "title": page.get_by_role("heading", level=1).inner_text(),
        "chips": page.locator(".st-key-chips").inner_text(),
        "options": page.locator('.st-key-look [data-selected="true"]').all_inner_texts(),
        "levels": page.get_by_role("textbox", name="Levels on the chart").input_value(),
        "strip": page.locator(".st-key-strip").inner_text(),
        "panel": page.locator(".st-key-details [role=tab][aria-selected=true]").inner_text(),
        "drawn": drawn,
    }


def opened(server, visit) -> Page:
    """A chart whose options differ from the usual ones, moved by hand."""
    page = visit(f"{server.url}/?{LINK}").page
    wait_for_fan(page)
    page.locator(".st-key-fan .desk-chart").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**zoom=**")
    return page


def go_to_compare(page: Page, *, horizon: int) -> Locator:
    """Follow the link to Compare and set its horizon; the heading of the page.

    Compare has controls of the same names as Forecast, which it writes into its own address.
    """
    page.get_by_role("link", name="Compare", exact=True).click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("4 forecasts")
    page.locator(".st-key-chip_horizon button").click()
    field = page.get_by_label("Horizon (bars)", exact=True)
    field.fill(str(horizon))
    field.press("Enter")
    return heading


def test_back_from_another_page_returns_to_the_forecast_as_it_was(server, visit):
    page = opened(server, visit)
    before = seen(page)
    heading = go_to_compare(page, horizon=8)
    page.wait_for_url("**horizon=8**")
    page.keyboard.press("Escape")
    page.go_back()  # the first run of Compare goes on
    expect(heading).to_contain_text("next 12 bars")
    page.wait_for_url(re.compile(r"/\?.*horizon=12"))
    assert seen(page) == before
    page.go_forward()
    page.wait_for_url(re.compile("compare.*horizon=8"))
    expect(page.locator(".st-key-chip_horizon")).to_contain_text("8 bars")
    page.go_back()
    expect(heading).to_contain_text("next 12 bars")
    page.wait_for_url(re.compile(r"/\?.*horizon=12"))
    assert seen(page) == before


@pytest.mark.parametrize("late", ["progress", "control"])
def test_a_late_message_of_the_page_that_is_left_does_not_undo_back(server, visit, late):
    page = visit(f"{server.url}/?{LINK}").page
    requests: list[bytes] = []

    def keep(socket: WebSocket) -> None:
        socket.on("framesent", lambda data: requests.append(data))

    page.on("websocket", keep)
    page.add_init_script(SEND_LATE)
    page.reload()
    before = seen(page)
    heading = go_to_compare(page, horizon=90 if late == "progress" else 91)
    page.keyboard.press("Escape")
    n_before = len(requests)
    page.get_by_role("button", name="Run").first.click()
    for _ in range(200):
        page.wait_for_timeout(50)
        asked = [(data, BackMsg.FromString(data).rerun_script) for data in requests[n_before:]]
        found = [data for data, run in asked if bool(run.fragment_id) == (late == "progress")]
        if found:
            break
    page.evaluate("message => { window.late = message; }", list(found[-1]))
    page.go_back()
    page.wait_for_function("() => window.late === null")
    expect(heading).to_contain_text("next 12 bars")
    page.wait_for_url(re.compile(r"/\?.*horizon=12"))
    page.wait_for_timeout(1500)  # the answer to the late message may undo it
    expect(heading).to_contain_text("next 12 bars")
    assert seen(page) == before
    assert re.search(r"/\?.*horizon=12", page.url)


def test_back_closes_a_stored_forecast_and_comes_to_the_list(server, visit):
    page = visit(f"{server.url}/?horizon=6&paths=20").page
    wait_for_fan(page)
    page.get_by_role("button", name="Run").first.click()
    wait_for_fan(page)
    page.get_by_role("link", name="Forecasts", exact=True).click()
    page.get_by_role("combobox", name="Outcome").click()
    page.get_by_role("option", name="Waiting", exact=True).click()
    page.wait_for_url("**stored_state=Waiting**")
    page.get_by_role("button", name="Open chart").click()
    chart = page.locator(".st-key-stored_fan .desk-chart")
    expect(chart.locator(".annotation-text", has_text="p50").first).to_be_visible()
    page.wait_for_url("**stored=**")
    box = chart.bounding_box()
    assert box["y"] + box["height"] <= page.viewport_size["height"], "its time axis is in sight"
    page.locator('[data-test-script-state="notRunning"]').first.wait_for()
    span = """() => {
        const [from, to] = document.querySelector(".st-key-stored_fan .js-plotly-plot")
            ._fullLayout.xaxis.range;
        return to - from;
    }"""
    before = page.evaluate(span)
    chart.focus()
    page.keyboard.press("+")
    page.wait_for_function(f"before => ({span})() < before - 1", arg=before)
    page.go_back()
    expect(chart).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Forecasts")
    assert re.search(r"forecasts\?stored_state=Waiting$", page.url)
    page.go_forward()
    expect(chart).to_be_visible()


def test_a_link_shows_the_same_chart_in_another_browser(server, visit, stranger):
    page = opened(server, visit)
    before = seen(page)
    assert before["options"] == ["Line", "Log price", "3M", "Bands"]
    assert {"SMA 20", "p5"} <= set(before["drawn"]["traces"])
    assert "window=3M" in page.url, "the address has the name of the option, not what was typed"
    other = stranger(page.url).page
    assert seen(other) == before
