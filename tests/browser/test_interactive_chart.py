"""The chart of the Forecast page as one works in it: wheel, drag, keys, crosshair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pages.ui.chart.interactive import KEYS
from pages.ui.chart.scene import MAX_WINDOW
from tests.browser.conftest import PATIENCE_MS, wait_for_fan, wait_until_idle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PATIENCE_MS)

# Ranges as Plotly draws them, and the prices of the bars that they show.
SEEN = """() => {
    const plot = document.querySelector(".st-key-fan .js-plotly-plot");
    const { xaxis, yaxis } = plot._fullLayout;
    const [from, to] = xaxis.range;
    const bars = plot._fullData.find((trace) => trace.type === "candlestick");
    const at = Array.from(bars.low, (_, i) => i).filter((i) => i >= from && i <= to);
    return {
        from, to, low: yaxis.range[0], high: yaxis.range[1], all: xaxis.categoryarray.length,
        origin: bars.low.length - 1,
        least: Math.min(...at.map((i) => bars.low[i])),
        most: Math.max(...at.map((i) => bars.high[i])),
    };
}"""


@pytest.fixture
def opened(server, visit):
    seen = visit(f"{server.url}/?horizon=24&paths=20&seed=3")
    wait_for_fan(seen.page)
    yield seen
    assert not seen.complaints


def settled(page: Page) -> dict[str, float]:
    """The view once the page has ended its run, and the chart has stopped changing."""
    wait_until_idle(page)
    before, last = None, page.evaluate(SEEN)
    while before != last:
        page.wait_for_timeout(250)
        before, last = last, page.evaluate(SEEN)
    return last


def width(view: dict[str, float]) -> float:
    return view["to"] - view["from"]


def fits(view: dict[str, float]) -> bool:
    """Whether all bars that are seen are inside, and fill more than a fifth of the axis."""
    span = view["high"] - view["low"]
    is_inside = view["low"] < view["least"] and view["most"] < view["high"]
    return is_inside and view["most"] - view["least"] > span / 5


def plot_area(page) -> dict[str, float]:
    """Where the plot is; a chart that is being drawn anew has none for a moment."""
    found = page.wait_for_function(
        """() => {
            const area = document.querySelector(".st-key-fan .nsewdrag");
            const {x, y, width, height} = area ? area.getBoundingClientRect() : {width: 0};
            return width > 0 && {x, y, width, height};
        }"""
    )
    return found.json_value()


def test_the_wheel_zooms_where_it_points_and_stops_where_data_end(opened):
    page = opened.page
    first = settled(page)
    box = plot_area(page)
    at = box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2
    page.mouse.move(*at)
    page.mouse.wheel(0, -200)
    near = settled(page)
    assert width(near) == pytest.approx(width(first) / 1.25**2)
    place = first["from"] + 0.25 * width(first)
    assert near["from"] + 0.25 * width(near) == pytest.approx(place, abs=0.5)
    assert fits(near)
    wide = near
    while (
        wide["all"] < MAX_WINDOW + 24 or width(wide) < wide["all"] - 1
    ):  # older bars come meanwhile
        page.mouse.wheel(0, 400)
        wide = settled(page)
    assert (wide["from"], wide["to"]) == pytest.approx((-0.5, wide["all"] - 0.4))
    assert fits(wide)
    for _ in range(20):
        page.mouse.wheel(0, -400)
    assert width(settled(page)) == pytest.approx(5)
    page.mouse.dblclick(*at)
    again = settled(page)
    assert width(again) == pytest.approx(width(first))
    assert again["all"] - again["to"] == pytest.approx(first["all"] - first["to"])
    assert (again["low"], again["high"]) == pytest.approx((first["low"], first["high"]), rel=1e-6)


def test_a_bar_is_read_wherever_the_crosshair_is_on_it(opened):
    page = opened.page
    box = plot_area(page)
    at = box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2
    page.mouse.move(*at)
    for _ in range(20):
        page.mouse.wheel(0, -400)
    near = settled(page)
    pixels = box["width"] / width(near)
    bar = round(near["from"]) + 2
    middle = box["x"] + (bar - near["from"]) * pixels
    for aside in (-0.4, 0.4):
        page.mouse.move(middle + aside * pixels, at[1], steps=3)
        expect(page.locator(".st-key-fan .hoverlayer")).to_contain_text("O ")


@pytest.mark.parametrize("pixels", [1400, 1120, 390])
def test_labels_of_the_time_axis_do_not_touch(server, visit, pixels):
    page = visit(f"{server.url}/?horizon=24&paths=20&seed=3", width=pixels, height=900).page
    wait_for_fan(page)
    settled(page)

    def gaps() -> list[float]:
        return page.evaluate("""() => {
            const axis = [...document.querySelectorAll(
                ".st-key-fan .xaxislayer-above, .st-key-fan .xaxislayer-below")];
            const boxes = axis.flatMap((layer) => [...layer.querySelectorAll("text")])
                .filter((text) => text.textContent.includes(":"))
                .map((text) => text.getBoundingClientRect()).sort((a, b) => a.x - b.x);
            return boxes.slice(1).map((box, at) => box.left - boxes[at].right);
        }""")

    assert len(gaps()) >= 1
    assert min(gaps()) > 3
    if pixels == 1400:
        page.get_by_test_id("stExpandSidebarButton").click()
        page.wait_for_timeout(500)
        settled(page)
        assert min(gaps()) > 3, "beside the open sidebar"


def test_a_drag_moves_in_time_and_the_price_axis_has_a_zoom_of_its_own(opened):
    page = opened.page
    first = settled(page)
    box = plot_area(page)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + box["width"] / 4, middle[1], steps=6)
    page.mouse.up()
    moved = settled(page)
    assert width(moved) == pytest.approx(width(first))
    assert first["from"] - moved["from"] == pytest.approx(width(first) / 4, rel=0.05)
    assert fits(moved)
    page.mouse.move(box["x"] - 30, middle[1])
    page.mouse.wheel(0, 100)
    stretched = settled(page)
    assert stretched["high"] - stretched["low"] == pytest.approx(
        1.25 * (moved["high"] - moved["low"])
    )
    assert (stretched["from"], stretched["to"]) == (moved["from"], moved["to"])


def test_the_view_outlives_a_rerun_a_layer_a_scale_another_fan_and_the_theme(opened):
    page = opened.page
    page.locator(".st-key-fan .desk-chart").focus()
    for key in ("ArrowLeft", "ArrowLeft", "+"):
        page.keyboard.press(key)
    kept = settled(page)
    page.get_by_role("button", name="Paths", exact=True).click()
    expect(page.locator(".st-key-fan .legendtext", has_text="sample paths")).to_have_count(0)
    assert settled(page) == pytest.approx(kept), "a layer is switched off"
    page.get_by_role("radio", name="Log price").click()
    expect(page.locator(".st-key-fan .gtitle")).to_contain_text("log scale")
    logs = settled(page)
    assert (logs["from"], logs["to"]) == pytest.approx((kept["from"], kept["to"]))
    assert logs["high"] < 10, "the axis of logarithms fits, too"
    page.get_by_role("radio", name="Price", exact=True).click()
    expect(page.locator(".st-key-fan .gtitle")).not_to_contain_text("log scale")
    page.locator(".st-key-chip_horizon button").click()
    page.get_by_label("Horizon (bars)", exact=True).fill("12")
    page.get_by_label("Horizon (bars)", exact=True).press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("next 12 bars")
    wait_for_fan(page)
    shorter = settled(page)
    assert (shorter["from"], shorter["to"]) == pytest.approx((kept["from"], kept["to"]))
    ink = "() => getComputedStyle(document.querySelector('.st-key-fan .gtitle')).fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"light => ({ink})() !== light", arg=light)
    dark = settled(page)
    assert (dark["from"], dark["to"]) == pytest.approx((kept["from"], kept["to"]))


def test_a_switch_of_the_look_draws_the_chart_alone_and_updates_its_copy(opened):
    page = opened.page
    page.get_by_role("tab", name="Download").click()
    button = page.get_by_role("button", name="Chart (HTML)")
    button.wait_for()
    page.locator(".st-key-panel code span").first.wait_for()  # the browser colours it late
    settled(page)
    page.evaluate(
        """() => {
            document.querySelector(".st-key-fan .main-svg").isTheFirst = true;
            window.changes = [];
            new MutationObserver((all) => {
                for (const one of all) {
                    const where = one.target.outerHTML ?? one.target.textContent;
                    window.changes.push(`${one.type} ${where.slice(0, 300)}`);
                }
            }).observe(
                document.querySelector(".st-key-panel"),
                { subtree: true, childList: true, characterData: true });
        }"""
    )
    legend = page.locator(".st-key-fan .legendtext", has_text="sample paths")
    page.get_by_role("button", name="Paths", exact=True).click()
    expect(legend).to_have_count(0)
    settled(page)
    assert page.evaluate("document.querySelector('.st-key-fan .main-svg').isTheFirst")
    assert page.evaluate("window.changes") == []
    with page.expect_download() as download:
        button.click()
    assert "sample paths" not in Path(download.value.path()).read_text(encoding="utf-8")


def test_every_gesture_has_a_key(opened):
    page = opened.page
    page.locator(".st-key-fan .desk-chart").focus()
    first = settled(page)

    def after(key: str) -> dict[str, float]:
        page.keyboard.press(key)
        return settled(page)

    assert width(after("+")) == pytest.approx(width(first) / 1.25)
    assert width(after("-")) == pytest.approx(width(first))
    left = after("ArrowLeft")
    assert first["from"] - left["from"] == pytest.approx(width(first) / 10)
    assert after("ArrowRight")["from"] == pytest.approx(first["from"])
    up = after("ArrowUp")
    assert up["low"] > first["low"]
    stretched = after("Shift+ArrowDown")
    assert stretched["high"] - stretched["low"] > 1.2 * (up["high"] - up["low"])
    assert after("Home") == pytest.approx(first)
    page.keyboard.press("]")
    time, price = page.locator(".desk-tag-time"), page.locator(".desk-tag-price")
    expect(time).to_be_visible()
    said = page.locator(".st-key-fan [role=status]")
    expect(said).to_contain_text(f"{time.inner_text()}, {price.inner_text()}, O ")
    page.keyboard.press("]")
    expect(said).to_contain_text(f"{time.inner_text()}, {price.inner_text()}, O ")
    page.keyboard.press("Escape")
    expect(time).to_be_hidden()


def test_older_bars_come_when_the_view_nears_the_first_and_it_stays(server, visit):
    seen = visit(f"{server.url}/?horizon=24&paths=20&seed=3&studies=SMA+20")
    page = seen.page
    wait_for_fan(page)
    first = settled(page)
    time = """() => {
        const { xaxis } = document.querySelector(".st-key-fan .js-plotly-plot")._fullLayout;
        return xaxis.categoryarray[Math.round((xaxis.range[0] + xaxis.range[1]) / 2)];
    }"""
    page.locator(".st-key-fan .desk-chart").focus()
    for _ in range(3):
        page.keyboard.press("-")
    while settled(page)["all"] == first["all"]:
        middle = page.evaluate(time)
        page.keyboard.press("ArrowLeft")
    more = settled(page)
    assert more["all"] == first["all"] + 500
    # One more press has moved it by a tenth.
    assert page.evaluate(time) < middle
    assert fits(more)
    page.keyboard.press("]")
    expect(page.locator(".desk-spoken")).to_contain_text(re.compile(r"O [\d,.]+.*, SMA 20 [\d,.]+"))
    expect(page.locator(".st-key-fan .hoverlayer")).to_contain_text("SMA 20")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    more = settled(page)
    assert more["from"] < 500
    page.wait_for_timeout(500)  # the address follows
    page.reload()
    page.wait_for_function(
        """n => document.querySelector(".st-key-fan .js-plotly-plot")
            ?._fullLayout?.xaxis?.categoryarray?.length === n""",
        arg=more["all"],
    )
    again = settled(page)
    assert again["from"] == pytest.approx(more["from"], abs=0.1), "a link opens older bars"
    assert width(again) == pytest.approx(width(more), abs=0.1)
    assert not seen.complaints


def test_the_crosshair_has_the_time_and_the_price_under_the_pointer(opened):
    page = opened.page
    settled(page)
    box = plot_area(page)
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    time, price = page.locator(".desk-tag-time"), page.locator(".desk-tag-price")
    expect(time).to_be_visible()
    seen = page.evaluate(SEEN)
    value = float(price.inner_text().replace(",", ""))
    assert value == pytest.approx(seen["high"] - (seen["high"] - seen["low"]) / 3, rel=1e-3)
    labels = page.evaluate(
        "document.querySelector('.st-key-fan .js-plotly-plot')._fullLayout.xaxis.categoryarray"
    )
    assert time.inner_text() == labels[round(seen["from"] + width(seen) / 3)]
    page.mouse.move(5, 5)
    expect(time).to_be_hidden()


def test_a_finger_moves_the_chart_and_scrolls_the_page(server, browser):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{server.url}/?horizon=24&paths=20&seed=3")
    wait_for_fan(page)
    first = settled(page)
    box = plot_area(page)
    x, y = box["x"] + 60, box["y"] + 100
    touch = context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in
                                           enumerate(points)]},
        )  # fmt: skip

    send("touchStart", (x, y))
    for step in range(1, 7):
        send("touchMove", (x + 15 * step, y))
    send("touchEnd")
    moved = settled(page)
    assert moved["from"] < first["from"] - 3
    assert width(moved) == pytest.approx(width(first))
    send("touchStart", (x, y), (x + 60, y))
    for step in range(1, 7):
        send("touchMove", (x - 5 * step, y), (x + 60 + 5 * step, y))
    send("touchEnd")
    assert width(settled(page)) < 0.75 * width(moved)
    touches = page.locator(".st-key-fan .nsewdrag").first.evaluate(
        "element => getComputedStyle(element).touchAction"
    )
    assert touches == "pan-y"
    context.close()


def test_on_a_phone_no_buttons_cover_charts_and_tables(server, browser):
    def open_training(**options) -> Page:
        page = browser.new_context(viewport={"width": 390, "height": 844}, **options).new_page()
        page.goto(f"{server.url}/training")
        page.locator(".modebar").first.wait_for(state="attached")
        page.locator("[data-testid='stDataFrame']").first.hover()
        return page

    touched = open_training(has_touch=True, is_mobile=True)
    for name in (".modebar", "[data-testid='stElementToolbar']"):
        assert not any(each.is_visible() for each in touched.locator(name).all())
    touched.context.close()
    pointed = open_training()
    expect(pointed.locator("[data-testid='stElementToolbar']").first).to_be_visible()
    pointed.context.close()


@pytest.mark.parametrize("address", ["", "/backtest"])
def test_the_picture_that_a_chart_saves_has_the_ground_of_the_page(server, visit, address):
    page = visit(f"{server.url}{address}", scheme="dark").page
    wait_until_idle(page)
    page.locator(".js-plotly-plot .nsewdrag").first.hover()
    with page.expect_download() as saving:
        page.locator(".modebar-btn[data-title^='Download plot']").first.click()
    picture = Image.open(saving.value.path()).convert("RGBA")
    red, green, blue, opacity = picture.getpixel((2, 2))
    assert (red, green, blue, opacity) == (14, 20, 32, 255)  # the dark theme's


def test_a_level_comes_with_a_press_or_a_key_and_goes_likewise(opened):
    page = opened.page
    settled(page)
    notes = page.locator(".st-key-fan .annotation-text", has_text="P(touch)")
    field = page.get_by_role("textbox", name="Levels on the chart")
    box = plot_area(page)
    at = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    page.locator(".st-key-fan .modebar-btn[data-title^='Add a level']").click()
    page.mouse.click(*at)
    expect(notes).to_have_count(1)
    seen = settled(page)
    level = float(field.input_value())
    assert f"levels={level:.12g}" in page.url
    assert seen["low"] < level < seen["high"]
    page.locator(".st-key-fan .desk-chart").focus()
    page.keyboard.press("]")
    page.keyboard.press("l")
    expect(notes).to_have_count(2)
    settled(page)
    page.keyboard.press("]")
    page.keyboard.press("Delete")
    expect(notes).to_have_count(1)
    field.fill("")
    field.press("Enter")
    expect(notes).to_have_count(0)
    assert "levels=" not in page.url


def test_a_link_shows_the_same_section(opened, stranger):
    page = opened.page
    first = settled(page)
    page.locator(".st-key-fan .desk-chart").focus()
    for key in ("+", "+", "ArrowLeft", "ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(key)
    near = settled(page)
    page.wait_for_url("**zoom=**")
    # A control of the page that changes the address leaves the section in it.
    page.get_by_role("button", name="Paths", exact=True).click()
    page.wait_for_url("**layers=**")
    again = settled(page)
    assert "zoom=" in page.url
    assert (again["from"], again["to"]) == pytest.approx((near["from"], near["to"]))

    other = stranger(page.url).page
    wait_for_fan(other)
    seen = settled(other)
    for name in ("from", "to", "low", "high"):
        assert seen[name] == pytest.approx(near[name], abs=0.01, rel=1e-5), name
    other.locator(".st-key-fan .desk-chart").focus()
    other.keyboard.press("0")
    expect(other).not_to_have_url(re.compile("zoom="))

    # Where the bars do not reach, and where nothing can be read, the chart opens as usual.
    for text in ("1999-01-01T00:00:00~1999-02-01T00:00:00", "yesterday~1e999"):
        lost = stranger(f"{page.url.split('?')[0]}?horizon=24&paths=20&seed=3&zoom={text}").page
        wait_for_fan(lost)
        view = settled(lost)
        assert (view["from"], view["to"]) == pytest.approx((first["from"], first["to"]))


def test_the_keys_are_listed_on_demand(opened):
    page = opened.page
    keys = page.locator(".st-key-fan .desk-keys")
    expect(keys).to_be_hidden()
    page.locator(".st-key-fan .desk-chart").focus()
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    expect(keys.locator("dt")).to_have_text(list(KEYS))
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.locator(".st-key-fan [data-title='Keys (?)']").click()
    expect(keys).to_be_visible()


# The component's own element, taken out of the page and put back, as a page that builds itself anew
# does; it is purged, resized, zoomed and given other colours while it is drawn.
RESTLESS = """async (n) => {
    const frame = document.querySelector(".st-key-fan .desk-chart");
    const home = frame.parentElement, place = home.parentElement;
    const pause = (ms) => new Promise((done) => setTimeout(done, ms));
    for (let i = 0; i < n; i += 1) {
        for (const key of ["+", "ArrowLeft", "-", "0"]) {
            frame.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        }
        place.style.width = `${i % 2 ? 100 : 80}%`;
        document.body.classList.toggle("another-theme");
        if (i % 4 === 1) window.Plotly.purge(frame.querySelector(".js-plotly-plot"));
        if (i % 3 === 0) {
            const next = home.nextSibling;
            home.remove();
            await pause(i);
            place.insertBefore(home, next);
        }
        await pause(7 * i % 40);
    }
    place.style.width = "";
}"""


def test_nothing_that_happens_while_it_is_drawn_leaves_the_chart_empty(opened):
    page = opened.page
    first = settled(page)
    for kind in ("Paths", "Bands", "Paths", "Bands"):
        page.get_by_role("button", name=kind, exact=True).click()
        page.evaluate(RESTLESS, 12)
    wait_for_fan(page)
    assert settled(page)["all"] == first["all"]
    page.locator(".st-key-fan .desk-chart").focus()
    page.keyboard.press("0")
    page.keyboard.press("+")
    assert width(settled(page)) == pytest.approx(width(first) / 1.25), "it still follows the keys"


def test_a_chart_that_is_lost_comes_back_however_often(opened):
    page = opened.page
    settled(page)
    page.locator(".st-key-fan .desk-chart").focus()
    for _ in range(3):
        page.evaluate("Plotly.purge(document.querySelector('.st-key-fan .js-plotly-plot'))")
        expect(page.locator(".st-key-fan .main-svg")).to_have_count(0)
        page.keyboard.press("+")
        page.locator(".st-key-fan .main-svg").first.wait_for()
